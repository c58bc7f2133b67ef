"""Which predictions a bulk import has dropped, and why: Label Studio stores fewer than it was sent, and does not say.

Its own log says why; here its rules are gone through once more, with the label config that it has by now.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from backend.labelstudio.rest.client import LabelStudioClient
from backend.labelstudio.rest.transport import Json

GONE = "the task is gone"

UNKNOWN = "Label Studio does not say why; its server's log does"


def find_dropped(studio: LabelStudioClient, project: int, rows: Sequence[Json]) -> dict[int, str]:
    """Task -> why its prediction is not there, of those that were sent. Raises LabelStudioError."""
    there = studio.tasks.versions(project, [int(row["task"]) for row in rows])
    missing = [row for row in rows if row["model_version"] not in there.get(int(row["task"]), ())]
    if not missing:
        return {}
    config = studio.project(project)
    return {
        int(row["task"]): why_dropped(config, row["result"]) if int(row["task"]) in there else GONE for row in missing
    }


def why_dropped(project: Json, result: object) -> str:
    """What in a result does not go with the label config of a project, as Label Studio tells it."""
    parsed = project.get("parsed_label_config")
    controls = parsed if isinstance(parsed, Mapping) else {}
    for item in result if isinstance(result, list) else ():
        if item.get("type") == "relation":
            if "<Relations" not in str(project.get("label_config", "")):
                return "its label config has no <Relations>"
        elif reason := _mismatch(controls, item):
            return reason
    return UNKNOWN


def _mismatch(controls: Mapping[str, object], item: Json) -> str:
    name, kind = str(item.get("from_name")), str(item.get("type"))
    control, value = controls.get(name), item.get("value")
    if not isinstance(control, Mapping):
        return f"its label config has no control '{name}'"
    if str(control.get("type", "")).lower() != kind:
        return f"'{name}' is {control.get('type')} in its label config"
    if item.get("to_name") not in (*(control.get("to_name") or ()), name):
        return f"'{name}' is not about '{item.get('to_name')}' in its label config"
    if not isinstance(value, Mapping):
        return f"'{name}' has no value"
    known = control.get("labels") or ()
    if known and not control.get("dynamic_labels"):
        for label in _labels(value.get(kind)):
            if label not in known:
                return f"its label config has no label '{label}' in '{name}'"
    return ""


def _labels(value: object) -> Iterator[str]:
    """The last part of every path, or the label itself."""
    for entry in value if isinstance(value, list) else ():
        last = entry[-1] if isinstance(entry, list) and entry else entry
        if isinstance(last, str):
            yield last
