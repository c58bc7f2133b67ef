"""Searches marked texts for spans that are probably wrong. Runs in the learner, while nobody waits for it."""

from __future__ import annotations

import logging
import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from backend.errors import BackendError
from backend.jobs.context import Context
from backend.jobs.learn.label_errors import LABEL_GROWTH, excerpt
from backend.labelstudio.label_display import spec_of
from backend.record_json import LabelErrorRow, SpanPlace
from backend.rules.consensus import reach_consensus
from backend.store.label_errors import LabelErrors
from model.errors import ModelError
from model.span import Span, SpanSample

if TYPE_CHECKING:
    from model.spans.head.label_errors import SpanError
    from model.versions.live_model import LiveModel

log = logging.getLogger(__name__)

MOST_TEXTS, MOST_CHARACTERS = 3000, 400_000
"""Texts that are searched, the last ones: four fits on three quarters of them take half a minute at most."""

BEFORE = 40
"""Characters before a span that its excerpt shows."""


def search_marks(work: Context, project: int, late: float = math.inf) -> bool:
    """Whether the list of a control was made anew: where its labelled texts have grown by a tenth since the last time.
    What somebody's label interrupts, or what is not done at `late` (as `time.monotonic` counts), is begun again after a
    later refit."""
    stores = work.stores
    live = stores.versions.live(project)
    spec = spec_of(stores.projects.config(project))
    if live is None or spec is None or not spec.spans or stores.jobs.is_learner_wanted():
        return False
    try:
        model = work.live_model(project, live)
        return _search(work, project, model, late)
    except (BackendError, ModelError, ValueError) as error:
        log.error("search for wrong spans failed project=%s version=%s: %s", project, live, error)
        return False


def _search(work: Context, project: int, model: LiveModel, late: float) -> bool:
    from model.versions.span_answers import find_errors

    stores, known = work.stores, work.stores.label_errors.read(project)
    sizes = model.manifest.labels_seen if model.manifest else {}
    due = [control for control in model.spec.spans if _is_due(sizes.get(control.name, 0), known.get(control.name))]
    if not due:
        return False
    snapshot = stores.examples.snapshot(project)
    consensus = reach_consensus(model.spec, snapshot.records)
    versions = {record.annotation: record.version for record in snapshot.records}
    found: dict[str, LabelErrors] = {}

    def goes_on() -> bool:
        return time.monotonic() < late and not stores.jobs.is_learner_wanted()

    for control in due:
        samples = newest(consensus.spans[control.name])
        head = model.span_heads[control.name]
        errors = find_errors(control, samples, head, model.tools, goes_on)
        if errors is not None:
            rows = list_rows(samples, errors, versions)
            texts = len({sample.task for sample in samples})
            at, size = round(time.time(), 3), sizes[control.name]
            found[control.name] = {"searched": texts, "at": at, "rows": rows, "known": size}
    names = [control.name for control in model.spec.questions]
    stores.label_errors.replace(project, found, names, snapshot.seq)
    return bool(found)


def _is_due(size: int, last: LabelErrors | None) -> bool:
    from model.spans.head.label_errors import FEWEST_TEXTS

    before = last.get("known", last["searched"]) if last else 0
    return size >= FEWEST_TEXTS and size >= LABEL_GROWTH * before


def newest(samples: Sequence[SpanSample]) -> list[SpanSample]:
    """The samples that are searched, in their order: those of the last tasks."""
    kept: list[SpanSample] = []
    characters = 0
    for sample in reversed(samples):
        characters += len(sample.text)
        if len(kept) == MOST_TEXTS or (kept and characters > MOST_CHARACTERS):
            break
        kept.append(sample)
    return kept[::-1]


def list_rows(
    samples: Sequence[SpanSample], errors: Sequence[SpanError], versions: Mapping[int, str]
) -> list[LabelErrorRow]:
    """What is kept, in the order of suspicion. A ground truth is not doubted; a task whose annotators disagree is told
    as such instead."""
    from model.evidence.label_errors import SUSPECTS_KEPT

    people = Counter(sample.task for sample in samples)
    rows = [
        _row(samples[error.place], error, versions)
        for error in errors
        if people[samples[error.place].task] == 1 and not samples[error.place].ground_truth
    ]
    return rows[:SUSPECTS_KEPT]


def _row(sample: SpanSample, error: SpanError, versions: Mapping[int, str]) -> LabelErrorRow:
    from model.evidence.label_errors import flag_of_span

    given, suggested = error.given, error.suggested
    row: LabelErrorRow = {
        "task": sample.task,
        "annotations": {str(id_): versions[id_] for id_ in sample.annotations},
        "text": _told(sample, given or suggested),
        "given": given.label if given else "",
        "suggested": suggested.label if suggested else "",
        "p_given": round(error.p_given, 4),
        "p_suggested": round(error.p_suggested, 4),
        "flag": flag_of_span(error.p_given, error.p_suggested),
        "kind": error.kind.value,
    }
    if given:
        row["given_span"] = _place(sample.text, given)
    if suggested:
        row["suggested_span"] = _place(sample.text, suggested)
    return row


def _place(text: str, span: Span) -> SpanPlace:
    return {"start": span.start, "end": span.end, "text": excerpt((text[span.start : span.end],))}


def _told(sample: SpanSample, span: Span | None) -> str:
    """What stands around the span; of an answer the question before."""
    around = _around(sample.text, span)
    return around if sample.question is None else excerpt((sample.question, around))


def _around(text: str, span: Span | None) -> str:
    """The beginning of the text, or what stands around the span where that lies further on."""
    start = max(0, span.start - BEFORE) if span else 0
    if start <= BEFORE:
        return excerpt((text,))
    return excerpt(("…" + text[start:],))
