"""Texts with spans replayed: nested samples, the learner's own figures, and texts chosen by doubt."""

from __future__ import annotations

import numpy as np
import pytest

from model.encoder.encoder import Encoder
from model.errors import DataError
from model.simulation.replay import ReplayPlan
from model.simulation.span_dataset import SpanDataset, count_overlaps, make_span_dataset
from model.simulation.span_replay import SpanReplay, most_uncertain, open_learner
from model.span import Span, SpanDocument
from model.spans.features.reading import SpanReader
from model.spans.head.head import CLICKS, F1, Suggestions
from model.spans.quality import measure
from model.spans.transfer.prior import read_prior
from tests.model.spans.conftest import sentences


@pytest.fixture(scope="module")
def reader(minilm: Encoder) -> SpanReader:
    return SpanReader(minilm, read_prior())


@pytest.fixture(scope="module")
def data() -> SpanDataset:
    return make_span_dataset(sentences(100), sentences(20, 200), "x")


def test_rows_say_what_the_learner_says(reader: SpanReader, data: SpanDataset) -> None:
    replay = SpanReplay(data, ReplayPlan((0, 4, 16), seed=3), open_learner(data, reader))
    rows = list(replay.rows())
    assert [(row["n"], row["method"]) for row in rows] == [(0, "transfer prior"), (4, "span head"), (16, "span head")]
    assert tuple(rows[0])[:7] == ("strategy", "n", "seed", "f1", "macro_f1", "saved", "ece")
    order = np.random.default_rng(3).permutation(100)
    labelled = [data.train[place] for place in order[:16]]
    assert replay.documents == labelled, "shuffled by the seed alone"
    learner = open_learner(data, reader)
    head = learner.fit(labelled)
    texts, drawn = [one.text for one in data.test], [one.spans for one in data.test]
    best, shown = (measure([own.spans for own in learner.spans(head, texts, aim)], drawn) for aim in (F1, CLICKS))
    assert rows[2]["f1"] == round(best.f1, 6) and rows[2]["macro_f1"] == round(best.macro_f1, 6)
    assert rows[2]["saved"] == round(shown.saved, 6) and rows[2]["ece"] == round(shown.ece, 6)
    assert float(rows[2]["f1"] or 0) > 0.8 and rows[2]["words"] == sum(
        len(t.bounds) for t in learner.embed([one.text for one in labelled])
    )
    assert rows[1]["cold_seconds"] == rows[1]["refit_seconds"] and rows[2]["test_rows"] == 20


def test_the_last_refit_goes_on_from_the_head_before(
    reader: SpanReader,
    data: SpanDataset,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in ("model.spans.head.fit", "model.simulation.span_replay"):
        monkeypatch.setattr(f"{module}.ALWAYS_COLD", 8)
    replay = SpanReplay(data, ReplayPlan((40,)), open_learner(data, reader))
    (row,) = replay.rows()
    assert (replay.head.details.texts, replay.head.details.cold) == (40, 39), "warm from the head of one text less"
    assert float(row["cold_seconds"] or 0) > float(row["refit_seconds"] or 0) > 0


def test_without_a_prior_nothing_is_said_before_the_first_label(
    reader: SpanReader,
    data: SpanDataset,
) -> None:
    plain = SpanReader(reader.encoder)
    (row,) = SpanReplay(data, ReplayPlan((0,)), open_learner(data, plain)).rows()
    assert row["method"] == "no prior" and row["f1"] == 0 and row["saved"] == 0


def test_doubtful_texts_are_chosen_batch_by_batch(reader: SpanReader, data: SpanDataset) -> None:
    plan = ReplayPlan((0, 6, 12), "uncertainty", seed=1, pool=40, batch=4)
    replay = SpanReplay(data, plan, open_learner(data, reader))
    assert [row["n"] for row in replay.rows()] == [0, 6, 12]
    assert len(set(replay.chosen)) == 12 and max(replay.chosen) < 40
    cold = replay.learner.spans(replay.learner.cold(), [one.text for one in replay.candidates])
    assert replay.chosen[:4] == most_uncertain(cold, [], 4)


def test_chosen_texts_are_not_chosen_again_and_ties_keep_their_order() -> None:
    doubts = [Suggestions((), 0.5, doubt) for doubt in (0.1, 0.9, 0.0, 0.9, 0.0)]
    assert most_uncertain(doubts, [], 3) == [1, 3, 0]
    assert most_uncertain(doubts, [1], 9)[:4] == [3, 0, 2, 4]


def test_a_fifth_is_held_out_and_nothing_of_it_is_learned() -> None:
    found = make_span_dataset([*sentences(200), *sentences(200)], None, "x", most=15)
    assert len(found.test) == 15 and len(found.train) + 15 < 400
    assert {one.text for one in found.train}.isdisjoint(one.text for one in found.test)
    assert found == make_span_dataset([*sentences(200), *sentences(200)], None, "x", most=15)
    assert found.labelled == len(found.train)
    with pytest.raises(DataError, match="nothing can be measured"):
        make_span_dataset(sentences(9), [], "x")


def test_overlaps_are_counted() -> None:
    spans = (Span(0, 5, "A"), Span(2, 3, "B"), Span(5, 6, "A"), Span(7, 9, "A"), Span(7, 9, "B"))
    assert count_overlaps([SpanDocument("abcdefghij", spans), SpanDocument("x")]) == 4
