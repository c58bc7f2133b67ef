"""Predictions to Label Studio results, and annotation results to targets."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from backend.labelstudio.records import Targets
from model.spec import Control, Kind, Prediction, TaskSpec


def to_prediction(spec: TaskSpec, predictions: Sequence[Prediction], version: str) -> dict[str, Any]:
    """One item of a /predict reply. The score of several controls is that of the least sure one."""
    return {
        "model_version": version,
        "score": min((prediction.score for prediction in predictions), default=0.0),
        "result": [item for prediction in predictions for item in _results(spec, prediction)],
    }


def _results(spec: TaskSpec, prediction: Prediction) -> list[dict[str, Any]]:
    control = spec.control(prediction.control)
    value = _value(control, prediction.chosen)
    if value is None:
        return []
    return [
        {
            "id": hashlib.sha256(control.name.encode()).hexdigest()[:10],
            "from_name": control.name,
            "to_name": control.inputs[0],
            "type": control.tag.lower(),
            "value": value,
            "score": prediction.score,
        }
    ]


def _value(control: Control, chosen: Sequence[str]) -> dict[str, Any] | None:
    if not chosen:
        return None  # an empty set has nothing to select
    if control.kind is Kind.RATING:
        return {"rating": int(chosen[0])}
    paths = {label.key: label.path for label in control.labels}
    found = [list(paths.get(key, (key,))) for key in chosen]
    if control.tag == "Taxonomy":
        return {"taxonomy": found}
    # The page accepts a plain string for a choice at the top and needs the path for a nested one.
    return {"choices": [path[0] if len(path) == 1 else path for path in found]}


def read_targets(spec: TaskSpec, result: Any) -> Targets:
    """control -> label paths or rating, from an annotation's `result`; {} when it says nothing of our controls.

    Labels that the config does not know are kept as given: they are set aside when a model is fitted.
    """
    targets: Targets = {}
    names = {control.name: control for control in spec.controls}
    for item in result if isinstance(result, list) else []:
        if not isinstance(item, Mapping) or item.get("from_name") not in names:
            continue
        control = names[item["from_name"]]
        value = item.get("value")
        answer = _answer(control, value) if isinstance(value, Mapping) else None
        if answer is None:
            continue
        if isinstance(answer, list):
            targets[control.name] = [*targets.get(control.name, []), *answer]
        else:
            targets[control.name] = answer
    return targets


def _answer(control: Control, value: Mapping[str, Any]) -> list[list[str]] | int | None:
    if control.kind is Kind.RATING:
        rating = value.get("rating")
        return rating if isinstance(rating, int) and not isinstance(rating, bool) and rating > 0 else None
    listed = value.get("taxonomy" if control.tag == "Taxonomy" else "choices")
    if isinstance(listed, str):
        listed = [listed]
    paths = [path for path in map(_path, listed if isinstance(listed, list) else []) if path]
    return [_full_path(control, path) for path in paths] or None


def _path(item: Any) -> list[str]:
    if isinstance(item, str):
        return [item]
    if isinstance(item, list) and all(isinstance(part, str) for part in item):
        return item
    return []


def _full_path(control: Control, path: list[str]) -> list[str]:
    """Nested choices may be given by their last name only; the path is what identifies them."""
    if len(path) == 1:
        matches = [label.path for label in control.labels if label.path[-1] == path[0]]
        exact = [match for match in matches if len(match) == 1]
        if matches and not exact and len(matches) == 1:
            return list(matches[0])
    return path


def label_keys(targets: Targets) -> dict[str, list[str]]:
    """control -> label keys as people read them: `A/A1`, ratings as digits."""
    return {
        name: [str(value)] if isinstance(value, int) else ["/".join(path) for path in value]
        for name, value in targets.items()
    }
