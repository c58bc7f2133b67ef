"""What leaves the house answers as the version does: every kind of question, through the exported program itself."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from model.decoding.answers import SetRules
from model.encoder.encoder import Encoder
from model.export import bundle
from model.export.bundle import ExportError, Source, quantise, write_bundle
from model.export.graph import ControlGraph
from model.export.parity import FLOAT_LIMITS, load_program, measure_parity
from model.head.fit import fit_heads
from model.pretrained.reading import CARD
from model.spec import NONE, Control, Document, Kind, Label, Sample, TaskSpec
from model.versions.finetuned import FineTuned, TunedHead
from model.versions.live_model import LiveModel
from tests.support.tiny import build_tiny, tiny_base  # noqa: F401

LETTERS = "abcdefgh"
LONG = "a b c. " * 60 + "d e f. " * 200 + "g h. " * 80
TEXTS = [
    "a b c",
    "d e f g",
    "h",
    "",
    "a a a b",
    "c d e! f g? h.",
    "g h g h a",
    "b",
    LONG,
    "x y z a",
    "e " * 600,
    "d xx yy xx.",
]


def labels(*names: str) -> tuple[Label, ...]:
    return tuple(Label(tuple(name.split("/")), name) for name in names)


SINGLE = Control("label", Kind.SINGLE, ("text",), labels("a b", "c d", "e f"))
REQUIRED = replace(SINGLE, required=True)
SET = Control("label", Kind.MULTIPLE, ("text",), labels("a", "c", "e"))
TREE = Control("label", Kind.TAXONOMY, ("text",), labels("a", "a/b", "a/c", "d", "d/e"), tag="Taxonomy")
TREES = replace(TREE, several=True, most=2)
STARS = Control("label", Kind.RATING, ("text",), labels("1", "2", "3", "4", "5"), tag="Rating")
PAIR = Control("label", Kind.SINGLE, ("text", "other"), labels("a", "b"))
COMPARED = Control("label", Kind.SINGLE, ("text", "other"), labels("left", "right"), tag="Pairwise")
ONE = Control("label", Kind.MULTIPLE, ("text",), labels("a"))
CONTROLS = {
    "single": SINGLE,
    "required": REQUIRED,
    "set": SET,
    "tree": TREE,
    "trees": TREES,
    "stars": STARS,
    "pair": PAIR,
    "compared": COMPARED,
    "one": ONE,
}


@pytest.fixture(scope="module")
def encoder(tiny_base: Path) -> Encoder:  # noqa: F811
    return Encoder(tiny_base)


@pytest.fixture(scope="module")
def shallow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder of two layers: a graph is written in a time that grows with them."""
    return build_tiny(tmp_path_factory.mktemp("shallow"), num_hidden_layers=2)


def documents() -> list[Document]:
    return [{"text": text, "other": other} for text, other in zip(TEXTS, reversed(TEXTS), strict=True)]


def samples(control: Control, count: int = 48) -> list[Sample]:
    """Texts of letters, each with an answer that its letters decide; some with none."""
    generator, keys = np.random.default_rng(1), control.keys()
    found = []
    for task in range(count):
        drawn = [" ".join(generator.choice([*LETTERS, "xx", "yy"], 7)) for _ in control.inputs]
        place = sum(map(ord, drawn[0])) % len(keys)
        target = {keys[place]: 1.0}
        if control.multilabel:
            target = {key: 1.0 for turn, key in enumerate(keys) if LETTERS[turn] in drawn[0]}
        elif task % 7 == 0 and not control.required:
            target = {NONE: 1.0}
        found.append(Sample(task, tuple(drawn), target))
    return found


def source_of(encoder: Encoder, control: Control, count: int = 48, tuned: bool = False) -> Source:
    spec = TaskSpec((), (control,))
    pool: list[Document] = documents()
    heads = fit_heads(spec, {"label": samples(control, count)} if count else {}, pool, encoder)
    if not tuned:
        return Source(LiveModel("v0.1", spec, heads, encoder), "label", encoder, None)
    head, generator = heads["label"], np.random.default_rng(2)
    names = head.labels[::-1][:-1] if len(head.labels) > 2 else head.labels  # in another order, and one is new since
    shape = len(names), encoder.width
    part = TunedHead(
        names,
        control.multilabel,
        generator.standard_normal(shape).astype(np.float32),
        np.zeros(len(names), np.float32),
        0.6,
        1.3,
        SetRules(threshold=0.35) if control.multilabel else SetRules(),
        trained_on=count // 2,
    )
    finetuned = FineTuned(Path("encoder"), {"label": part})
    return Source(LiveModel("v0.1", spec, heads, encoder, finetuned, encoder), "label", encoder, encoder)


def reading_first_tokens(encoder: Path, directory: Path) -> Encoder:
    """An encoder that is given a prefix, and of which the first token counts."""
    shutil.copytree(encoder, directory)
    (directory / CARD).write_text(json.dumps({"prefix": "a b: ", "pooling": "cls"}), encoding="utf-8")
    return Encoder(directory)


class TorchSession:
    """Runs the graph in torch, as onnxruntime would."""

    def __init__(self, source: Source) -> None:
        self.graph = ControlGraph(source.model, "label", source.base, source.tuned).eval()

    def run(self, _: None, feed: dict[str, Any]) -> list[Any]:
        with torch.inference_mode():
            return [self.graph(*(torch.from_numpy(feed[name]) for name in self.graph.inputs)).numpy()]


