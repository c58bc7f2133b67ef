"""Answers as Label Studio's `result` lists: writes predictions, reads annotations."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import TypedDict

from backend.labelstudio.records import Targets
from backend.score import shown_score, task_score
from model.labels import path_of
from model.spec import Control, Json, JsonObject, Kind, Prediction, TaskSpec


class PredictionJson(TypedDict):
    """One task's item of a /predict reply."""

    model_version: str
    score: float
    result: list[dict[str, Json]]


def to_prediction(spec: TaskSpec, predictions: Sequence[Prediction], version: str) -> PredictionJson:
    """One task's item of a /predict reply. No value in it is ever null: Label Studio would drop the whole batch."""
    return {"model_version": version, "score": task_score(predictions), "result": to_results(spec, predictions)}


def to_results(
    spec: TaskSpec, predictions: Sequence[Prediction], to_name: Mapping[str, str] | None = None
) -> list[dict[str, Json]]:
    """One result per control that answers. `to_name` says which input a control's result names (default: its first).

    Raises KeyError for a control that the spec has not."""
    results: list[dict[str, Json]] = []
    for prediction in predictions:
        control = spec.control(prediction.control)
        if not prediction.chosen:
            continue  # an empty set has nothing to select, and marked text has regions
        kind = control.tag.lower()
        levels: list[JsonObject] = [
            {"label": control.show(key), "score": shown_score(score)} for key, score in prediction.levels
        ]
        results.append(
            {
                "id": hashlib.sha256(control.name.encode()).hexdigest()[:10],
                "from_name": control.name,
                "to_name": (to_name or {}).get(control.name, _shown_on(control)),
                "type": kind,
                "value": {_value_key(control): _value(control, prediction.chosen)},
                "score": shown_score(prediction.score),
                # The page keeps `meta` and shows of it only `text`.
                **({"meta": {"levels": levels}} if levels else {}),
            }
        )
    return results


def read_targets(spec: TaskSpec, result: Json) -> Targets:
    """Control name -> paths of the chosen labels, or stars; an empty list where an answer says that nothing is chosen.
    Controls that were not answered are missing.

    Labels which the config does not have are kept as given. Whatever is malformed, or about a region of the text,
    is passed over: one odd control must not cost the others."""
    controls = {control.name: control for control in spec.controls}
    targets: Targets = {}
    for item in result if isinstance(result, list) else ():
        name = item.get("from_name") if isinstance(item, Mapping) else None
        control = controls.get(name) if isinstance(name, str) else None
        value = item.get("value") if control else None
        if control is None or not isinstance(value, Mapping) or "start" in value or "item_index" in item:
            continue
        target = _read_value(control, value.get(_value_key(control)))
        earlier = targets.get(control.name)
        if isinstance(target, list) and isinstance(earlier, list):
            targets[control.name] = earlier + [path for path in target if path not in earlier]
        elif target is not None and (target != [] or earlier is None):
            targets[control.name] = target
    return {name: target for name, target in targets.items() if target != [] or not controls[name].required}


def blank_controls(spec: TaskSpec, result: Json) -> tuple[str, ...]:
    """The questions that an annotation with this result leaves blank: those that may be, and of which it says nothing
    at all. None where the result is not to be understood, or answers questions that the config does not have: it was
    given on another page, and what it does not mention is not known to have been asked."""
    said = _answered(spec, result)
    if said is None:
        return ()
    return tuple(control.name for control in spec.controls if not control.required and control.name not in said)


def blank_marks(spec: TaskSpec, result: Json) -> tuple[str, ...]:
    """As `blank_controls`, of the controls that mark text."""
    said = _answered(spec, result)
    return () if said is None else tuple(control.name for control in spec.spans if control.name not in said)


