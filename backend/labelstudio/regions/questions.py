"""The questions about marked regions that can be learned, with the regions that each is asked of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from backend.labelstudio.spans.control import RegionQuestion, SpanConfig, SpanControl
from model.region import RegionScope
from model.spec import Control, Input


def region_controls(config: SpanConfig, inputs: Mapping[str, Input]) -> tuple[Control, ...]:
    """Those of a label config. `inputs`: by the object that is marked."""
    found = []
    for question in config.questions:
        scope, item = _scope(config, question), inputs.get(question.to_name)
        if question.asked is not None and scope is not None and item is not None:
            found.append(replace(question.asked, inputs=(item.name,), scope=scope))
    return tuple(found)


def _scope(config: SpanConfig, question: RegionQuestion) -> RegionScope | None:
    """None where it is asked of no region that can be marked."""
    marking = [control for control in config.controls if control.object.name == question.to_name]
    labels: set[str] | None = None
    for condition in question.conditions:
        marking = [control for control in marking if condition.tag in ("", control.name)]
        if condition.labels is not None:
            named = {name for label in condition.labels for name in _names(marking, label)}
            labels = named if labels is None else labels & named
    if not marking or labels == set():
        return None
    return RegionScope(tuple(control.name for control in marking), None if labels is None else tuple(sorted(labels)))


def _names(controls: list[SpanControl], label: str) -> list[str]:
    """By what names results carry a label that is named by its alias or its value; as it stands where the labels are
    in the task's data."""
    found = [control.names[label] for control in controls if label in control.names]
    return found or ([label] if any(control.options_field is not None for control in controls) else [])
