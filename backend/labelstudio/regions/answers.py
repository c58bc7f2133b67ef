"""Reads what annotations answer about marked regions: results that share the id of a region that has a place and a
label. Tolerant: what is about no region, or cannot be understood, is passed over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from backend.labelstudio.label_config.answer_values import read_value, value_key
from backend.labelstudio.regions.rows import Answered, RegionTargets
from backend.labelstudio.spans.control import Foreign
from model.span import Span
from model.spec import Control

MarkedRegions = Mapping[str, Sequence[tuple[str, Span]]]
"""Region id -> what its results mark: control and span."""


def read_answers(
    controls: Sequence[Control], regions: MarkedRegions, result: Sequence[object], blank: bool = True
) -> RegionTargets:
    """Question -> its answers. A question of which a region says nothing was left blank, if it may be and if `blank`
    says that the page asked it."""
    given = _given(controls, result)
    found: RegionTargets = {}
    for control in controls:
        rows = found.setdefault(control.name, [])
        for id_, marks in regions.items():
            asked = [(name, span) for name, span in marks if control.scope and control.scope.asks(name, span.label)]
            answer = given.get((id_, control.name), [] if blank and not control.required else None)
            if asked and answer is not None:
                name, span = asked[0]
                rows.append((name, span.start, span.end, span.label, answer))
    return {name: sorted(rows, key=lambda row: row[:4]) for name, rows in found.items() if rows}


def _given(controls: Sequence[Control], result: Sequence[object]) -> dict[tuple[str, str], Answered]:
    """(region id, question) -> its answer."""
    by_name = {control.name: control for control in controls}
    found: dict[tuple[str, str], Answered] = {}
    for item in result:
        if not isinstance(item, Mapping):
            continue
        control, id_, value = _question(by_name, item), item.get("id"), item.get("value")
        if control is None or not isinstance(id_, str) or not isinstance(value, Mapping):
            continue
        answer = read_value(control, value.get(value_key(control)))
        if answer is not None and (answer != [] or not control.required):
            found[id_, control.name] = answer
    return found


def _question(by_name: Mapping[str, Control], item: Foreign) -> Control | None:
    name = item.get("from_name")
    return by_name.get(name) if isinstance(name, str) else None
