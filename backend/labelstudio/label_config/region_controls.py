"""The controls of a label config that are answered for each marked region (`perRegion`), as far as they are learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from backend.labelstudio.label_config.labels import is_true, labels_of, nested, templates_of
from model.spec import Control, Kind

_TAGS = {"choices": "Choices", "taxonomy": "Taxonomy", "rating": "Rating", "textarea": "TextArea"}


@dataclass(frozen=True, slots=True)
class RegionCondition:
    """A question is asked of regions of the control `tag` ("": of any) that bear one of `labels` (None: any)."""

    tag: str = ""
    labels: tuple[str, ...] | None = None


def read_region_control(element: Element) -> Control | None:
    """The question of this tag, without its inputs and its scope; None for one that cannot be learned: of another kind,
    without any answer to choose, or whose answers are in the task's data."""
    tag = _TAGS.get(str(element.tag).lower())
    if tag is None or not is_true(element, "perRegion") or "$" in element.get("value", ""):
        return None
    kind = _kind(element, tag)
    if tag == "TextArea":
        return Control(element.get("name", ""), kind, (), (), tag, required=is_true(element, "required"))
    labels = labels_of(element, kind)
    if not labels or (tag == "Choices" and templates_of(element, kind)):
        return None
    return Control(
        element.get("name", ""),
        kind,
        (),
        labels,
        tag,
        nested=tag == "Choices" and nested(element),
        required=is_true(element, "required"),
    )


def conditions_above(root: Sequence[Element]) -> dict[int, list[RegionCondition] | None]:
    """id() of every tag below something that is shown for some regions only -> for which; None where it hangs on
    something else, an answer say."""
    found: dict[int, list[RegionCondition] | None] = {}
    for view in root:
        condition = region_condition(view) if view.get("visibleWhen") == "region-selected" else None
        hidden = view.get("visibleWhen") not in (None, "", "region-selected") or view.get("whenChoiceValue") is not None
        if condition is None and not hidden:
            continue
        for inner in view.iter():
            before = found.setdefault(id(inner), [])
            if before is not None and not hidden and condition is not None:
                before.append(condition)
            elif hidden:
                found[id(inner)] = None
    return found


def region_condition(element: Element) -> RegionCondition:
    """What a tag's own attributes say."""
    labels = element.get("whenLabelValue")
    return RegionCondition(element.get("whenTagName", ""), tuple(labels.split(",")) if labels else None)


def _kind(element: Element, tag: str) -> Kind:
    if tag == "Choices":
        return Kind.MULTIPLE if element.get("choice", "single").lower() == "multiple" else Kind.SINGLE
    return {"Taxonomy": Kind.TAXONOMY, "Rating": Kind.RATING}.get(tag, Kind.SINGLE)
