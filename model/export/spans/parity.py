"""Whether an exported directory marks text as the version does."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from model.export.bundle import Source
from model.export.parity import Parity, Report, load_program
from model.export.spans.bundle import column_of
from model.spec import Document


def measure_span_parity(
    source: Source,
    directory: Path,
    graph: str,
    documents: Sequence[Document],
    report: Report = lambda done, whole: None,
) -> Parity:
    """Agreement is the share of texts with the same spans; probabilities are those of spans that both mark. Raises
    ValueError without documents."""
    if not documents:
        raise ValueError("parity needs texts")
    exported = load_program(directory).Model(directory, graph, 1)
    control = source.model.spec.control(source.control)
    tasks = [{column_of(control): document[control.inputs[0]]} for document in documents]
    began = time.process_time()
    given = exported(tasks)
    middle = time.process_time()
    report(len(tasks) // 2, len(tasks))
    wanted = source.model.mark(source.control, documents)
    ended = time.process_time()
    shown = control.show
    same, apart = 0, [0.0]
    for answer, own in zip(given, wanted, strict=True):
        here = {(one.start, one.end, shown(one.label)): one.score for one in own.spans}
        there = {(one["start"], one["end"], one["label"]): one["score"] for one in answer["spans"]}
        same += here.keys() == there.keys()
        apart += [abs(here[place] - there[place]) for place in here.keys() & there.keys()]
    differences = np.array(apart[1:] or apart)
    return Parity(
        graph,
        len(documents),
        same / len(documents),
        float(differences.mean()),
        float(differences.max()),
        round(1000 * (middle - began) / len(documents), 3),
        round(1000 * (ended - middle) / len(documents), 3),
        round((directory / graph).stat().st_size / 1e6, 1),
    )
