"""Which labelled tasks an admin should look at again, each with the answer that is suggested instead: labels that are
probably wrong, and tasks whose annotators disagree. Ready to be written into Label Studio (relabel_tab.py)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from backend.admin_json import RelabelRow
from backend.errors import BadRequest, UnsupportedConfig
from backend.labelstudio.records import ExampleRecord, SpanRow
from backend.labelstudio.results import to_results
from backend.labelstudio.task_spec import parse_label_config
from backend.record_json import Disputed, LabelErrorRow
from backend.rules.consensus import label_keys
from model.span import ScoredSpan
from model.spec import Control, Prediction, TaskSpec

if TYPE_CHECKING:
    from backend.store.stores import Stores

VERSION_PREFIX = "understudy-relabel"
WRONG, CHECK, DISAGREE = (
    f"{VERSION_PREFIX}: likely wrong",
    f"{VERSION_PREFIX}: to check",
    f"{VERSION_PREFIX}: annotators disagree",
)

RELABEL_VERSIONS = (WRONG, CHECK, DISAGREE)
"""Model versions of what is written, the most serious first. No live version and no queue is called so: the label
stream neither hands these tasks out nor shows these answers."""

FLAGS = {"likely wrong": WRONG, "check": CHECK}

DEFAULT_LIMIT_TASKS = 100
"""Tasks that are written when no other number is asked for: the Data Manager cannot sort them."""


def list_label_errors(stores: Stores, project: int, limit: int = DEFAULT_LIMIT_TASKS) -> list[RelabelRow]:
    """`{"task", "result", "score", "model_version"}` of at most `limit` tasks, the most doubtful first; empty for a
    label config that is unknown or holds nothing to learn. `score`: how likely what stands there is right."""
    config = stores.projects.config(project)
    try:
        spec = parse_label_config(config or "")
    except (UnsupportedConfig, BadRequest):
        return []
    suspects = {
        name: [row for row in entry["rows"] if row["flag"] in FLAGS]
        for name, entry in stores.label_errors.read_with_duplicates(project).items()
    }
    disputed = stores.projects.summary(project).get("disagreements", {})
    tasks = {row["task"] for rows in suspects.values() for row in rows}
    tasks |= {row["task"] for rows in disputed.values() for row in rows}
    records = {task: stores.examples.of_task(project, task) for task in tasks}
    return rank_label_errors(spec, suspects, disputed, records)[:limit]


def rank_label_errors(
    spec: TaskSpec,
    suspects: Mapping[str, Sequence[LabelErrorRow]],
    disputed: Mapping[str, Sequence[Disputed]],
    records: Mapping[int, Sequence[ExampleRecord]],
) -> list[RelabelRow]:
    """As above, from control -> its suspects, control -> its disputed tasks, and task -> its annotations. Pure."""
    doubts: dict[int, list[tuple[str, float, Prediction]]] = {}
    for control in spec.controls:
        of_control = list(suspects.get(control.name, ()))
        for task in dict.fromkeys(int(row["task"]) for row in of_control):
            rows = [row for row in of_control if row["task"] == task]
            version = min((FLAGS[row["flag"]] for row in rows), key=RELABEL_VERSIONS.index)
            score = min(float(row["p_given"]) for row in rows)
            chosen = _suggestion(control, rows, records.get(task, ()))
            doubts.setdefault(task, []).append((version, score, Prediction(control.name, chosen, 1 - score)))
        for row in disputed.get(control.name, ()):
            task, agreement = int(row["task"]), 1 - float(row["score"])
            chosen = _majority(control, records.get(task, ()))
            if records.get(task) and not any(known.control == control.name for *_, known in doubts.get(task, ())):
                doubts.setdefault(task, []).append((DISAGREE, agreement, Prediction(control.name, chosen, agreement)))
    for control in spec.spans:
        _add_marked(doubts, control, suspects.get(control.name, ()), disputed.get(control.name, ()), records)
    return sorted(
        (_to_row(spec, task, found) for task, found in doubts.items()), key=lambda row: (row["score"], row["task"])
    )


def _to_row(spec: TaskSpec, task: int, found: Sequence[tuple[str, float, Prediction]]) -> RelabelRow:
    """One prediction a task: its most serious doubt names it."""
    version = min((version for version, *_ in found), key=RELABEL_VERSIONS.index)
    score = round(min(score for _, score, _ in found), 4)
    result = to_results(spec, [prediction for *_, prediction in found])
    row: RelabelRow = {"task": task, "result": result, "score": score, "model_version": version}
    marking = {control.name for control in spec.spans}
    if spans := {
        one.control: [(span.start, span.end, span.label, span.score, span.reason) for span in one.spans]
        for *_, one in found
        if one.control in marking
    }:
        row["spans"] = spans
    return row


def _add_marked(
    doubts: dict[int, list[tuple[str, float, Prediction]]],
    control: Control,
    suspects: Sequence[LabelErrorRow],
    disputed: Sequence[Disputed],
    records: Mapping[int, Sequence[ExampleRecord]],
) -> None:
    """Adds what is doubtful in a control that marks text: what stands there, with the doubtful spans put right."""
    by_task: dict[int, list[LabelErrorRow]] = {}
    for row in suspects:
        by_task.setdefault(int(row["task"]), []).append(row)
    for task, rows in by_task.items():
        version = min((FLAGS[row["flag"]] for row in rows), key=RELABEL_VERSIONS.index)
        score = min(float(row["p_given"]) for row in rows)
        spans = _corrected(_agreed_spans(control, records.get(task, ())), rows)
        doubts.setdefault(task, []).append((version, score, Prediction(control.name, (), 1 - score, spans=spans)))
    for entry in disputed:
        task, agreement = int(entry["task"]), 1 - float(entry["score"])
        if task in by_task or not records.get(task):
            continue
        kept = [ScoredSpan(*span, agreement, "most annotators") for span in _agreed_spans(control, records[task])]
        prediction = Prediction(control.name, (), agreement, spans=tuple(kept))
        doubts.setdefault(task, []).append((DISAGREE, agreement, prediction))


def _corrected(given: Sequence[SpanRow], rows: Sequence[LabelErrorRow]) -> tuple[ScoredSpan, ...]:
    """The given spans that are not doubted, and what is suggested for the others."""
    gone = {(at["start"], at["end"], row["given"]) for row in rows if (at := row.get("given_span"))}
    found = {
        (at["start"], at["end"], row["suggested"]): ScoredSpan(
            at["start"], at["end"], row["suggested"], row["p_suggested"], row.get("kind", "")
        )
        for row in rows
        if (at := row.get("suggested_span"))
    }
    for span in given:
        if span not in gone:
            found.setdefault(span, ScoredSpan(*span, 1.0, "as annotated"))
    return tuple(found[place] for place in sorted(found))


def _agreed_spans(control: Control, records: Sequence[ExampleRecord]) -> list[SpanRow]:
    """The spans that at least half of the annotations have."""
    answers = [record.spans[control.name] for record in records if control.name in record.spans]
    held = Counter(span for spans in answers for span in dict.fromkeys(spans))
    return sorted(span for span, count in held.items() if 2 * count >= len(answers))


def _suggestion(control: Control, rows: Sequence[LabelErrorRow], records: Sequence[ExampleRecord]) -> tuple[str, ...]:
    """What would have been answered; of a set what stands there, with the suspicious labels turned over."""
    if not control.multilabel:
        return tuple(row["suggested"] for row in rows[:1] if row["suggested"])
    removed = {row["given"] for row in rows}
    kept = [key for key in _majority(control, records) if key not in removed]
    return tuple(dict.fromkeys([*kept, *(row["suggested"] for row in rows if row["suggested"])]))


def _majority(control: Control, records: Sequence[ExampleRecord]) -> tuple[str, ...]:
    """The answer that most annotations give (of ties the newest); of a set each label that at least half give."""
    answers = [
        (record.version, tuple(label_keys(record.targets[control.name])))
        for record in records
        if control.name in record.targets
    ]
    if control.multilabel:
        held = Counter(key for _, keys in answers for key in dict.fromkeys(keys))
        return tuple(key for key, count in held.items() if 2 * count >= len(answers))
    given = Counter(keys for _, keys in answers)
    newest = {keys: version for version, keys in sorted(answers)}
    return max(given, key=lambda keys: (given[keys], newest[keys]), default=())
