"""The answer in the value of a result, as each kind of control has it there, and how sure it is: the `score` that Label
Studio shows, and goes by when uncertain tasks come first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from model.labels import path_of
from model.spec import Control, Json, Kind, Prediction

_KEYS = {"Pairwise": "selected", "TextArea": "text"}


def shown_score(confidence: float) -> float:
    """In [0, 1] and never null: Label Studio would drop the whole batch."""
    return round(min(max(float(confidence), 0.0), 1.0), 6) if math.isfinite(confidence) else 0.0


def task_score(predictions: Sequence[Prediction]) -> float:
    """That of the least sure control, so that low first means uncertain first."""
    return min((shown_score(prediction.score) for prediction in predictions), default=0.0)


def value_key(control: Control) -> str:
    """Under which key of the value the answer is."""
    return _KEYS.get(control.tag, control.tag.lower())


def write_value(control: Control, chosen: Sequence[str]) -> Json:
    """The answer with these label keys."""
    if control.kind is Kind.RATING:
        return int(chosen[0])
    if control.tag == "TextArea":
        return list(path_of(chosen[0]))
    paths = [list(path_of(key)) for key in chosen]
    if control.kind is Kind.TAXONOMY or control.nested:
        return paths
    if control.tag == "Pairwise":
        return paths[0][0]
    # The page takes a plain string for a choice at the top.
    return [path[0] if len(path) == 1 else path for path in paths]


def read_value(control: Control, value: Json) -> list[list[str]] | int | None:
    """The answer in a result's value, empty when nothing is chosen; None when it cannot be read."""
    if control.kind is Kind.RATING:
        if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
            return None
        return [] if value == 0 else int(value) if value >= 1 else None
    if value == []:
        return []
    entries = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    if control.tag == "TextArea":  # all lines of it are one answer
        lines = [" ".join(entry.split()) for entry in entries if isinstance(entry, str)]
        return [[line for line in lines if line]] if any(lines) else None
    if control.kind is Kind.TAXONOMY and entries and all(isinstance(entry, str) for entry in entries):
        entries = [entries]  # one path that was not wrapped
    paths: list[list[str]] = []
    for entry in entries:
        path = _read_path(control, entry)
        if path and path not in paths:
            paths.append(path)
    return _without_parents(control, paths) or None


def is_answer(control: Control, value: Mapping[str, Json]) -> bool:
    """Whether the page shows this answer and Label Studio's import takes it: labels of the config alone, each once, and
    no more than can be chosen."""
    given = value.get(value_key(control))
    if control.kind is Kind.RATING:
        return type(given) is int and (str(given),) in {label.path for label in control.labels}
    if not isinstance(given, list) or not given:
        return False
    if control.tag == "TextArea":
        return all(isinstance(line, str) for line in given)
    paths = [_path(entry) for entry in given]
    known = {label.path for label in control.labels}
    several = control.multilabel or control.kind is Kind.TAXONOMY
    return len(set(paths)) == len(paths) and known.issuperset(paths) and (several or len(paths) == 1)


def _path(entry: Json) -> tuple[str, ...]:
    """Of one choice as a result has it; () for what is none."""
    parts = entry if isinstance(entry, list) else [entry]
    texts = tuple(part for part in parts if isinstance(part, str))
    return texts if len(texts) == len(parts) else ()


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