def exported(source: Source, directory: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The exported program over the graph as torch has it."""
    monkeypatch.setattr(bundle, "write_onnx", lambda graph, path, terms: None)
    write_bundle(source, directory)
    module: Any = load_program(directory)
    session = TorchSession(source)
    program = module.Model.__new__(module.Model)
    program.spec = json.loads((directory / "model.json").read_text(encoding="utf-8"))
    program.session, program.wanted = session, set(session.graph.inputs)
    tokenizer = module.Tokenizer.from_file(str(directory / "tokenizer.json"))
    program.reader = module.Reader(tokenizer, program.spec["window"])
    program.words = module.beside("terms").Words(**program.spec["words"]) if program.spec["words"] else None
    return program


def check(source: Source, program: Any, rows: Any, near: float = 2e-5) -> None:
    """Probabilities and answers are the version's."""
    control = source.model.spec.control("label")
    wanted = source.model.scores("label", [control.text_of(document) for document in documents()])
    np.testing.assert_allclose(rows, wanted, atol=near)
    for row, answers in zip(rows, source.model.predict(documents()), strict=True):
        own, answer = program.decide(row), answers[0]
        assert own["labels"] == [control.show(key) for key in answer.chosen]
        assert own["score"] == pytest.approx(answer.score, abs=max(1e-4, near))
        (first, lead), *others = answer.ranking
        if others and lead - others[0][1] <= near:
            continue  # alike but for rounding: either may be named first
        assert own["ranking"][0][0] == (control.show(first) if first else "")


@pytest.mark.parametrize("tuned", [False, True], ids=["head", "blend"])
@pytest.mark.parametrize("count", [0, 6, 48], ids=["cold", "few", "many"])
@pytest.mark.parametrize("name", CONTROLS)
def test_every_kind_of_question_is_answered_alike(
    encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, count: int, tuned: bool
) -> None:
    source = source_of(encoder, CONTROLS[name], count, tuned)
    program = exported(source, tmp_path, monkeypatch)
    check(source, program, program.probabilities(documents()))


@pytest.mark.long
@pytest.mark.parametrize(("name", "tuned"), [("single", True), ("pair", False)])
def test_the_graph_runs_in_onnxruntime(shallow: Path, tmp_path: Path, name: str, tuned: bool) -> None:
    source = source_of(Encoder(shallow), CONTROLS[name], tuned=tuned)
    write_bundle(source, tmp_path)
    program = load_program(tmp_path).Model(tmp_path)
    check(source, program, program.probabilities(documents()))
    one_by_one = np.concatenate([program.probabilities([document]) for document in documents()])
    np.testing.assert_allclose(one_by_one, program.probabilities(documents()), atol=2e-5)
    parity = measure_parity(source, tmp_path, "model.onnx", documents())
    assert parity.holds(FLOAT_LIMITS) and parity.largest_difference < 1e-4 and parity.texts == len(TEXTS)
    if tuned:
        quantise(tmp_path)
        small = measure_parity(source, tmp_path, "model.int8.onnx", documents())
        assert small.largest_difference > 0 and small.megabytes <= parity.megabytes
        rows = tmp_path / "rows.jsonl"
        rows.write_text("".join(json.dumps({"id": 1, **one}) + "\n" for one in documents()), encoding="utf-8")
        command = [sys.executable, "-I", str(tmp_path / "predict.py"), str(rows), "-o", str(tmp_path / "answers.jsonl")]
        subprocess.run(command, check=True, cwd=tmp_path)
        lines = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text(encoding="utf-8").splitlines()]
        assert [line["answer"]["labels"] for line in lines] == [one["labels"] for one in program(documents())]
        assert all(line["id"] == 1 for line in lines)


NEAR = 5e-4
"""First tokens of a random encoder are almost one vector: less their mean, rounding is a part of what is left."""


@pytest.mark.parametrize("name", ["single", "pair"])
def test_what_the_encoder_wants_before_texts_goes_along(
    tiny_base: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    source = source_of(reading_first_tokens(tiny_base, tmp_path / "encoder"), CONTROLS[name], tuned=True)
    program = exported(source, tmp_path / "export", monkeypatch)
    check(source, program, program.probabilities(documents()), near=NEAR)


@pytest.mark.long
def test_first_tokens_are_taken_in_onnxruntime(shallow: Path, tmp_path: Path) -> None:
    source = source_of(reading_first_tokens(shallow, tmp_path / "encoder"), SINGLE)
    write_bundle(source, tmp_path / "export")
    program = load_program(tmp_path / "export").Model(tmp_path / "export")
    check(source, program, program.probabilities(documents()), near=NEAR)


def test_what_cannot_be_a_graph_is_refused(encoder: Encoder, tmp_path: Path) -> None:
    listed = replace(SINGLE, options_field="options")
    with pytest.raises(ExportError, match="each task"):
        write_bundle(Source(LiveModel("v1", TaskSpec((), (listed,)), {}, encoder), "label", encoder, None), tmp_path)
    marks = Control("label", Kind.SPANS, ("text",), labels("PER"))
    model = LiveModel("v1", TaskSpec((), (), spans=(marks,)), {}, encoder)
    with pytest.raises(ExportError, match="marks text"):
        write_bundle(Source(model, "label", encoder, None), tmp_path)
    assert not list(tmp_path.iterdir())
