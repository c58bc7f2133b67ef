"""The head through its one door: before any label, cold, warm, on disk; what it shows, how sure it is, and why."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from model.encoder.encoder import Encoder
from model.errors import VersionError
from model.span import Span, SpanDocument
from model.spans.features.reading import SpanReader
from model.spans.head import fit
from model.spans.head.calibration import HUMBLE, SpanCalibration, fit_calibration
from model.spans.head.fit import SpanExample, fit_span_head
from model.spans.head.head import F1, SpanHead, restore_span_head
from model.spans.head.held_out import fold_texts
from model.spans.quality import measure
from tests.model.spans.conftest import mark, sentences
from tests.support.span_learner import SpanLearner

TEST = sentences(24, 200)


@pytest.fixture(scope="module")
def head(learner: SpanLearner) -> SpanHead:
    return learner.fit(sentences(16))


def f1(learner: SpanLearner, head: SpanHead, documents: list[SpanDocument]) -> float:
    shown = learner.spans(head, [document.text for document in documents], F1)
    return measure([own.spans for own in shown], [document.spans for document in documents]).f1


def test_before_any_label_the_names_mark_what_they_are_sure_of(learner: SpanLearner) -> None:
    found = learner.spans(learner.cold(), ["Ann Miller moved to Berlin last year.", "It rains."])
    assert [(own.start, own.end, own.label) for own in found[0].spans] == [(0, 10, "PER"), (20, 26, "LOC")]
    assert all(own.score >= 0.7 and own.reason == "from the label's name" for own in found[0].spans)
    assert found[1].spans == () and found[1].score > 0.5


def test_without_the_prior_nothing_is_shown_before_any_label(minilm: Encoder) -> None:
    bare = SpanLearner.open(SpanReader(minilm), ["PER"], ["Ann met Bob."])
    assert bare.spans(bare.cold(), ["Ann Miller moved to Berlin."])[0].spans == ()
    learned = bare.fit(sentences(24))
    assert set(learned.labels) == {"PER"}
    assert f1(bare, learned, [replace(own, spans=own.spans[-1:]) for own in sentences(8)]) > 0


def test_labels_teach_and_held_out_figures_come_with_them(learner: SpanLearner, head: SpanHead) -> None:
    assert f1(learner, head, TEST) > 0.9
    assert head.details.texts == head.details.cold == 16
    assert set(head.details.held_out) == {"f1", "macro_f1", "saved", "ece"}
    assert head.details.held_out["f1"] > 0.5


def test_labels_may_mean_what_their_names_do_not_say(learner: SpanLearner) -> None:
    swap = {"PER": "LOC", "LOC": "PER"}
    turned = [
        SpanDocument(own.text, tuple(Span(s.start, s.end, swap[s.label]) for s in own.spans)) for own in sentences(48)
    ]
    found = learner.fit(turned)
    assert found.space.offset_weight < 0.6, "the prior is not believed any more"
    test = [SpanDocument(o.text, tuple(Span(s.start, s.end, swap[s.label]) for s in o.spans)) for o in TEST]
    assert f1(learner, found, test) > 0.7


def test_texts_without_spans_teach_silence(learner: SpanLearner) -> None:
    silent = learner.fit([SpanDocument(own.text) for own in sentences(24)])
    assert sum(len(own.spans) for own in learner.spans(silent, [own.text for own in TEST])) == 0


def test_the_same_texts_give_the_same_head(learner: SpanLearner, head: SpanHead) -> None:
    again = learner.fit(sentences(16))
    assert again.config() == head.config()
    for name, array in head.tensors().items():
        np.testing.assert_array_equal(again.tensors()[name], array)


def test_it_comes_back_from_json_and_arrays(learner: SpanLearner, head: SpanHead) -> None:
    config = json.loads(json.dumps(head.config()))
    again = restore_span_head(config, head.tensors(), learner.basis.prior)
    texts = [document.text for document in TEST]
    assert learner.spans(again, texts) == learner.spans(head, texts)
    with pytest.raises(VersionError, match="prior"):
        restore_span_head(config, head.tensors(), None)
    with pytest.raises(VersionError, match="not a span head"):
        restore_span_head({"prior": ""}, head.tensors(), None)


def test_a_warm_fit_goes_on_and_knows_the_new_text(learner: SpanLearner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "ALWAYS_COLD", 8)
    before = learner.fit(sentences(20))
    new = mark("Zebulon Quix left Xanadu at dawn.", ("Zebulon Quix", "PER"), ("Xanadu", "LOC"))
    warm = learner.fit([*sentences(20), new], before)
    assert (warm.details.cold, warm.details.texts) == (20, 21)
    assert warm.chain.iterations <= fit.WARM_ITERATIONS
    assert warm.calibration == before.calibration
    assert f1(learner, warm, TEST) > 0.9
    shown = learner.spans(warm, ["They saw Zebulon Quix."])[0].spans
    assert [(own.start, own.end, own.label) for own in shown] == [(9, 21, "PER")]
    cold = learner.fit(sentences(30), warm)
    assert cold.details.cold == 30


def test_a_reason_says_what_was_seen(learner: SpanLearner) -> None:
    documents = [*sentences(16), mark("Paris met Paris Hill.", ("Paris Hill", "PER"))]
    found = learner.fit([*documents, mark("We flew to Paris.", ("Paris", "LOC"))])
    shown = learner.spans(found, ["Ann Miller lives in Oslo with Uwe Zander."])[0].spans
    reasons = {own.label: own.reason for own in shown if own.start in (0, 20)}
    assert reasons["PER"].startswith("seen ") and "as PER" in reasons["PER"]
    assert next(own.reason for own in shown if own.start == 30).startswith("not seen before")


def test_a_removed_suggestion_stays_away(reader: SpanReader, learner: SpanLearner) -> None:
    texts = [document.text for document in sentences(16)]
    examples = [SpanExample(own, doc.spans) for own, doc in zip(reader.read(texts), sentences(16), strict=True)]
    text = "Quentin Oslund waits in Oslo."
    assert any(own.start == 0 for own in learner.spans(fit_span_head(learner.basis, examples), [text])[0].spans)
    removed = SpanExample(reader.read([text])[0], (Span(24, 28, "LOC"),), removed=(Span(0, 14, "PER"),))
    found = fit_span_head(learner.basis, [*examples, removed])
    shown = learner.spans(found, ["Quentin Oslund waits in Oslo."])[0].spans
    assert [own.span for own in shown] == [Span(24, 28, "LOC")]


def test_a_text_counts_as_much_as_its_weight(reader: SpanReader, learner: SpanLearner) -> None:
    text = reader.read(["Ask Bob about it."])[0]
    marked, unmarked = (Span(4, 7, "PER"),), ()
    for share in (0.95, 0.05):
        examples = [SpanExample(text, marked, weight=share), SpanExample(text, unmarked, weight=1 - share)] * 6
        candidates = fit_span_head(learner.basis, examples, calibrate=False).candidates([text])[0]
        likely = max(own.probability for own in candidates if own.first == own.last == 1)
        assert (likely > 0.6) is (share > 0.5)


def test_too_many_words_are_thinned_and_it_is_said(learner: SpanLearner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "MOST_WORDS", 60)
    found = learner.fit(sentences(16))
    assert (found.details.texts, 0 < found.details.used < 16) == (16, True)


def test_spans_longer_than_usual_are_found_where_people_mark_them(learner: SpanLearner) -> None:
    title = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen"
    found = learner.fit([*sentences(8), mark(f"He read {title}.", (title, "LOC"))])
    assert found.details.longest == 14


def test_empty_texts_are_answered(learner: SpanLearner, head: SpanHead) -> None:
    found = learner.spans(head, ["", "   ", "\u200b"])
    assert [own.spans for own in found] == [(), (), ()]
    assert all(0 <= own.score <= 1 and own.uncertainty >= 0 for own in found)
    assert learner.spans(head, []) == []
    assert learner.fit([SpanDocument("")]).details.texts == 1


def test_no_two_shown_spans_share_a_character(learner: SpanLearner, head: SpanHead) -> None:
    for own in learner.spans(head, [document.text for document in TEST], F1):
        for left, right in zip(own.spans, own.spans[1:], strict=False):
            assert left.end <= right.start


def test_of_overlapping_marks_the_longest_is_learned(learner: SpanLearner) -> None:
    nested = []
    for own in sentences(24):
        inner = tuple(Span(mark.start, mark.start + 1, "LOC") for mark in own.spans if mark.label == "PER")
        across = tuple(Span(mark.start - 2, mark.start + 2, "LOC") for mark in own.spans if mark.start > 2)
        nested.append(SpanDocument(own.text, (*inner, *own.spans, *across)))
    head = learner.fit(nested)
    people = [
        [span for span in own.spans if span.label == "PER" and " " in own.text[span.start : span.end]] for own in TEST
    ]
    shown = learner.spans(head, [own.text for own in TEST])
    found = sum({one.span for one in own.spans} >= set(marks) for own, marks in zip(shown, people, strict=True))
    assert found > 0.6 * len(TEST)
    for own in shown:
        assert all(not left.span.overlaps(right.span) for left in own.spans for right in own.spans if left != right)


def test_calibration_repairs_over_confidence_and_few_spans_change_nothing() -> None:
    random = np.random.default_rng(0)
    claimed = random.uniform(0.5, 1, 2000)
    right = random.random(2000) < claimed - 0.25
    found = fit_calibration(claimed.tolist(), right.tolist())
    repaired = found.apply(claimed)
    assert abs(repaired.mean() - right.mean()) < 0.02
    np.testing.assert_array_equal(np.argsort(claimed), np.argsort(repaired))
    flat = SpanCalibration(0.2, 0.4).apply(np.array([0.0, 0.03, 0.3, 0.9]))  # unlikely spans stay unlikely
    assert flat[0] == 0 and flat[1] == pytest.approx(flat[2] / 10) and flat[2] < flat[3]
    assert fit_calibration([0.9] * 29, [False] * 29) == SpanCalibration()
    assert fit_calibration([], [], HUMBLE) == HUMBLE


def test_equal_texts_are_in_one_fold() -> None:
    texts = [f"text {number % 10}" for number in range(40)]
    folds = fold_texts(texts, 4)
    assert len({(text, fold) for text, fold in zip(texts, folds.tolist(), strict=True)}) == 10
    assert set(folds.tolist()) == {0, 1, 2, 3}


def test_of_very_many_labels_only_those_in_use_are_looked_for(reader: SpanReader) -> None:
    many = ["LOC", "PER", *(f"kind of thing {number}" for number in range(fit.MANY_LABELS))]
    wide = SpanLearner.open(reader, many, [document.text for document in sentences(40, 100)])
    assert wide.spans(wide.cold(), ["Ann Miller moved to Berlin."])[0].spans == ()
    nothing = wide.fit([SpanDocument("It rains."), SpanDocument("It snows.")])
    assert nothing.labels == () and wide.spans(nothing, ["Bob met Ann."])[0].spans == ()
    learned = wide.fit(sentences(16), nothing)
    assert learned.labels == ("LOC", "PER") and f1(wide, learned, TEST) > 0.9


def test_where_somebody_waits_a_fit_from_nothing_comes_later(learner: SpanLearner) -> None:
    read = learner.embed([document.text for document in sentences(96)])
    examples = [SpanExample(text, own.spans) for text, own in zip(read, sentences(96), strict=True)]
    cold = fit_span_head(learner.basis, examples[:70], calibrate=False)
    assert fit.is_settled(cold) and cold.details.cold == 70
    waiting = fit_span_head(learner.basis, examples, cold, calibrate=False, repeat=True)
    assert waiting.details.cold == 70 and waiting.details.used == 96 and not fit.is_settled(waiting)
    anew = fit_span_head(learner.basis, examples, waiting, calibrate=False)
    assert anew.details.cold == 96 and fit.is_settled(anew)
