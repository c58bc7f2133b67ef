"""A model for a task spec that no version was made for: new projects, and label configs that have just changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from model.spec import Control, Kind, TaskSpec

if TYPE_CHECKING:
    from model.head.linear_head import LinearHead
    from model.interfaces import Embedder
    from model.versions.live_model import LiveModel
    from model.versions.span_answers import SpanTools


def adapt(
    live: LiveModel | None, spec: TaskSpec, base: Embedder, tools: Callable[[], SpanTools] | None = None
) -> LiveModel:
    """`live` answering under `spec`: controls it knows keep their heads, others start cold. None gives a cold start.

    A label that is gone is never answered, since answers are chosen among the labels of `spec`; one that is new gets
    its first answers from the refit that follows the change."""
    from model.versions.live_model import LiveModel, cold_start

    cold = cold_start(spec, base, tools=tools)
    if live is None:
        return cold
    heads: dict[str, LinearHead] = {
        control.name: live.heads[control.name] if _fits(live, control) else cold.heads[control.name]
        for control in spec.controls
    }
    controls = tuple(_as_answered(control, heads[control.name]) for control in spec.controls)
    spec = replace(spec, controls=controls)
    marking = {
        control.name: live.span_heads[control.name] if _fits(live, control) else cold.span_heads[control.name]
        for control in spec.spans
    }
    asked = {control.name for control in spec.regions if _fits(live, control) or control.tag == "TextArea"}
    known = {name: head for name, head in live.region_heads.questions.items() if name in asked}
    about = replace(live.region_heads, questions=known)
    if spec.relations is None or live.spec.relations != spec.relations:
        about = replace(about, relations=None)
    fine = live.finetuned, live.tuned, live.manifest
    return LiveModel(live.version, spec, heads, base, *fine, marking, cold.tools, about)


def _as_answered(control: Control, head: LinearHead) -> Control:
    """The control with what its head has been taught: whether a taxonomy is answered with sets of paths."""
    several = control.kind is Kind.TAXONOMY and control.most != 1 and head.multilabel
    return replace(control, several=several)


def _fits(live: LiveModel, control: Control) -> bool:
    try:
        before = live.spec.control(control.name)
    except KeyError:
        return False
    same = (before.kind, before.inputs, before.tag) == (control.kind, control.inputs, control.tag)
    kept = set(before.keys()) & set(control.keys())
    return same and (bool(kept) or control.options_field is not None)
