"""What a version marks as a directory of transformers: a student, since no stock class has chains, lists of strings, or
a blend of two encoders."""

from __future__ import annotations

from pathlib import Path

from model.export.bundle import Source
from model.export.stock.answering import Clock, ask, teaching_seconds
from model.export.stock.bundle import DISTILLED, Made, Teaching, divide
from model.export.stock.classifier import save_stock
from model.export.stock.distil import Budget, Tell
from model.export.stock.spans.classifier import build_token_stock, require_token_stock
from model.export.stock.spans.distil import distil_tags
from model.export.stock.spans.outputs import SpanOutputs
from model.export.stock.spans.parity import measure_span_stock


def write_span_stock(source: Source, outputs: SpanOutputs, directory: Path, teaching: Teaching, tell: Tell) -> Made:
    """Writes config.json, model.safetensors and the tokenizer. Raises ExportError."""
    require_token_stock(source.base, outputs.tags)
    clock = Clock.start(teaching.seconds)
    held, rest = divide(list(teaching.texts))
    compared = [text[0] for text in held[: teaching.compared]]
    own = [text[0] for text in rest]
    asked = ask(own, lambda some: outputs.taught(source.model, some), clock, teaching.seed, tell)
    budget = Budget(
        source.base,
        source.tuned or source.base,
        teaching.scratch / "student.safetensors",
        teaching_seconds(clock, asked.pace, len(compared)),
        teaching.seed,
        teaching.threads,
        teaching.precision,
    )
    student = distil_tags(asked.texts, asked.answers, len(outputs.tags), budget, tell)
    save_stock(build_token_stock(student.encoder, student.weight, student.bias, outputs.tags), source.base, directory)
    tell(f"comparing it with the version on {len(compared)} texts that it was not taught")
    parity = measure_span_stock(source.model, outputs, directory, compared)
    seconds = round(student.seconds, 1)
    return Made(DISTILLED, parity, frozenset(held), student.steps, seconds, len(asked.texts), asked.unasked)
