"""What marks text leaves the house and marks it alike: chains, priors, strings seen before, lists of strings, nested
spans, fine-tunes and long texts, through the exported program itself."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import regex
import torch
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.support.fixtures import write_tiny_base
from bench.support.nested_sets import nested_sets
from model.encoder.encoder import Encoder
from model.encoder.token_states import LENGTH, STRIDE
from model.export.bundle import ExportError, Source, quantise
from model.export.parity import FLOAT_LIMITS, load_program
from model.export.spans import bundle, looks, spans, words
from model.export.spans.bundle import CLASSES, classes, write_span_bundle
from model.export.spans.parity import measure_span_parity
from model.pretrained.reading import CARD, read_window
from model.span import Span, SpanDocument, SpanSample
from model.spans import string_memory
from model.spans.chain import span_probabilities
from model.spans.features import hand_features, pieces, stretches
from model.spans.features.reading import ReadText, SpanReader
from model.spans.head import calibration, text_score
from model.spans.head.head import F1, ShowRules, SpanHead
from model.spans.head.tuned_marks import TunedMarks, WordScorer
from model.spans.patterns.lexicon import build_lexicon
from model.spans.patterns.pattern import Pattern
from model.spans.transfer.prior import TransferPrior, read_prior
from model.spans.words import find_words
from model.spec import Control, Document, Kind, Label, TaskSpec
from model.versions.finetuned import FineTuned
from model.versions.live_model import LiveModel
from model.versions.span_answers import MarkHead, SpanTools, cold_span_heads, fit_span_heads
from tests.model.spans.conftest import sentences
from tests.model.spans.test_token_prior import build
from tests.support.tiny import tiny_base  # noqa: F401

pytestmark = pytest.mark.slow

NESTED = nested_sets({}, ())["invented_nested"]
ODD = (
    "",
    "  \n ",
    "Ann Miller",
    "BOB MOVED TO NEW YORK, SAYS EMIL!",
    "Émilie-Ann’s 3.5 km to São Paulo…\u200b😀👍🏽 \u0e01\u0e02 東京タワー und Köln",
    "x" * 300 + " Berlin " + "Ann " * 400,
    "\x1c a\u00a0b\u2028Oslo",
)


def control_of(*names: str) -> Control:
    return Control("label", Kind.SPANS, ("text",), tuple(Label((name,), name) for name in names), "Labels")


PLAIN = control_of("PER", "LOC")


def samples(documents: list[SpanDocument]) -> list[SpanSample]:
    return [SpanSample(task, one.text, one.spans) for task, one in enumerate(documents)]


def source_of(
    encoder: Encoder,
    control: Control,
    heads: dict[str, MarkHead],
    tools: SpanTools,
    finetuned: FineTuned | None = None,
    tuned: Encoder | None = None,
) -> Source:
    """`tuned`: what reads for the fine-tuned part; the encoder itself unless said."""
    spec = TaskSpec((), (), spans=(control,))
    tuned = (tuned or encoder) if finetuned is not None else None
    return Source(LiveModel("v1", spec, {}, encoder, finetuned, tuned, None, heads, tools), "label", encoder, tuned)


def fitted(
    encoder: Encoder, control: Control, documents: list[SpanDocument], prior: TransferPrior | None, patterns: Any = None
) -> Source:
    tools = SpanTools(SpanReader(encoder, prior), lexicons={"label": patterns} if patterns else {})
    spec = TaskSpec((), (), spans=(control,))
    if not documents:
        return source_of(encoder, control, cold_span_heads(spec, tools), tools)
    return source_of(encoder, control, fit_span_heads(spec, {"label": samples(documents)}, [], tools), tools)


def head_of(source: Source) -> SpanHead:
    head = source.model.span_heads["label"]
    assert isinstance(head, SpanHead)
    return head


def with_head(source: Source, head: SpanHead) -> Source:
    return replace(source, model=replace(source.model, span_heads={"label": head}))


class TorchSession:
    """Runs the graph in torch, as onnxruntime would."""

    def __init__(self, graph: Any) -> None:
        self.graph = graph.eval()

    def run(self, _: None, feed: dict[str, Any]) -> list[Any]:
        with torch.inference_mode():
            return [self.graph(*(torch.from_numpy(feed[name]) for name in self.graph.inputs)).numpy()]


def exported(source: Source, directory: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The exported program over the graph as torch has it."""
    kept: list[Any] = []
    monkeypatch.setattr(bundle, "write_span_onnx", lambda graph, path: kept.append(graph))
    write_span_bundle(source, directory)
    module: Any = load_program(directory)
    model = module.Model.__new__(module.Model)
    model.spec = json.loads((directory / "model.json").read_text(encoding="utf-8"))
    model.session, model.wanted = TorchSession(kept[0]), set(kept[0].inputs)
    model.marker = module.Marker(model, module.Tokenizer.from_file(str(directory / "tokenizer.json")))
    return model


