"""A stock classifier of tokens, read by a pipeline of transformers, marks text as the version that taught it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model.encoder.encoder import Encoder
from model.export.bundle import ExportError
from model.export.stock.bundle import DISTILLED, Teaching
from model.export.stock.classifier import save_stock
from model.export.stock.distil import tell_nobody
from model.export.stock.spans.bundle import write_span_stock
from model.export.stock.spans.classifier import TOKENS, WORDS, aggregation_of, build_token_stock
from model.export.stock.spans.outputs import span_outputs_of
from model.export.stock.spans.parity import StockMarks, measure_f1, measure_span_stock
from model.span import SpanSample
from model.spans.chain.tags import TagSet
from model.spans.features.reading import SpanReader
from model.spans.transfer.prior import read_prior
from model.spans.words import to_characters
from model.spec import TaskSpec
from model.versions.span_answers import SpanTools, cold_span_heads
from tests.model.export.spans.test_span_bundle import (
    NESTED,
    ODD,
    PLAIN,
    control_of,
    fitted,
    source_of,
    tuned_part,
)
from tests.model.export.stock.test_stock import base_of
from tests.model.spans.conftest import sentences

pytestmark = pytest.mark.slow

TEXTS = [one.text for one in sentences(40, 300)] + list(ODD)


def test_what_is_taught_marks_just_what_the_version_shows(minilm: Encoder) -> None:
    prior = read_prior()
    plain = fitted(minilm, PLAIN, sentences(12), prior)
    blend = source_of(
        minilm, PLAIN, dict(plain.model.span_heads), plain.model.tools, tuned_part(minilm, prior, ("LOC", "PER"))
    )
    for source in (plain, blend):
        outputs = span_outputs_of(source.model, "label")
        tags, shown = outputs.taught(source.model, TEXTS), outputs.marked(source.model, TEXTS)
        assert sum(map(len, shown)) > 20 and not outputs.loss
        for text, own, spans in zip(source.model.tools.reader.read(TEXTS), tags, shown, strict=True):
            np.testing.assert_allclose(own.sum(1), 1, atol=1e-5)
            assert (own >= -1e-6).all()
            found = TagSet(outputs.keys).decode(own.argmax(1).tolist())
            assert [to_characters(text.bounds, one) for one in found] == [one.span for one in spans]
            for one, scored in zip(found, spans, strict=True):
                assert (own[one.first : one.last + 1].max(1) >= scored.score - 1e-5).all()


@pytest.mark.long
def test_a_student_of_sentences_marks_others_as_its_version(minilm: Encoder, tmp_path: Path) -> None:
    source = fitted(minilm, PLAIN, sentences(48), read_prior())
    outputs = span_outputs_of(source.model, "label")
    known = [(one.text,) for one in sentences(160)]
    made = write_span_stock(source, outputs, tmp_path / "stock", Teaching(known, tmp_path, 60.0, 40), tell_nobody)
    assert made.how == DISTILLED and made.taught + len(made.held) == len(known)
    assert made.parity.agreement > 0.9, made
    config = json.loads((tmp_path / "stock" / "config.json").read_text(encoding="utf-8"))
    assert list(config["id2label"].values()) == ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
    assert config["architectures"] == ["BertForTokenClassification"] and "auto_map" not in config
    others = [SpanSample(task, one.text, one.spans) for task, one in enumerate(sentences(40, 400))]
    found = measure_f1(source.model, outputs, tmp_path / "stock", others)
    assert found is not None and found.measure == "f1" and 0.9 < found.low <= found.accuracy <= found.high
    assert aggregation_of(tmp_path / "stock") == WORDS
    long = " ".join(one.text for one in sentences(60, 500))
    marks = StockMarks(tmp_path / "stock", outputs).mark([long, " "])
    assert not marks[1] and any(one.start > len(long) // 2 for one in marks[0]), "its windows are all read"


@pytest.mark.parametrize("family", ["bert", "roberta", "electra", "distilbert", "mpnet"])
def test_every_family_with_such_a_class_marks_what_its_head_says(tmp_path: Path, family: str) -> None:
    encoder = base_of(tmp_path / "base", family, "mean")
    tools = SpanTools(SpanReader(encoder))
    spec = TaskSpec((), (), spans=(PLAIN,))
    model = source_of(encoder, PLAIN, cold_span_heads(spec, tools), tools).model
    outputs = span_outputs_of(model, "label")
    generator = np.random.default_rng(0)
    weight, bias = generator.standard_normal((5, encoder.width)), np.zeros(5)
    save_stock(build_token_stock(encoder, weight, bias, outputs.tags), encoder, tmp_path / "stock")
    assert aggregation_of(tmp_path / "stock") == TOKENS
    texts = ["a b c d", "h g f e d c b a"]
    found = StockMarks(tmp_path / "stock", outputs).mark(texts)
    for text, own, (tokens,) in zip(
        texts, found, [[one] for one in encoder.token_states(texts, [encoder.layers])], strict=True
    ):
        logits = tokens.states[:, 0].astype(float) @ weight.T + bias
        marked = {place for one in own for place in range(one.start, one.end)}
        wanted = {tokens.offsets[row][0] for row in np.flatnonzero(logits.argmax(1))}
        assert {place for place in marked if text[place] != " "} == wanted
    parity = measure_span_stock(model, outputs, tmp_path / "stock", texts)
    assert parity.texts == 2 and parity.agreement < 1  # the version marks nothing yet


def test_what_no_stock_class_says_is_told(minilm: Encoder, tmp_path: Path) -> None:
    source = fitted(minilm, control_of(*NESTED.labels), list(NESTED.train[:48]), read_prior())
    assert "overlap" in span_outputs_of(source.model, "label").loss
    asks = replace(PLAIN, inputs=("text", "question"))
    tools = source.model.tools
    assert tools is not None
    heads = cold_span_heads(TaskSpec((), (), spans=(asks,)), tools)
    with pytest.raises(ExportError, match="answers questions"):
        span_outputs_of(source_of(minilm, asks, heads, tools).model, "label")
    listed = replace(PLAIN, options_field="options")
    with pytest.raises(ExportError, match="each task"):
        span_outputs_of(source_of(minilm, listed, dict(source.model.span_heads), tools).model, "label")
    few = Teaching([(one.text,) for one in sentences(9)], tmp_path, 5.0, 9)
    with pytest.raises(ExportError, match="too few to distil"):
        write_span_stock(source, span_outputs_of(source.model, "label"), tmp_path / "stock", few, tell_nobody)
    other = base_of(tmp_path / "modernbert", "modernbert", "mean")
    with pytest.raises(ExportError, match=r"modernbert.*--format onnx"):
        build_token_stock(other, np.zeros((5, other.width)), np.zeros(5), ["O", "B-a", "I-a", "B-b", "I-b"])
