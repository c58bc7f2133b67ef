"""A base model that was trained to mark text: its head answers from the first task, and labels decide what is left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from model.encoder.encoder import Encoder
from model.pretrained.token_head import read_token_head, split_tag
from model.span import SpanSample
from model.spans.features.reading import SpanReader
from model.spans.quality import measure
from model.spans.transfer.token_prior import TokenPrior, choose_prior
from model.spec import Control, Input, Kind, Label, TaskSpec
from model.versions.live_model import cold_start
from model.versions.span_answers import SpanTools, fit_span_heads
from tests.model.conftest import tiny_config, write_tokenizer
from tests.model.spans.conftest import sentences

TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-MISC", "I-MISC")


def build(directory: Path, family: str = "bert", tags: tuple[str, ...] = TAGS) -> Any:
    """A random token classifier that knows twelve letters."""
    from transformers import AutoModelForTokenClassification

    torch.manual_seed(0)
    config = tiny_config(family)
    config.id2label, config.label2id = dict(enumerate(tags)), {tag: place for place, tag in enumerate(tags)}
    model = AutoModelForTokenClassification.from_config(config).eval()
    model.save_pretrained(directory)
    write_tokenizer(directory, family=family)
    return model


def spec_of(*labels: Label) -> TaskSpec:
    control = Control("label", Kind.SPANS, ("text",), labels, "Labels")
    return TaskSpec((Input("text", "Text", "$text"),), (), spans=(control,))


def open_tools(directory: Path) -> SpanTools:
    encoder = Encoder(directory)
    return SpanTools(SpanReader(encoder, choose_prior(encoder.digest, encoder.layers, encoder.token_head)))


@pytest.mark.parametrize("family", ["bert", "distilbert", "electra", "roberta"])
def test_words_are_judged_as_transformers_does(family: str, tmp_path: Path) -> None:
    model, tools = build(tmp_path, family), open_tools(tmp_path)
    prior, reader = tools.reader.prior, tools.reader
    assert isinstance(prior, TokenPrior)
    (read,) = reader.read(["a b c d"])
    ids = Encoder(tmp_path)._windows.split([("a b c d",)])[0].ids
    with torch.inference_mode():
        theirs = model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)[1:-1].numpy()
    np.testing.assert_allclose(np.maximum(theirs, -12), read.hidden.astype(float), atol=5e-3)
    said = prior.log_probabilities(read.hidden, reader.name_vectors(["person", "place"], ["PER", "LOC"]))
    np.testing.assert_allclose(said[:, 1:5], np.maximum(theirs[:, 1:5], -12), atol=5e-3)
    outside = np.log(np.exp(theirs[:, [0, 5, 6]]).sum(1))
    np.testing.assert_allclose(said[:, 0], outside, atol=5e-3, err_msg="a name that no label has is of no span")


@pytest.mark.parametrize(
    ("labels", "keys", "places"),
    [
        (["PER", "LOC"], ["PER", "LOC"], [0, 1]),
        (["location", "Person"], ["location", "Person"], [1, 0]),
        (["Ort", "Leute"], ["LOC", "per"], [1, 0]),
        (["Person (a human)", "Product"], ["P", "X"], [-1, -1]),
        (["miscellaneous name", "PER", "person"], ["m", "PER", "person"], [2, 0, -1]),
    ],
)
def test_labels_are_matched_by_name_case_and_usual_abbreviation(
    labels: list[str], keys: list[str], places: list[int], tmp_path: Path
) -> None:
    build(tmp_path)
    found = open_tools(tmp_path).reader.name_vectors(labels, keys)
    assert [int(row.argmax()) if row.any() else -1 for row in found] == places


def test_tags_of_other_schemes_are_understood(tmp_path: Path) -> None:
    found = [split_tag(tag) for tag in ("O", "B-PER", "I_film-title", "S-LOC", "PER", "out", "I-")]
    assert found == [("", ""), ("B", "PER"), ("I", "film-title"), ("S", "LOC"), ("", "PER"), ("", ""), ("", "I-")]
    build(tmp_path, tags=("O", "PER", "LOC"))
    tools = open_tools(tmp_path)
    (read,) = tools.reader.read(["a b"])
    assert tools.reader.prior is not None
    said = tools.reader.prior.log_probabilities(read.hidden, tools.reader.name_vectors(["LOC", "PER"]))
    np.testing.assert_allclose(said[:, 1], said[:, 2], err_msg="a name alone says neither first nor further")
    np.testing.assert_allclose(said[:, 1], read.hidden[:, 2].astype(float), atol=5e-3)


def test_where_no_label_is_known_nothing_is_said(tmp_path: Path) -> None:
    build(tmp_path)
    tools = open_tools(tmp_path)
    spec = spec_of(Label(("film",), "film"), Label(("director",), "director"))
    model = cold_start(spec, tools.reader.encoder, tools=lambda: tools)
    assert model.mark("label", [{"text": "a b c d e"}])[0].spans == ()
    (read,) = tools.reader.read(["a b c"])
    assert tools.reader.prior is not None
    assert not tools.reader.prior.log_probabilities(read.hidden, tools.reader.name_vectors(["film", "director"])).any()
    some = tools.reader.prior.log_probabilities(read.hidden, tools.reader.name_vectors(["PER", "director"]))
    np.testing.assert_allclose(np.exp(some[:, 3:]), 0.01, rtol=1e-3)


def test_a_head_that_cannot_be_used_is_left_alone(tmp_path: Path) -> None:
    build(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert read_token_head(tmp_path, config) is not None
    assert read_token_head(tmp_path, {**config, "architectures": ["BertModel"]}) is None
    assert read_token_head(tmp_path, {**config, "id2label": {"0": "O"}}) is None
    assert read_token_head(tmp_path, {**config, "model_type": "modernbert"}) is None


@pytest.mark.slow
def test_a_trained_one_serves_from_the_first_task_and_helps_later(minilm: Encoder, tmp_path: Path) -> None:
    """A head fitted to other sentences, as a checkpoint that somebody brings."""
    from sklearn.linear_model import LogisticRegression
    from transformers import AutoModelForTokenClassification, AutoTokenizer

    from model.spans.chain.tags import TagSet
    from model.spans.words import apart, word_spans

    tags = TagSet(("PER", "LOC"))
    names = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
    last = SpanReader(minilm, depths=(1.0,))
    taught = sentences(60, 200)
    read = last.read([one.text for one in taught])
    gold = np.concatenate(
        [tags.encode(len(t.bounds), apart(word_spans(t.bounds, d.spans))) for t, d in zip(read, taught, strict=True)]
    )
    states = np.concatenate([text.states for text in read]).astype(np.float32)
    fitted = LogisticRegression(max_iter=500).fit(states, gold)
    model = AutoModelForTokenClassification.from_pretrained(
        minilm.directory, id2label=dict(enumerate(names)), label2id={name: i for i, name in enumerate(names)}
    )
    with torch.no_grad():
        model.classifier.weight.copy_(torch.tensor(fitted.coef_))
        model.classifier.bias.copy_(torch.tensor(fitted.intercept_))
    model.save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(minilm.directory).save_pretrained(tmp_path)

    tools = open_tools(tmp_path)
    assert isinstance(tools.reader.prior, TokenPrior), "the shipped prior is of another encoder"
    spec = spec_of(Label(("person",), "person"), Label(("Location",), "Location"))
    model = cold_start(spec, tools.reader.encoder, tools=lambda: tools)
    fresh = sentences(40, 1000)
    answers = [answer.spans for answer in model.mark("label", [{"text": one.text} for one in fresh])]
    renamed = [[(s.start, s.end, {"PER": "person", "LOC": "Location"}[s.label]) for s in one.spans] for one in fresh]
    found = [{(s.start, s.end, s.label) for s in own} for own in answers]
    hits = sum(len(own & set(true)) for own, true in zip(found, renamed, strict=True))
    assert hits > 0.6 * sum(map(len, renamed)) and hits > 0.8 * sum(map(len, found))
    few = sentences(8)
    samples = [SpanSample(place, one.text, one.spans) for place, one in enumerate(few)]
    own = spec_of(Label(("PER",), "PER"), Label(("LOC",), "LOC"))
    with_it, without = (
        fit_span_heads(own, {"label": samples}, [], SpanTools(SpanReader(tools.reader.encoder, prior)))["label"]
        for prior in (tools.reader.prior, None)
    )
    texts = tools.reader.read([one.text for one in fresh])
    drawn = [one.spans for one in fresh]
    assert with_it.details.texts == 8 and with_it.prior is not None
    figures = [measure([one.spans for one in head.spans(texts)], drawn).f1 for head in (with_it, without)]
    assert figures[0] >= figures[1] - 0.02