def check(source: Source, program: Any, texts: list[str], atol: float = 2e-3) -> int:
    """The spans and scores are the version's; how many there are."""
    documents: list[Document] = [{"text": text} for text in texts]
    count = 0
    for text, own, answer in zip(texts, source.model.mark("label", documents), program(documents), strict=True):
        found = [(one["start"], one["end"], one["label"]) for one in answer["spans"]]
        assert found == [(one.start, one.end, one.label) for one in own.spans], text[:60]
        scores = [one["score"] for one in answer["spans"]]
        np.testing.assert_allclose(scores, [one.score for one in own.spans], atol=atol)
        assert answer["score"] == pytest.approx(own.score, abs=5 * atol)
        assert all(one["text"] == text[one["start"] : one["end"]] for one in answer["spans"])
        count += len(found)
    return count


TEXTS = [one.text for one in sentences(24, 200)] + list(ODD)


@pytest.mark.parametrize("count", [0, 4, 64])
def test_texts_are_marked_alike(minilm: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    source = fitted(minilm, PLAIN, sentences(count), read_prior())
    program = exported(source, tmp_path / "model", monkeypatch)
    assert check(source, program, TEXTS) > 20
    shown = replace(source, model=source.model.showing(F1))
    assert check(shown, exported(shown, tmp_path / "f1", monkeypatch), TEXTS) > 20
    kept = (tmp_path / "model" / "model.json").read_text(encoding="utf-8")
    assert "Miller" not in kept and "Chandra" not in kept, "no string of a text leaves"


def test_what_was_removed_stays_away_and_what_was_marked_comes_again(
    minilm: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = fitted(minilm, PLAIN, sentences(8), read_prior())
    head = head_of(source)
    memory = replace(
        head.memory,
        marked={**head.memory.marked, ("zq", "9"): {"LOC": 3}, ("Nobody",): {"PER": 2, "LOC": 1}},
        removed={(("Berlin",), "LOC"): 9, (("Oslo",), "PER"): 1},
        right=(5, 1),
        tried=(6, 4),
    )
    source = with_head(source, replace(head, memory=memory, rules=ShowRules(0.6, 0.3)))
    program = exported(source, tmp_path, monkeypatch)
    texts = [*TEXTS, "near zq 9 and zq 8 Nobody", "Berlin, Berlin and Oslo"]
    check(source, program, texts)
    (answer,) = program([{"text": "near zq 9 and zq 8"}])
    assert [one["text"] for one in answer["spans"]] == ["zq 9"]


def test_lists_of_strings_are_found(minilm: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = [
        ("LOC", "rain", False),
        ("LOC", "station of Quito", False),
        ("PER", "NOBODY", True),
        ("LOC", "xyz xyz", True),
    ]
    lexicon = build_lexicon(Pattern(label, text, ignore_case=folded) for label, text, folded in own)
    texts = [*TEXTS, "Xyz XYZ met nobody in the rain at the station of Quito station of Lima"]
    for count in (0, 48):
        source = fitted(minilm, PLAIN, sentences(count), read_prior(), lexicon)
        program = exported(source, tmp_path / str(count), monkeypatch)
        assert check(source, program, texts) > 20
        kept = (tmp_path / str(count) / "model.json").read_text(encoding="utf-8")
        assert "Quito" not in kept
    expressions = build_lexicon([Pattern("LOC", "[A-Z]+[0-9]+", is_regex=True)])
    with pytest.raises(ExportError, match="1 regular expressions"):
        write_span_bundle(fitted(minilm, PLAIN, [], read_prior(), expressions), tmp_path / "none")


def test_without_a_prior_and_with_a_trained_head_for_one(
    tiny_base: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    texts = ["a b c", "d e f g h", "c c a", "", "b a d! e"] * 4
    documents = [
        SpanDocument(text, tuple(Span(place, place + 1, "PER") for place, sign in enumerate(text) if sign in "ad"))
        for text in texts
    ]
    source = fitted(Encoder(tiny_base), PLAIN, documents, None)
    assert check(source, exported(source, tmp_path / "plain", monkeypatch), texts) > 0
    build(tmp_path / "base")
    encoder = Encoder(tmp_path / "base")
    from model.spans.transfer.token_prior import choose_prior

    prior = choose_prior(encoder.digest, encoder.layers, encoder.token_head)
    for count in (0, 6):
        source = fitted(encoder, control_of("PER", "place"), documents[:count], prior)
        source = with_head(source, replace(head_of(source), rules=ShowRules(0.1, 0.1)))
        assert check(source, exported(source, tmp_path / f"taught{count}", monkeypatch), texts) > 0


def tuned_part(
    encoder: Encoder, prior: TransferPrior | None, labels: tuple[str, ...], tuned: Encoder | None = None
) -> FineTuned:
    generator = np.random.default_rng(0)
    shape = 1 + 2 * len(labels), (tuned or encoder).width
    weights = [generator.normal(size=shape).astype(np.float32) * np.float32(0.02) for _ in range(2)]
    names = SpanReader(encoder, prior).name_vectors(labels, labels)
    scorer = WordScorer(labels, *weights, np.zeros(len(weights[0]), np.float32), names, 0.7 if prior else 0.0, prior)
    own = calibration.SpanCalibration(0.8, 0.2)
    return FineTuned(Path("encoder"), {}, {"label": TunedMarks(scorer, 0.5, 24, 9, own, own, ShowRules(0.3, 0.2))})


def narrow_of(encoder: Encoder, directory: Path) -> Encoder:
    """A random one of two narrow layers that reads the same windows."""
    write_tiny_base(directory)
    (directory / CARD).write_text(json.dumps({"window": read_window(encoder.directory, encoder.config)}))
    return Encoder(directory)


@pytest.mark.long
def test_nested_spans_and_a_fine_tuned_share_in_onnxruntime(minilm: Encoder, tmp_path: Path) -> None:
    control, prior = control_of(*NESTED.labels), read_prior()
    plain = fitted(minilm, control, list(NESTED.train[:48]), prior)
    narrow = narrow_of(minilm, tmp_path / "narrow")
    part = tuned_part(minilm, prior, NESTED.labels[::-1][:-1], narrow)
    source = source_of(minilm, control, dict(plain.model.span_heads), plain.model.tools, part, narrow)
    assert head_of(source).inner and source.model.is_blend("label")
    write_span_bundle(source, tmp_path)
    texts = [one.text for one in NESTED.test[:24]] + list(ODD)
    program = load_program(tmp_path).Model(tmp_path)
    assert check(source, program, texts) > 40
    parity = measure_span_parity(source, tmp_path, "model.onnx", [{"text": text} for text in texts])
    assert parity.holds(FLOAT_LIMITS) and parity.agreement == 1 and parity.largest_difference < 2e-3
    quantise(tmp_path)
    small = measure_span_parity(source, tmp_path, "model.int8.onnx", [{"text": text} for text in texts])
    assert small.megabytes < parity.megabytes
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"text": text, "id": 1}) + "\n" for text in texts), encoding="utf-8")
    command = [
        sys.executable,
        "-I",
        "-B",
        str(tmp_path / "predict.py"),
        str(rows),
        "-o",
        str(tmp_path / "answers.jsonl"),
    ]
    subprocess.run(command, check=True, cwd=tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text(encoding="utf-8").split("\n")[:-1]]
    assert [[one["text"] for one in line["answer"]["spans"]] for line in lines] == [
        [one["text"] for one in answer["spans"]] for answer in program([{"text": text} for text in texts])
    ]


