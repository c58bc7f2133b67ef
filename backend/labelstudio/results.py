"""Answers as Label Studio's `result` lists: writes predictions, reads annotations."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Literal, NotRequired, TypedDict

from backend.labelstudio.label_config.answer_values import read_value, shown_score, task_score, value_key, write_value
from backend.labelstudio.records import Targets
from model.spec import Control, Json, JsonObject, Prediction, TaskSpec

CarriedKind = Literal["exact", "near"]
"""Of what duplicates an answer is carried over."""


class PredictionJson(TypedDict):
    """One task's item of a /predict reply. `carried_over`: it is a labelled duplicate's answer, of an `exact` one or of
    one that is `near`; Label Studio passes that over."""

    model_version: str
    score: float
    result: list[dict[str, Json]]
    carried_over: NotRequired[CarriedKind]


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
                "value": {value_key(control): write_value(control, prediction.chosen)},
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
        target = read_value(control, value.get(value_key(control)))
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


def _shown_on(control: Control) -> str:
    """The object of its results: its first input; the page files a Pairwise's under the Pairwise itself."""
    return control.name if control.tag == "Pairwise" else control.inputs[0]
