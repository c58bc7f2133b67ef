"""Fits of long documents and many labels: gone on from, and over in time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from backend.labelstudio.task_spec import parse_label_config
from model.encoder.encoder import Encoder
from model.numerics import lbfgs
from model.span import SpanSample
from model.spans.features.reading import SpanReader
from model.spans.head import fit
from model.spans.head.fit import is_settled
from model.spans.head.head import F1, SpanHead
from model.spans.quality import measure
from model.versions.span_answers import SpanTools, fit_span_heads
from tests.model.spans.conftest import sentences
from tests.support.marked_project import spans_config
from tests.support.span_learner import SpanLearner

TEST = sentences(24, 200)


def f1(learner: SpanLearner, head: SpanHead) -> float:
    shown = learner.spans(head, [document.text for document in TEST], F1)
    return measure([own.spans for own in shown], [document.spans for document in TEST]).f1


def test_few_texts_that_take_long_are_gone_on_from(learner: SpanLearner, monkeypatch: pytest.MonkeyPatch) -> None:
    first = learner.fit(sentences(20))
    assert learner.fit(sentences(22), first).details.cold == 22, "short ones are learned anew at every label"
    monkeypatch.setattr(fit, "LARGE", 100)
    head = learner.fit(sentences(22), first)
    assert (head.details.cold, head.details.used, head.details.texts) == (20, 22, 22) and is_settled(head)
    assert f1(learner, head) > 0.9
    grown = learner.fit(sentences(30), head)
    assert grown.details.cold == 30, "with a quarter more texts from nothing"


def test_the_scale_of_few_texts_that_take_long_is_kept(minilm: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    spec, tools = parse_label_config(spans_config(("PER", "LOC"))), SpanTools(SpanReader(minilm))
    samples = [SpanSample(place, own.text, own.spans) for place, own in enumerate(sentences(22))]
    first = fit_span_heads(spec, {"label": samples[:20]}, (), tools)
    for large, cold in ((fit.LARGE, 22), (100, 20)):
        monkeypatch.setattr(fit, "LARGE", large)
        head = fit_span_heads(spec, {"label": samples}, (), tools, first)["label"]
        assert isinstance(head, SpanHead) and head.details.cold == cold


def test_a_fit_ends_when_its_time_is_over(learner: SpanLearner) -> None:
    whole = learner.fit(sentences(40))
    hurried = replace(learner, basis=replace(learner.basis, fit_seconds=0.0)).fit(sentences(40))
    assert hurried.chain.iterations == lbfgs.FEWEST < whole.chain.iterations
    assert hurried.details.held_out and f1(learner, hurried) > 0.8
