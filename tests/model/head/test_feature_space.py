"""The reduced feature space: nothing is lost without landmarks, little with them, and memory grows with the rows."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from numpy.typing import NDArray

from model.features.tfidf import Terms, dense_features
from model.head.feature_space import LANDMARK_ROWS, SPACE_DIMENSIONS, Space, choose_landmarks, leading_eigenvectors
from model.numerics.logistic import fit_blocks
from model.numerics.metrics import one_hot
from model.spec import Text
from tests.support.encoders import Floats

TOPICS, WIDTH, DEPTH = 6, 32, 3


def corpus(count: int, seed: int = 0) -> tuple[list[Text], Floats, Floats]:
    """Texts, pooled features and targets of `count` rows: some topics, a little noise, words by topic."""
    generator = np.random.default_rng(seed)
    mixture = generator.dirichlet(np.full(TOPICS, 0.3), count)
    directions = np.random.default_rng(99).normal(size=(TOPICS, DEPTH, WIDTH))
    pooled = np.einsum("nt,tdw->ndw", mixture, directions) + 0.05 * generator.normal(size=(count, DEPTH, WIDTH))
    topic = mixture.argmax(1)
    numbers = generator.integers(0, 30, (count, 6))
    texts: list[Text] = [(" ".join(f"w{t}n{n}" for n in row),) for t, row in zip(topic, numbers, strict=True)]
    return texts, pooled.astype(np.float32), one_hot(topic, TOPICS)


def space_of(count: int, view: str, words: bool, landmarks: NDArray[np.int64] | None = None) -> tuple[Space, Floats]:
    """The space, and the exact joined features [n, d] that it stands for."""
    texts, pooled, _ = corpus(count)
    terms = Terms.fit(texts) if words else None
    mean = pooled.mean(0)
    dense = dense_features(pooled, mean, view)
    features = np.hstack([dense, terms.transform(texts).toarray()]) if terms else dense
    return Space(texts, pooled, mean, terms, view, landmarks), features


def logits_of(space: Space, targets: Floats) -> Floats:
    """Of a classifier that was fitted in the space, by its reduced rows."""
    coefficients, intercepts = fit_space(space, targets)
    return np.asarray(space.rows @ coefficients + intercepts)


def fit_space(space: Space, targets: Floats) -> tuple[Floats, Floats]:
    offsets = np.zeros((1, *targets.shape))
    found = fit_blocks(space.rows, targets, np.ones((1, len(targets))), offsets, 10.0, multilabel=False)
    return found[0][0], found[1][0]


@pytest.mark.parametrize("view", ["last", "layers"])
@pytest.mark.parametrize("words", [False, True])
def test_reduced_rows_have_the_gram_matrix_of_the_features(view: str, words: bool) -> None:
    space, features = space_of(120, view, words)
    assert space.rows.shape[1] <= 120
    np.testing.assert_allclose(space.rows @ space.rows.T, features @ features.T, atol=1e-4)


@pytest.mark.parametrize("view", ["last", "layers"])
@pytest.mark.parametrize("words", [False, True])
def test_coefficients_in_the_features_own_terms_give_the_same_logits(view: str, words: bool) -> None:
    space, features = space_of(120, view, words)
    coefficients = np.random.default_rng(1).normal(size=(space.rows.shape[1], TOPICS))
    dense, sparse = space.primal(coefficients)
    assert (sparse is not None) == words
    whole = dense if sparse is None else np.vstack([dense, sparse])
    np.testing.assert_allclose(features @ whole, space.rows @ coefficients, atol=1e-3)


@pytest.mark.parametrize("words", [False, True])
def test_with_landmarks_too(words: bool) -> None:
    _, _, targets = corpus(400)
    space, features = space_of(400, "layers", words, choose_landmarks(targets, 0, 150))
    coefficients = np.random.default_rng(1).normal(size=(space.rows.shape[1], TOPICS))
    dense, sparse = space.primal(coefficients)
    whole = dense if sparse is None else np.vstack([dense, sparse])
    np.testing.assert_allclose(features @ whole, space.rows @ coefficients, atol=1e-2)


def test_a_fit_of_the_reduced_rows_is_one_of_the_features() -> None:
    """The penalty is the same in both: a kernel machine's representer."""
    space, features = space_of(90, "layers", True)
    _, _, targets = corpus(90)
    offsets, ones = np.zeros((1, *targets.shape)), np.ones((1, 90))
    found, intercepts = fit_blocks(features.astype(np.float64), targets, ones, offsets, 10.0, multilabel=False)
    np.testing.assert_allclose(logits_of(space, targets), features @ found[0] + intercepts[0], atol=0.02)


