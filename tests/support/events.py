"""Webhook bodies for the fault tests: what clicks in a project of the labels a and e make Label Studio send."""

from __future__ import annotations

from typing import Any

from tests.support.rig import choices_config
from tests.support.tiny import PROJECT

CONFIG = choices_config(["a", "e"])


def annotation(number: int, label: str = "a", at: int = 0, task: int | None = None) -> dict[str, Any]:
    """An `{annotation, task}` pair, changed last `at` seconds after midnight."""
    value = {"choices": [label]}
    result = [{"from_name": "label", "to_name": "text", "type": "choices", "value": value}]
    stamp = f"2026-01-01T{at // 3600:02d}:{at // 60 % 60:02d}:{at % 60:02d}Z"
    owner = task or number
    data = {"id": owner, "data": {"text": "a b c" if label == "a" else "e f g"}}
    return {"annotation": {"id": number, "task": owner, "result": result, "updated_at": stamp}, "task": data}


def send(client: Any, action: str, **fields: Any) -> Any:
    """POST /webhook."""
    project = {"id": PROJECT, "label_config": CONFIG}
    return client.post("/webhook", json={"action": action, "project": project, **fields})


def create(client: Any, number: int, **fields: Any) -> Any:
    """ANNOTATION_CREATED."""
    return send(client, "ANNOTATION_CREATED", **annotation(number, **fields))


def ask(client: Any) -> Any:
    """POST /predict for one task."""
    tasks = [{"id": 1, "data": {"text": "a b"}}]
    return client.post("/predict", json={"tasks": tasks, "project": f"{PROJECT}.1", "label_config": CONFIG})