def _answered(spec: TaskSpec, result: Json) -> set[str] | None:
    """The controls that a result answers; None where it is not to be understood, or is of another page."""
    items = result if isinstance(result, list) else [None]
    said = [item.get("from_name") if isinstance(item, Mapping) else None for item in items if not _is_relation(item)]
    names = [name for name in said if isinstance(name, str)]
    return None if len(names) < len(said) or spec.strangers(names) else set(names)


def _is_relation(item: Json) -> bool:
    """Between regions: of no control."""
    return isinstance(item, Mapping) and item.get("type") == "relation"


def paths_chosen(spec: TaskSpec, targets: Targets, result: Json) -> dict[str, list[tuple[str, ...]]]:
    """Control name -> the paths chosen in an annotation about the whole task: those of `targets`, and what `result`
    says of controls that are not learned, since these can show or hide the ones that are."""
    learned = {control.name for control in spec.controls}
    paths: dict[str, list[tuple[str, ...]]] = {
        name: [(str(target),)] if isinstance(target, int) else [tuple(path) for path in target]
        for name, target in targets.items()
    }
    for item in result if isinstance(result, list) else ():
        name = item.get("from_name") if isinstance(item, Mapping) else None
        value = item.get("value") if isinstance(name, str) and name not in learned else None
        if isinstance(value, Mapping) and "start" not in value and "item_index" not in item:
            for kind in ("choices", "taxonomy", "rating"):
                paths.setdefault(str(name), []).extend(_plain_paths(value.get(kind)))
    return paths


def _plain_paths(value: Json) -> list[tuple[str, ...]]:
    """The paths of a control whose labels nobody has read."""
    entries = value if isinstance(value, list) else [] if value is None else [value]
    paths = [entry if isinstance(entry, list) else [entry] for entry in entries]
    return [tuple(str(part) for part in path) for path in paths if path]


def _value_key(control: Control) -> str:
    return "selected" if control.tag == "Pairwise" else control.tag.lower()


def _shown_on(control: Control) -> str:
    """The object of its results: its first input; the page files a Pairwise's under the Pairwise itself."""
    return control.name if control.tag == "Pairwise" else control.inputs[0]


def _value(control: Control, chosen: Sequence[str]) -> Json:
    if control.kind is Kind.RATING:
        return int(chosen[0])
    paths = [list(path_of(key)) for key in chosen]
    if control.kind is Kind.TAXONOMY or control.nested:
        return paths
    if control.tag == "Pairwise":
        return paths[0][0]
    # The page takes a plain string for a choice at the top.
    return [path[0] if len(path) == 1 else path for path in paths]


def _read_value(control: Control, value: Json) -> list[list[str]] | int | None:
    """The answer in a result's value, empty when nothing is chosen; None when it cannot be read."""
    if control.kind is Kind.RATING:
        if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
            return None
        return [] if value == 0 else int(value) if value >= 1 else None
    if value == []:
        return []
    entries = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    if control.kind is Kind.TAXONOMY and entries and all(isinstance(entry, str) for entry in entries):
        entries = [entries]  # one path that was not wrapped
    paths: list[list[str]] = []
    for entry in entries:
        path = _read_path(control, entry)
        if path and path not in paths:
            paths.append(path)
    return _without_parents(control, paths) or None


def _read_path(control: Control, entry: Json) -> list[str]:
    """A label as the path from its root. A bare name of one inner choice (old exports) finds its path."""
    if isinstance(entry, list):
        return [str(part) for part in entry if isinstance(part, str | int | float)]
    if not isinstance(entry, str | int | float) or isinstance(entry, bool):
        return []
    name = str(entry)
    ending = [label.path for label in control.labels if label.path[-1] == name]
    return list(ending[0]) if len(ending) == 1 else [name]


def _without_parents(control: Control, paths: list[list[str]]) -> list[list[str]]:
    """Of a nested single choice only the innermost: the page reports a parent along with its only child."""
    if control.kind is not Kind.SINGLE or not control.nested:
        return paths
    return [path for path in paths if not any(other[: len(path)] == path and other != path for other in paths)]
