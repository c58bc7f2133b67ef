"""Whether an exported directory answers as the version does."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import ModuleType

import numpy as np

from model.decoding.answers import decide
from model.export.bundle import PROGRAM, Source
from model.spec import NONE, Document, Json

Report = Callable[[int, int], None]
"""Takes how many of how many texts are compared."""

TEXTS_AT_ONCE = 64
"""Between two reports."""

Limits = tuple[float, float]
"""Least share of equal answers, and largest mean difference of a probability."""

FLOAT_LIMITS: Limits = (0.99, 0.01)
INT8_LIMITS: Limits = (0.97, 0.03)


@dataclass(frozen=True)
class Parity:
    """On `texts` tasks: share of equal answers, mean and largest difference of a probability, milliseconds a task of
    the export and of the version (one thread each), megabytes of the graph; `of`: what the share is of, texts or the
    spans in them."""

    graph: str
    texts: int
    agreement: float
    mean_difference: float
    largest_difference: float
    milliseconds: float
    milliseconds_here: float
    megabytes: float
    of: str = "texts"

    def holds(self, limits: Limits) -> bool:
        """Whether it is near enough."""
        return self.agreement >= limits[0] and self.mean_difference <= limits[1]

    def to_json(self) -> Mapping[str, Json]:
        return asdict(self)


def measure_parity(
    source: Source,
    directory: Path,
    graph: str,
    documents: Sequence[Document],
    report: Report = lambda done, whole: None,
) -> Parity:
    """The export in `directory`, run by its own program, beside the version. Raises ValueError without documents."""
    if not documents:
        raise ValueError("parity needs texts")
    control = source.model.spec.control(source.control)
    exported = load_program(directory).Model(directory, graph, 1)
    # Without the feature cache: each reads every text anew.
    here = replace(source.model, base=source.base, tuned=source.tuned)
    found, wished, seconds = [], [], np.zeros(2)
    for start in range(0, len(documents), TEXTS_AT_ONCE):
        part = documents[start : start + TEXTS_AT_ONCE]
        began = time.process_time()
        found.append(exported.probabilities(part))
        middle = time.process_time()
        wished.append(here.scores(source.control, [control.text_of(document) for document in part]))
        seconds += middle - began, time.process_time() - middle
        report(start + len(part), len(documents))
    rows, wanted = np.concatenate(found), np.concatenate(wished)
    rules = source.model.rules(source.control)
    given = [exported.decide(row) for row in rows]
    same = 0
    for answer, row in zip(given, wanted, strict=True):
        own = decide(control, rules, row)
        same += answer["labels"] == [control.show(key) for key in (own.chosen if own else ()) if key != NONE]
    apart = np.abs(rows - wanted)
    return Parity(
        graph,
        len(documents),
        same / len(documents),
        float(apart.mean()),
        float(apart.max()),
        round(1000 * float(seconds[0]) / len(documents), 3),
        round(1000 * float(seconds[1]) / len(documents), 3),
        round((directory / graph).stat().st_size / 1e6, 1),
    )


def load_program(directory: Path) -> ModuleType:
    """The directory's own predict.py, read without leaving a `__pycache__` in what leaves the house."""
    path = directory / PROGRAM
    module = ModuleType("exported_predict")
    module.__file__ = str(path)
    exec(compile(path.read_text(encoding="utf-8"), path, "exec"), module.__dict__)
    return module
