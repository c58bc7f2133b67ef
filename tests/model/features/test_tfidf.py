"""Features of heads: TF-IDF terms equal scikit-learn's, however few texts come."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from model.features.tfidf import Terms
from model.spec import Text

FITTED: list[Text] = [
    ("The cat sat on the mat, the cat.",),
    ("A dog and a cat", "met the other dog"),
    ("naïve Straße русский test",),
    ("x y z",),
]
ASKED: list[Text] = [*FITTED, ("",), ("nothing known here",), ("the the the cat", "dog dog"), ("THE CAT",), ("!?",)]


def oracle(texts: list[Text]) -> np.ndarray:
    vectoriser = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, dtype=np.float32)
    vectoriser.fit(["\n".join(text) for text in FITTED])
    return np.asarray(vectoriser.transform(["\n".join(text) for text in texts]).toarray())


@pytest.mark.parametrize("texts", [ASKED, ASKED[:1], ASKED[4:5], []], ids=["many", "one", "empty text", "none"])
def test_terms_equal_scikit_learn(texts: list[Text]) -> None:
    found = Terms.fit(FITTED).transform(texts)
    assert found.dtype == np.float32
    assert found.has_sorted_indices
    np.testing.assert_allclose(found.toarray(), oracle(texts) if texts else np.zeros((0, found.shape[1])), atol=1e-6)


def test_the_vocabulary_and_its_weights_equal_scikit_learn_s() -> None:
    vectoriser = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, dtype=np.float32)
    vectoriser.fit(["\n".join(text) for text in FITTED])
    terms = Terms.fit(FITTED)
    assert terms.vocabulary == tuple(vectoriser.get_feature_names_out())
    np.testing.assert_allclose(terms.idf, vectoriser.idf_, rtol=1e-6)


def test_too_many_terms_leave_the_most_frequent_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model.features.tfidf.MAX_TERMS", 2)
    # "the" comes 5 times, "cat" 3 times, all others less often.
    assert Terms.fit(FITTED).vocabulary == ("cat", "the")


def test_texts_without_a_word_give_no_terms() -> None:
    terms = Terms.fit([("!",), ("",)])
    assert terms.vocabulary == ()
    assert terms.transform([("word",), ("!",)]).shape == (2, 0)


def test_terms_are_looked_up_by_many_threads_at_once() -> None:
    terms, found = Terms.fit(FITTED), []
    start = threading.Barrier(8)

    def ask() -> None:
        start.wait()
        found.append(terms.transform(ASKED).toarray())

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert all(np.array_equal(one, found[0]) for one in found)