@pytest.mark.long
def test_long_texts_are_read_and_answered_in_parts(
    minilm: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = fitted(minilm, PLAIN, sentences(24), read_prior())
    text = " ".join(one.text for one in sentences(420, 300))
    assert len(text) > stretches.LONG_TEXT
    assert check(source, exported(source, tmp_path, monkeypatch), [text, "Ann Miller in Lima."]) > 300


def test_what_cannot_be_exported_is_told(minilm: Encoder, tmp_path: Path) -> None:
    tools = SpanTools(SpanReader(minilm, read_prior()))
    asks = replace(PLAIN, inputs=("text", "question"))
    spec = TaskSpec((), (), spans=(asks,))
    with pytest.raises(ExportError, match="questions"):
        write_span_bundle(source_of(minilm, asks, cold_span_heads(spec, tools), tools), tmp_path / "a")
    listed = replace(PLAIN, options_field="options")
    source = fitted(minilm, PLAIN, [], read_prior())
    with pytest.raises(ExportError, match="each task"):
        write_span_bundle(source_of(minilm, listed, dict(source.model.span_heads), tools), tmp_path / "a")
    assert not list(tmp_path.iterdir())


def test_constants_are_those_of_the_version() -> None:
    assert (*(stretches.LONG_TEXT, stretches.STRETCH, stretches.MARGIN),) == (
        words.LONG_TEXT,
        words.STRETCH,
        words.MARGIN,
    )
    assert (words.LENGTH, words.STRIDE) == (LENGTH, STRIDE)
    assert (spans.LONG_TEXT, spans.PIECE, spans.AROUND) == (stretches.LONG_TEXT, pieces.PIECE, pieces.AROUND)
    assert (spans.LEAST, spans.KEPT) == (span_probabilities.LEAST, span_probabilities.KEPT)
    assert (spans.EDGE, spans.FITTED_FROM) == (calibration.EDGE, calibration.FITTED_FROM)
    assert spans.LEAST_RIGHT == text_score.LEAST_RIGHT
    own = string_memory
    assert (spans.SHOWN, spans.EXPECTED, spans.STRENGTH) == (own.SHOWN, own.EXPECTED, own.STRENGTH)
    assert (looks.PIECE, looks.CAPITALS) == (pieces.PIECE, hand_features.CAPITALS)


@given(st.text(max_size=240))
def test_hashes_are_those_of_the_version(text: str) -> None:
    data = text.encode("utf-8", "surrogatepass")
    if len(data) <= 240:
        assert looks.name_hash(text) == xxhash.xxh3_64_intdigest(data) | 1


SIGNS = "a語サーｶﾞสวัสดีहिन्दीكِتَابשָׁל \u0301\u200d\u200c👨‍👩🇩🇪❤️👍🏽１3_-。…\n"


@pytest.fixture(scope="module")
def reader(minilm: Encoder) -> Any:
    from tokenizers import Tokenizer

    hints = looks.Hints({"features": [], "patterns": None})
    tokenizer = Tokenizer.from_str(minilm._windows.tokenizer_json())
    own: words.ReaderSpec = {
        "window": 256,
        "classes": {name: list(one) for name, one in classes().items()},
        "columns": 3,
    }
    return words.Reader(own, None, set(), tokenizer, hints)  # type: ignore[arg-type]


@settings(max_examples=300)
@given(text=st.text(max_size=60) | st.text(st.sampled_from(SIGNS), max_size=60))
def test_words_and_their_looks_are_those_of_the_version(reader: Any, text: str) -> None:
    bounds = find_words(text)
    assert [match.span() for match in reader.words.finditer(text)] == bounds
    table = looks.hand_table([text[start:end] for start, end in bounds], bounds, False) if bounds else np.zeros((0, 1))
    none = np.zeros((len(bounds), 0), np.float16)
    wanted = hand_features.hand_features([ReadText(text, bounds, none, none)])
    for row, own in zip(table, np.split(wanted.codes, wanted.ends[:-1]) if len(bounds) else [], strict=True):
        assert set(row[row > 0].tolist()) == set(own.tolist())


def test_ranges_hold_just_what_the_expression_takes() -> None:
    for name, ranges in classes().items():
        taken = {point for first, last in ranges for point in range(first, last + 1)}
        is_in = regex.compile(f"[{CLASSES[name]}]", regex.VERSION1).match
        assert all((point in taken) == bool(is_in(chr(point))) for point in range(0, 0x30000, 7))
