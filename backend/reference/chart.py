"""The settings that the Helm chart takes as they are: `settings` in its values.schema.json, so that Helm refuses a name
that does not exist and a value out of bounds before anything is sent to a cluster."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from backend.settings.settings import Settings

OF_THE_CHART = {
    "host",
    "port",
    "public_url",
    "data_dir",
    "redis_url",
    "redis_ca_file",
    "redis_binary",
    "artifacts_url",
    "label_studio_url",
    "notify_url",
    "basic_auth_user",
    "failpoint",
}
"""Set by values of their own, or of no use on a cluster. Secrets come from a Secret."""

JSON_TYPES = {bool: "boolean", int: "integer", float: "number", Path: "string", str: "string"}

BOUNDS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}


def with_settings(schema: str) -> str:
    """The chart's schema, as text, with `properties.settings` made anew."""
    whole = json.loads(schema)
    fields = {
        name.upper(): _property(field)
        for name, field in Settings.model_fields.items()
        if name not in OF_THE_CHART and field.annotation is not SecretStr
    }
    whole["properties"]["settings"] = {"type": "object", "additionalProperties": False, "properties": fields}
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


def _property(field: FieldInfo) -> dict[str, object]:
    made: dict[str, object] = {"description": field.description or ""}
    if get_origin(field.annotation) is Literal:
        return {**made, "enum": list(get_args(field.annotation))}
    made["type"] = next(name for kind, name in JSON_TYPES.items() if kind is field.annotation)
    for limit in field.metadata:
        made |= {
            there: getattr(limit, here) for here, there in BOUNDS.items() if getattr(limit, here, None) is not None
        }
    return made
