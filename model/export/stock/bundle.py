"""A version's answers as a directory of transformers: its fine-tuned part where that says the same, else a student."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from model.export.bundle import ExportError, Source
from model.export.parity import Parity
from model.export.stock.answering import Clock, ask, teaching_seconds
from model.export.stock.classifier import CosineHead, build_stock, rebuild_stock, require_stock, save_stock
from model.export.stock.distil import Budget, SoftTargets, Tell, distil
from model.export.stock.outputs import Outputs
from model.export.stock.parity import STOCK_LIMITS, measure_stock
from model.numerics.holdout import is_held_out
from model.numerics.temperature import fit_temperature
from model.spec import Text
from model.versions.finetuned import TunedHead

if TYPE_CHECKING:
    from model.encoder.encoder import Encoder

OWN, DISTILLED = "fine-tuned part", "distilled"

LEAST_HELD, LEAST_TAUGHT = 8, 16

CALIBRATED_ON = 200
"""Texts that the temperature of a fine-tuned part is fitted on."""


@dataclass(frozen=True)
class Teaching:
    """`texts`: all that are known, without copies; `scratch`: a folder; `seconds`: most that all of it takes, answers
    and comparing included; `compared`: most texts that answers are compared on."""

    texts: Sequence[Text]
    scratch: Path
    seconds: float
    compared: int
    seed: int = 0
    threads: int = 1
    precision: str = "fp32"


@dataclass(frozen=True)
class Made:
    """How the directory came about, with its parity; `held`: the texts that a student was not taught; `unasked`: those
    for which there was no time."""

    how: str
    parity: Parity
    held: frozenset[Text]
    steps: int = 0
    seconds: float = 0.0
    taught: int = 0
    unasked: int = 0


def write_stock(source: Source, outputs: Outputs, directory: Path, teaching: Teaching, tell: Tell) -> Made:
    """Writes config.json, model.safetensors and the tokenizer. Raises ExportError."""
    texts, clock = list(teaching.texts), Clock.start(teaching.seconds)
    part = _own_part(source, outputs)
    if part is not None and source.tuned is not None:
        tell("trying its fine-tuned part alone")
        temperature = _temperature(source, outputs, part, source.tuned, texts)
        _write_part(source.tuned, outputs, part, temperature, texts, directory)
        parity = measure_stock(source.model, outputs, directory, texts[: teaching.compared])
        if parity.holds(STOCK_LIMITS):
            return Made(OWN, parity, frozenset())  # it may have learned any of them
        tell(f"alone it answers {parity.agreement:.1%} alike: a student is taught instead")
        shutil.rmtree(directory)
    require_stock(source.base)
    held, rest = divide(texts)
    asked = ask(rest, lambda some: list(outputs.answers(source.model, some)), clock, teaching.seed, tell)
    soft = SoftTargets(outputs.names, outputs.several, asked.texts, np.array(asked.answers))
    goes_on = part is not None and part.taught is None and source.tuned is not None
    start = source.tuned if goes_on and source.tuned is not None else source.base
    budget = Budget(
        source.base,
        start,
        teaching.scratch / "student.safetensors",
        teaching_seconds(clock, asked.pace, min(len(held), teaching.compared)),
        teaching.seed,
        teaching.threads,
        teaching.precision,
    )
    student = distil(soft, budget, tell)
    save_stock(build_stock(student.encoder, student.head, asked.texts), source.base, directory)
    _note(directory, outputs)
    tell(f"comparing it with the version on {min(len(held), teaching.compared)} texts that it was not taught")
    parity = measure_stock(source.model, outputs, directory, held[: teaching.compared])
    seconds = round(student.seconds, 1)
    return Made(DISTILLED, parity, frozenset(held), student.steps, seconds, len(asked.texts), asked.unasked)


def divide(texts: Sequence[Text]) -> tuple[list[Text], list[Text]]:
    """(held out of teaching, taught): by the texts' hashes; a fifth of few, whatever they are. Raises ExportError."""
    held = [text for text in texts if is_held_out(text)]
    if len(held) < LEAST_HELD:
        held = list(texts[: max(LEAST_HELD, len(texts) // 5)])
    kept = set(held)
    taught = [text for text in texts if text not in kept]
    if len(taught) < LEAST_TAUGHT:
        raise ExportError(
            f"{len(texts)} texts are too few to distil from: {LEAST_HELD + LEAST_TAUGHT} are needed, and thousands are "
            "better; --format onnx needs none"
        )
    return held, taught


def _own_part(source: Source, outputs: Outputs) -> TunedHead | None:
    """The fine-tuned head; None without one, or where it lacks a label."""
    finetuned = source.model.finetuned
    part = finetuned.heads.get(source.control) if finetuned is not None and source.tuned is not None else None
    if part is None or part.weight <= 0 or part.multilabel != outputs.several:
        return None
    return part if set(outputs.keys) <= set(part.labels) else None


def _temperature(source: Source, outputs: Outputs, part: TunedHead, tuned: Encoder, texts: Sequence[Text]) -> float:
    """With which it comes nearest to what is served."""
    some = list(texts[:CALIBRATED_ON])
    rows = [part.labels.index(key) for key in outputs.keys]
    said = np.asarray(part.scores(tuned.embed(some)[:, -1]), dtype=np.float64)[:, rows]
    if not outputs.several:
        said = said / np.maximum(said.sum(1, keepdims=True), 1e-12)
    return fit_temperature(said, outputs.answers(source.model, some), multilabel=outputs.several)


def _write_part(
    tuned: Encoder, outputs: Outputs, part: TunedHead, temperature: float, texts: Sequence[Text], directory: Path
) -> None:
    rows = [part.labels.index(key) for key in outputs.keys]
    if part.taught is None:
        head = CosineHead(outputs.names, outputs.several, part.coefficients[rows], part.bias[rows]).at(temperature)
        model = build_stock(tuned, head, texts)
    else:
        arrays = part.taught.arrays
        weight = arrays["output.weight"][rows] / temperature
        bias = np.asarray(arrays.get("output.bias", np.zeros(len(part.labels))))[rows] / temperature
        model = rebuild_stock(tuned, weight, bias, outputs.names, outputs.several)
    save_stock(model, tuned, directory)
    _note(directory, outputs)


def _note(directory: Path, outputs: Outputs) -> None:
    """Thresholds of sets, where who reads the directory looks for what it is made of."""
    if not outputs.several:
        return
    path = directory / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["thresholds"], config["nonempty"] = dict(outputs.thresholds), outputs.rules.nonempty
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
