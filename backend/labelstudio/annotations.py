"""Turns annotations, from a webhook or from Label Studio's API, into the records that are stored."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone

from backend.labelstudio.asked_since import ASKED_ALWAYS, Asked
from backend.labelstudio.documents import read_texts
from backend.labelstudio.ids import bad_field, read_id
from backend.labelstudio.records import ExampleRecord, Targets, microseconds, read_time
from backend.labelstudio.results import blank_controls, blank_marks, paths_chosen, read_targets
from backend.labelstudio.span_answers import RELATIONS, Marks, Suggested, read_marks
from model.spec import Json, JsonObject, TaskSpec
from model.visibility import is_conditional, visible_controls

MARK = "understudy"

NOTHING_SUGGESTED: Suggested = {}

Regions = Sequence[JsonObject]


def mark_result(result: Regions, run: str) -> list[dict[str, Json]]:
    """The regions of a prediction, each with the mark of this run in its meta."""
    digest = _digest(result)
    return [{**region, "meta": {**_meta(region), MARK: {"accepted": run, "digest": digest}}} for region in result]


def accepted_by(annotation: JsonObject) -> str:
    """The run that made this annotation; "" for one by a person, or that a person has changed, saved again, copied or
    made a ground truth."""
    result = annotation.get("result")
    if not isinstance(result, list) or not result or not all(isinstance(region, Mapping) for region in result):
        return ""
    if _is_of_person(annotation):
        return ""
    marks = [_meta(region).get(MARK) for region in result]
    first = marks[0]
    if not isinstance(first, Mapping) or any(mark != first for mark in marks) or first.get("digest") != _digest(result):
        return ""
    return str(first.get("accepted") or "")


def is_copied_prediction(annotation: JsonObject) -> bool:
    """Whether Label Studio made this annotation from a prediction (in the Data Manager, many at a time) and no person
    has saved it since: nobody left a question blank in it. A blind task's prediction chooses nothing on purpose."""
    return bool(annotation.get("parent_prediction")) and not _is_of_person(annotation)


def _is_of_person(annotation: JsonObject) -> bool:
    """Whether a person saved it, copied it or made it a ground truth."""
    return bool(annotation.get("lead_time") or annotation.get("ground_truth") or annotation.get("parent_annotation"))


def _meta(region: JsonObject) -> JsonObject:
    meta = region.get("meta")
    return meta if isinstance(meta, Mapping) else {}


def _digest(result: Regions) -> str:
    """Of what is answered: ids and geometry aside, which an editor may write anew."""
    said = sorted(json.dumps([region.get("from_name"), region.get("value")], sort_keys=True) for region in result)
    return hashlib.sha256("\n".join(said).encode()).hexdigest()[:16]


def to_record(
    spec: TaskSpec,
    annotation: JsonObject,
    task: JsonObject | None,
    max_chars: int = 100_000,
    asked: Asked = ASKED_ALWAYS,
    suggested: Suggested = NOTHING_SUGGESTED,
) -> ExampleRecord:
    """The record of one annotation; `suggested`: the spans that its task's page may have begun with.

    A question that was `asked` by then and may be left blank, and was, is answered with nothing, save in a prediction
    that was made an annotation as it was. No targets when it was skipped, was accepted unseen, or its text cannot be
    read. Raises BadRequest naming an unusable id or time stamp."""
    number = annotation.get("task")
    if number is None and task is not None:
        number = task.get("id")
    unseen = bool(annotation.get("was_cancelled") or accepted_by(annotation))
    stamp = _stamp(annotation)
    answers = {} if unseen else _read_answers(spec, annotation, asked, microseconds(stamp))
    data = (task or {}).get("data")
    texts, targets = _readable(spec, answers, data, max_chars)
    marks = Marks()
    if spec.spans and not unseen:
        left = _left_blank(spec, annotation, asked, microseconds(stamp))
        seen = NOTHING_SUGGESTED if is_copied_prediction(annotation) else suggested  # nobody removed anything
        copied = is_copied_prediction(annotation)
        names = [*(one.name for one in spec.regions), RELATIONS]
        about = [name for name in names if not copied and asked.at(name, microseconds(stamp))]
        marks = read_marks(spec, annotation, data, max_chars, left, seen, about)
    return ExampleRecord(
        annotation=read_id(annotation.get("id"), "annotation.id"),
        task=read_id(number, "annotation.task"),
        texts={**texts, **marks.texts},
        targets=targets,
        updated_at=stamp,
        annotator=_annotator(annotation.get("completed_by")),
        ground_truth=bool(annotation.get("ground_truth")),
        spans=marks.spans,
        removed=marks.removed,
        answers=marks.answers,
        relations=marks.relations,
    )


def _left_blank(spec: TaskSpec, annotation: JsonObject, asked: Asked, moment: int) -> list[str]:
    """The controls of which an annotation without a region says that there is nothing to mark."""
    if is_copied_prediction(annotation):
        return []
    return [name for name in blank_marks(spec, annotation.get("result")) if asked.at(name, moment)]


def _read_answers(spec: TaskSpec, annotation: JsonObject, asked: Asked, moment: int) -> Targets:
    """The answers to questions that the page asks beside them, also by leaving them blank: what a hidden one still
    holds is nobody's answer, and nothing is not either."""
    result = annotation.get("result")
    answers = read_targets(spec, result)
    left = () if is_copied_prediction(annotation) else blank_controls(spec, result)
    blank: Targets = {name: [] for name in left if asked.at(name, moment)}
    if not is_conditional(spec):
        return {**blank, **answers}
    shown = visible_controls(spec, paths_chosen(spec, answers, result))
    return {name: target for name, target in {**blank, **answers}.items() if name in shown}


def _readable(spec: TaskSpec, answers: Targets, data: Json, max_chars: int) -> tuple[dict[str, str], Targets]:
    """The texts that answered controls read, and the answers whose texts are all there."""
    if not answers:
        return {}, {}
    texts, _ = read_texts(spec, data, max_chars)
    inputs = {control.name: control.inputs for control in spec.controls}
    targets = {name: target for name, target in answers.items() if all(item in texts for item in inputs[name])}
    needed = {item for name in targets for item in inputs[name]}
    return {name: text for name, text in texts.items() if name in needed}, targets


def _stamp(annotation: JsonObject) -> str:
    """`updated_at` as sent. Without one (never seen from Label Studio) the order of arrival has to do."""
    stamp = annotation.get("updated_at") or annotation.get("created_at")
    if stamp is None:
        return datetime.now(timezone.utc).isoformat()
    if read_time(stamp) is None:
        raise bad_field("annotation.updated_at", "an ISO 8601 time is needed")
    return str(stamp)


def _annotator(completed_by: Json) -> int | None:
    """The user's id: a number in webhooks, an object with `id` in some API replies."""
    if isinstance(completed_by, Mapping):
        completed_by = completed_by.get("id")
    return completed_by if isinstance(completed_by, int) and not isinstance(completed_by, bool) else None
