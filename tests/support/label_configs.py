"""What the tests of the formats share: real traffic of Label Studio 1.23.2, and specs built by hand."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from backend.labelstudio.records import Targets
from backend.labelstudio.task_spec import parse_label_config
from backend.rules.consensus import label_keys
from model.spec import Control, Input, Kind, Label, TaskSpec

_RECORDED = Path(__file__).parent / "recorded"


def recorded(name: str) -> Any:
    """One file of recordings, fresh at every call: tests may change it."""
    return json.loads((_RECORDED / f"{name}.json").read_text(encoding="utf-8"))


CONFIGS: dict[str, str] = {row["case"]: row["label_config"] for row in recorded("label_configs")}
"""Case -> label config, as delivered."""

UNSUPPORTED = frozenset({"valuetype_url", "header_noctl"})
"""Cases of which nothing can be learned."""

TASKS: dict[str, list[dict[str, Any]]] = {row["case"]: row["tasks"] for row in recorded("label_configs")}
"""Case -> the data of the tasks that /predict brought with this config."""

WEBHOOKS: list[dict[str, Any]] = recorded("webhooks")
"""`{"scenario", "step", "body"}` of each webhook."""


def webhook(step: str, action: str) -> dict[str, Any]:
    """A copy of the first recorded body of this step and action."""
    return next(row["body"] for row in recorded("webhooks") if row["step"] == step and row["body"]["action"] == action)


def paths(*keys: str) -> tuple[tuple[str, ...], ...]:
    """Label paths written as `A/A1`."""
    return tuple(tuple(key.split("/")) for key in keys)


def choices(inner: str, *, control: str = "", text: str = 'value="$text"') -> str:
    """A label config with one text `text` and one Choices `c`."""
    return f'<View><Text name="text" {text}/><Choices name="c" toName="text" {control}>{inner}</Choices></View>'


def spec_of(inner: str, **more: str) -> TaskSpec:
    """The spec of `choices(...)`."""
    return parse_label_config(choices(inner, **more))


def one_input(tag: str = "Text", value: str = "$text", **more: str) -> TaskSpec:
    """A spec with one input `text` and the choices A and B."""
    return TaskSpec((Input("text", tag, value, **more),), (control("c", "A", "B"),))


def control(name: str, *keys: str, kind: Kind = Kind.SINGLE, inputs: Iterable[str] = ("text",), **more: Any) -> Control:
    """A control whose labels are these keys."""
    return Control(name, kind, tuple(inputs), tuple(Label(path, path[-1]) for path in paths(*keys)), **more)


def keys_of(targets: Targets) -> dict[str, list[str]]:
    """Control name -> the label keys of its answer."""
    return {name: label_keys(target) for name, target in targets.items()}