def test_a_space_of_nothing_but_equal_texts_has_no_dimension() -> None:
    pooled = np.ones((5, DEPTH, WIDTH), np.float32)
    space = Space([("x",)] * 5, pooled, pooled.mean(0), None, "last")
    assert space.rows.shape == (5, 0)
    assert space.primal(np.zeros((0, 2)))[0].shape == (WIDTH, 2)


def test_texts_without_words_leave_the_encoder_features() -> None:
    texts, pooled, _ = corpus(30)
    nothing: list[Text] = [("",)] * 30
    with_words = Space(nothing, pooled, pooled.mean(0), Terms.fit(nothing), "last")
    without = Space(texts, pooled, pooled.mean(0), None, "last")
    np.testing.assert_allclose(with_words.rows @ with_words.rows.T, without.rows @ without.rows.T, atol=1e-5)


@pytest.mark.parametrize("words", [False, True])
def test_landmarks_give_nearly_the_logits_of_all_rows(words: bool) -> None:
    count = 700
    _, _, targets = corpus(count)
    landmarks = choose_landmarks(targets, 0, 450)
    assert landmarks is not None and len(landmarks) == 450
    exact, near = (logits_of(space_of(count, "layers", words, rows)[0], targets) for rows in (None, landmarks))
    assert np.corrcoef(exact.ravel(), near.ravel())[0, 1] > 0.99
    assert (exact.argmax(1) == near.argmax(1)).mean() > 0.98


def test_memory_grows_with_the_rows_not_with_their_square() -> None:
    count = 20_000
    texts, pooled, targets = corpus(count)
    short: list[Text] = [(text[0].split()[0],) for text in texts]
    terms, landmarks = Terms.fit(short), choose_landmarks(targets, 0)
    tracemalloc.start()
    space = Space(short, pooled, pooled.mean(0), terms, "layers", landmarks)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(space.rows) == count and 100 < space.rows.shape[1] <= SPACE_DIMENSIONS
    assert peak < 300e6  # bytes; the Gram matrix of all rows has 1.6 GB in single precision


def test_landmarks_hold_every_label() -> None:
    targets = one_hot(np.array([0] * 3000 + [1] * 40 + list(range(2, 60))), 60)
    landmarks = choose_landmarks(targets, 3)
    assert landmarks is not None
    assert len(set(landmarks.tolist())) == LANDMARK_ROWS
    counts = targets[landmarks].sum(0)
    assert (counts[1:] == targets.sum(0)[1:]).all(), "the rare labels are there as a whole"
    assert np.array_equal(landmarks, choose_landmarks(targets, 3))


@pytest.mark.parametrize("rows", [0, 1, LANDMARK_ROWS])
def test_few_rows_need_no_landmarks(rows: int) -> None:
    assert choose_landmarks(np.ones((rows, 2)), 0) is None


def test_landmarks_are_as_many_as_asked_for_also_when_labels_are_more() -> None:
    landmarks = choose_landmarks(np.eye(500), 0, 100)
    assert landmarks is not None and len(set(landmarks.tolist())) == 100


def test_the_leading_directions_are_those_of_the_exact_decomposition() -> None:
    rows = np.random.default_rng(0).standard_normal((300, 80)) * np.exp(-np.arange(80) / 15)
    gram = (rows @ rows.T).astype(np.float32)
    values, vectors = leading_eigenvectors(gram, 20)
    exact = np.linalg.eigvalsh(gram.astype(np.float64))[::-1][:20]
    np.testing.assert_allclose(values, exact, rtol=0.02)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(20), atol=1e-4)


def test_leading_directions_of_a_matrix_of_low_rank_reproduce_it() -> None:
    rows = np.random.default_rng(0).standard_normal((300, 12))
    gram = (rows @ rows.T).astype(np.float32)
    values, vectors = leading_eigenvectors(gram, 40)
    np.testing.assert_allclose((vectors * values) @ vectors.T, gram, atol=1e-3)
