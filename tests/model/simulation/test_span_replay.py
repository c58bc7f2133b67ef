"""Texts with spans replayed: nested samples, the product's own heads, and texts chosen as the queue chooses them."""

from __future__ import annotations

import numpy as np
import pytest

from model.acquisition.span_doubts import as_answers, marked_pool, mean_state
from model.acquisition.strategies import STRATEGIES, choose
from model.acquisition.uncertainty import Pool, margins
from model.encoder.encoder import Encoder
from model.errors import DataError
from model.simulation.replay import ReplayPlan
from model.simulation.span_dataset import SpanDataset, count_overlaps, make_span_dataset
from model.simulation.span_replay import CONTROL, INPUT, SPAN_STRATEGIES, SpanReplay, spec_of
from model.span import Span, SpanDocument, SpanSample
from model.spans.features.reading import SpanReader
from model.spans.head.head import CLICKS, F1
from model.spans.quality import measure
from model.spans.transfer.prior import read_prior
from model.versions.span_answers import SpanTools, fit_span_heads
from tests.model.spans.conftest import mark, sentences


@pytest.fixture(scope="module")
def tools(minilm: Encoder) -> SpanTools:
    return SpanTools(SpanReader(minilm, read_prior()))


@pytest.fixture(scope="module")
def data() -> SpanDataset:
    return make_span_dataset(sentences(100), sentences(20, 200), "x")


def test_rows_say_what_the_heads_of_the_product_say(tools: SpanTools, data: SpanDataset) -> None:
    replay = SpanReplay(data, ReplayPlan((0, 4, 16), seed=3), tools)
    rows = list(replay.rows())
    assert [(row["n"], row["method"]) for row in rows] == [(0, "transfer prior"), (4, "span head"), (16, "span head")]
    assert tuple(rows[0])[:7] == ("strategy", "n", "seed", "f1", "macro_f1", "saved", "ece")
    order = [data.train[place] for place in np.random.default_rng(3).permutation(100)]
    assert replay.documents == order[:16], "shuffled by the seed alone"
    samples = {CONTROL: [SpanSample(number, one.text, one.spans) for number, one in enumerate(order[:16])]}
    head = fit_span_heads(spec_of(data), samples, [{INPUT: one.text} for one in order], tools)[CONTROL]
    read, drawn = tools.reader.read([one.text for one in data.test]), [one.spans for one in data.test]
    best, shown = (measure([own.spans for own in head.spans(read, aim)], drawn) for aim in (F1, CLICKS))
    assert rows[2]["f1"] == round(best.f1, 6) and rows[2]["macro_f1"] == round(best.macro_f1, 6)
    assert rows[2]["saved"] == round(shown.saved, 6) and rows[2]["ece"] == round(shown.ece, 6)
    assert float(rows[2]["f1"] or 0) > 0.8 and rows[2]["test_rows"] == 20
    assert rows[2]["words"] == sum(len(text.bounds) for text in tools.reader.read([one.text for one in order[:16]]))
    assert rows[1]["cold_seconds"] == rows[1]["refit_seconds"]


def test_the_last_refit_goes_on_from_the_head_before(
    tools: SpanTools, data: SpanDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("model.spans.head.fit", "model.versions.span_answers", "model.simulation.span_replay"):
        monkeypatch.setattr(f"{module}.ALWAYS_COLD", 8)
    replay = SpanReplay(data, ReplayPlan((40,)), tools)
    (row,) = replay.rows()
    assert (replay.head.details.texts, replay.head.details.cold) == (40, 39), "warm from the head of one text less"
    assert float(row["cold_seconds"] or 0) > 0 and float(row["refit_seconds"] or 0) > 0, "each was timed"


def test_without_a_prior_nothing_is_said_before_the_first_label(tools: SpanTools, data: SpanDataset) -> None:
    plain = SpanTools(SpanReader(tools.reader.encoder))
    (row,) = SpanReplay(data, ReplayPlan((0,)), plain).rows()
    assert row["method"] == "no prior" and row["f1"] == 0 and row["saved"] == 0


def test_labels_are_names_and_no_paths(tools: SpanTools) -> None:
    texts = [mark(f"Ann {number} left", ("Ann", r"Person/Group \ x")) for number in range(12)]
    (row,) = SpanReplay(make_span_dataset(texts, texts[:4], "x"), ReplayPlan((12,)), tools).rows()
    assert row["f1"] == 1


@pytest.mark.parametrize("strategy", ["margin", "margin_clusters"])
def test_doubtful_texts_are_chosen_batch_by_batch(tools: SpanTools, data: SpanDataset, strategy: str) -> None:
    replay = SpanReplay(data, ReplayPlan((0, 6, 12), strategy, seed=1, pool=40, batch=4), tools)
    read = tools.reader.read([one.text for one in replay.candidates])
    doubts = [own.uncertainty for own in replay.head.spans(read)]
    cold = marked_pool(doubts, np.stack([mean_state(text) for text in read]), np.zeros(0, int), 1.0)
    assert [row["n"] for row in replay.rows()] == [0, 6, 12]
    assert len(set(replay.chosen)) == 12 and max(replay.chosen) < 40
    assert replay.chosen[:4] == choose(strategy, cold, 4, 1_000_003).tolist()
    if strategy == "margin":
        assert sorted(doubts[place] for place in replay.chosen[:4]) == sorted(doubts)[-4:]


def test_the_more_doubt_the_smaller_the_margin() -> None:
    found = as_answers([0.0, 0.5, 3.0])
    np.testing.assert_allclose(found.sum(1), 1)
    assert margins(Pool(found, np.zeros((3, 2)), np.zeros(0, int))).tolist() == pytest.approx(np.exp([0, -0.5, -3]))
    assert set(SPAN_STRATEGIES) == set(STRATEGIES) - {"entropy", "least_confidence", "bald"}


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
