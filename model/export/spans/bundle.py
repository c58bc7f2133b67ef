"""A directory that marks text as a version does, with onnxruntime and tokenizers alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path

from model.export.bundle import FILES, GRAPH, PROGRAM, SPEC, TOKENIZER, ExportError, Source
from model.export.spans.graph import Layout, SpanGraph, Table, asks_prior, write_span_onnx
from model.export.spans.looks import digest, fold, written
from model.pretrained.reading import read_window
from model.questions.head import QuestionHead
from model.spans.chain.crf import Chain
from model.spans.head.calibration import SpanCalibration
from model.spans.head.head import SpanHead
from model.spans.head.tuned_marks import TunedMarks
from model.spans.patterns.lexicon import Lexicon
from model.spans.string_memory import StringMemory
from model.spans.words import CLASSES, find_words
from model.spec import Control, Json

PARTS = ("words.py", "looks.py", "spans.py")
"""Of the program, beside predict.py."""


def write_span_bundle(source: Source, directory: Path) -> None:
    """Graph, tokenizer, labels with the rules of answers, and the program. Raises ExportError."""
    control = source.model.spec.control(source.control)
    head, part = _heads(source, control)
    layout = Layout((head, *head.inner), part.scorer if part is not None else None)
    _require(layout)
    directory.mkdir(parents=True, exist_ok=True)
    write_span_onnx(SpanGraph(layout, source.base, source.tuned), directory / GRAPH)
    source.base.save_tokenizer(directory / TOKENIZER)
    spec = json.dumps(_describe(source, control, layout, part), ensure_ascii=True, indent=1)
    (directory / SPEC).write_text(spec + "\n", encoding="utf-8")
    here = Path(__file__)
    for name in (PROGRAM, FILES):
        shutil.copyfile(here.parents[1] / name, directory / name)
    for name in PARTS:
        shutil.copyfile(here.with_name(name), directory / name)


def _heads(source: Source, control: Control) -> tuple[SpanHead, TunedMarks | None]:
    """The head with the rules of what is shown, and the fine-tuned side with its share now. Raises ExportError."""
    model = source.model
    head = model.span_heads.get(control.name)
    if isinstance(head, QuestionHead) or control.question is not None:
        raise ExportError(f"{control.name} answers questions about a text: that cannot be exported yet")
    if control.options_field is not None:
        raise ExportError(f"{control.name}: its labels stand in each task, so that there is no fixed set of them")
    if head is None or not head.labels:
        raise ExportError(f"{control.name} knows no label")
    part = model.finetuned.marks.get(control.name) if model.finetuned is not None else None
    if not isinstance(part, TunedMarks) or part.weight <= 0 or source.tuned is None:
        return head, None
    return part.blend(head, (), ()).head, part.aged(head.details.texts)


def _require(layout: Layout) -> None:
    """Raises ExportError for what the program cannot look for."""
    lexicon = layout.heads[0].space.lexicon
    expressions = [one for one in lexicon.patterns if one.is_regex] if lexicon is not None else []
    if expressions:
        raise ExportError(
            f"its patterns hold {len(expressions)} regular expressions, for which an export has no engine: lists of "
            "strings can be exported; `understudy patterns` shows and changes them"
        )


def _describe(source: Source, control: Control, layout: Layout, part: TunedMarks | None) -> Mapping[str, Json]:
    heads, table = layout.heads, layout.table
    tools = source.model.tools
    aim = tools.aim if tools is not None else "clicks"
    return {
        "format": 1,
        "version": source.model.version,
        "control": control.name,
        "kind": control.kind.value,
        "inputs": [column_of(control)],
        "labels": list(control.keys()),
        "shown": {key: control.show(key) for key in control.keys()},  # noqa: SIM118 (no mapping)
        "window": read_window(source.base.directory, source.base.config),
        "classes": classes(),
        "columns": layout.columns[-1].end,
        "features": list(table.features),
        "patterns": _patterns(heads[0].space.lexicon, table),
        "layers": [_layer(layout, place, part, aim) for place in range(len(heads))],
        "overlaps": [list(own) for own in sorted(heads[0].overlaps)],
        "whole": _calibration(heads[0].whole),
    }


def column_of(control: Control) -> str:
    """What the text is called in a table: as its tag, without what says that spans count in it."""
    return control.inputs[0].removesuffix(".page") or control.inputs[0]


def _layer(layout: Layout, place: int, part: TunedMarks | None, aim: str) -> Mapping[str, Json]:
    head, columns = layout.heads[place], layout.columns[place]
    longest, tuned = head.details.longest, None
    plain = Chain(head.chain.tags, head.chain.weights.zeros(0, 0, head.chain.tags))
    if part is not None and columns.tuned is not None:
        tuned = _chain(part.scorer.chain, columns.tuned, part.longest)
    return {
        "chain": _chain(head.chain, columns.chain, longest),
        "alone": _chain(plain, columns.alone, longest) if columns.alone is not None else None,
        "alone_share": head.alone.share if asks_prior(head) else 0.0,
        "tuned": tuned,
        "tuned_share": part.weight if part is not None and tuned is not None else 0.0,
        "threshold": head.rules.of(aim),
        "calibration": _calibration(head.calibration),
        "text_calibration": _calibration(head.text_calibration),
        "memory": _memory(head.memory),
    }


def _chain(chain: Chain, column: int, longest: int) -> Mapping[str, Json]:
    own = chain.potentials
    return {
        "labels": list(chain.tags.labels),
        "column": column,
        "longest": longest,
        "transitions": own.transitions.tolist(),
        "begin": own.begin.tolist(),
        "end": own.end.tolist(),
    }


def _calibration(own: SpanCalibration) -> Sequence[float]:
    return own.slope, own.shift


def _memory(memory: StringMemory) -> Mapping[str, Json]:
    """By digests: no string of a text leaves."""
    removed: dict[str, dict[str, int]] = {}
    for (key, label), count in memory.removed.items():
        removed.setdefault(digest(key), {})[label] = count
    return {
        "marked": {digest(key): dict(labels) for key, labels in memory.marked.items()},
        "unmarked": {digest(key): count for key, count in memory.unmarked.items()},
        "removed": removed,
        "lengths": list(memory.lengths),
        "right": list(memory.right),
        "tried": list(memory.tried),
    }


def _patterns(lexicon: Lexicon | None, table: Table) -> Mapping[str, Json] | None:
    if lexicon is None:
        return None
    words = [(one, tuple(one.text[start:end] for start, end in find_words(one.text))) for one in lexicon.patterns]
    exact = ((digest(written(key)), one.label) for one, key in words if not one.ignore_case)
    folded = ((digest(fold(key)), one.label) for one, key in words if one.ignore_case)
    return {
        "strings": _by_digest(exact),
        "any_case": _by_digest(folded),
        "lengths": sorted({len(key) for _, key in words}),
        "rows": {label: list(rows) for label, rows in table.patterns.items()},
    }


def _by_digest(rows: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    return {key: sorted({label for _, label in own}) for key, own in groupby(sorted(rows), lambda row: row[0])}


def classes() -> Mapping[str, Sequence[tuple[int, int]]]:
    """Code points of what makes words, as ranges: Python's own expressions know no scripts, and other releases of it
    other letters."""
    import regex

    points = "".join(map(chr, range(0x110000)))
    runs = {name: regex.compile(f"[{pattern}]+", regex.VERSION1) for name, pattern in CLASSES.items()}
    return {name: [(one.start(), one.end() - 1) for one in own.finditer(points)] for name, own in runs.items()}
