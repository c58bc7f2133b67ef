"""Reads the span controls of a label config, and says in words for people what cannot be marked or read.

Label Studio accepts all that is refused here; its page then cannot mark, or shows an error in place of the task.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from xml.etree.ElementTree import Element

from backend.labelstudio.label_config.assist_controls import read_helpers
from backend.labelstudio.label_config.config import elements_of
from backend.labelstudio.label_config.region_controls import conditions_above, read_region_control, region_condition
from backend.labelstudio.spans.control import (
    HYPERTEXT,
    PARAGRAPHS,
    TEXT,
    Refusal,
    RegionQuestion,
    SpanConfig,
    SpanControl,
    SpanLabel,
    SpanObject,
)
from backend.labelstudio.spans.task_value import VARIABLE, look_up

CODES = (
    *("span_control_unnamed", "span_object_missing", "span_objects_many", "span_object_not_text", "span_text_by_url"),
    *("span_object_without_value", "span_tags_do_not_fit", "span_labels_missing", "span_in_repeater"),
    *("span_encoding_unknown", "region_question_without_spans"),
)
"""Reasons for leaving out a span control."""

_CONTROLS = {"labels": "Labels", "hypertextlabels": "HyperTextLabels", "paragraphlabels": "ParagraphLabels"}
_OBJECTS = {"text": TEXT, "hypertext": HYPERTEXT, "paragraphs": PARAGRAPHS}
_FITTING = {
    "Labels": (TEXT, HYPERTEXT),
    "HyperTextLabels": (HYPERTEXT,),
    # On a Text the page marks as well, with the key `paragraphlabels` and the offsets of a Text.
    "ParagraphLabels": (PARAGRAPHS, TEXT),
}
_INSTEAD = {
    "Labels": "use ParagraphLabels with Paragraphs",
    "HyperTextLabels": "HyperTextLabels needs HyperText",
    "ParagraphLabels": "ParagraphLabels needs Paragraphs",
}
_ENCODINGS = ("none", "base64", "base64unicode")
_GRANULARITIES = ("symbol", "word", "sentence", "paragraph")

MOST_OPTIONS = 10_000
"""Labels read from one task's data."""


class _Refused(Exception):
    """This control is left out."""

    def __init__(self, code: str, reason: str) -> None:
        self.refusal = Refusal(code, reason)
        super().__init__(reason)


@lru_cache(maxsize=64)
def read_span_config(xml: str) -> SpanConfig:
    """The span controls of this label config. Equal texts give the same object (cached).

    Raises BadRequest when it is no XML, holds a DTD, or is too large."""
    elements = list(elements_of(xml))
    named: dict[str, Element] = {}
    for element in elements:
        if name := _attribute(element, "name"):
            named.setdefault(name, element)
    repeated = {id(inner) for one in elements if _tag(one) == "repeater" for inner in one.iter()}
    helper = read_helpers(xml).evidence
    shown: SpanControl | None = None
    controls: dict[str, SpanControl] = {}
    refusals: list[Refusal] = []
    for element in elements:
        if _tag(element) not in _CONTROLS:
            continue
        try:
            control = _control(element, named, id(element) in repeated)
        except _Refused as error:
            refusals.append(error.refusal)
        else:
            if helper is not None and control.name == helper.name:
                shown = control
            else:
                controls.setdefault(control.name, control)
    questions = tuple(_questions(elements, repeated))
    if questions and not controls and not _marks_regions(elements):
        listed = ", ".join(f"'{ascii_words(one.name)}'" for one in questions[:5])
        refusals.append(
            Refusal("region_question_without_spans", f"{listed} is asked per region, and nothing marks regions")
        )
    return SpanConfig(
        tuple(controls.values()),
        questions,
        _relations(elements),
        _others(named, controls, questions),
        tuple(refusals),
        shown,
    )


def with_task_labels(control: SpanControl, data: object) -> SpanControl:
    """`control` with the labels that this task offers besides: `[{"value": "X1", "alias": "x"}, "X2", ...]`."""
    if control.options_field is None or not isinstance(data, Mapping):
        return control
    value = look_up(data, control.options_field)
    found = list(control.labels)
    for item in value[:MOST_OPTIONS] if isinstance(value, list) else ():
        alias, shown = (item.get("alias"), item.get("value")) if isinstance(item, Mapping) else (None, item)
        if isinstance(shown, str) and shown:
            most = _count(item.get("maxUsages")) if isinstance(item, Mapping) else None
            found.append(SpanLabel(alias if isinstance(alias, str) and alias else shown, shown, most))
    return replace(control, labels=_each_once(found))


def with_all_task_labels(config: SpanConfig, data: object) -> SpanConfig:
    """`config` for one task: labels that are in its data are known as well."""
    if all(control.options_field is None for control in config.controls):
        return config
    return replace(config, controls=tuple(with_task_labels(control, data) for control in config.controls))


def ascii_words(text: str) -> str:
    """At most 80 printable ASCII characters of `text`: safe in a status line and in a log."""
    return "".join(char if " " <= char <= "~" else "?" for char in text[:80])


def _control(element: Element, named: Mapping[str, Element], repeated: bool) -> SpanControl:
    tag, name = _CONTROLS[_tag(element)], _attribute(element, "name")
    if not name:
        raise _Refused("span_control_unnamed", f"{tag} has no name")
    shown = f"{tag} '{ascii_words(name)}'"
    if repeated:
        raise _Refused("span_in_repeater", f"{shown} is inside a Repeater")
    marked = _object(element, tag, shown, named)
    most = _count(_attribute(element, "maxUsages"))
    labels = _each_once([_label(one, most) for one in element.iter() if _tag(one) == "label" and _named(one)])
    variable = VARIABLE.fullmatch(_attribute(element, "value"))
    if not labels and variable is None:
        raise _Refused("span_labels_missing", f"{shown} has no labels to mark with")
    return SpanControl(
        name,
        marked,
        tag,
        labels,
        variable[0][1:] if variable else None,
        multiple=_attribute(element, "choice").lower() == "multiple",
        allow_empty=_attribute(element, "allowEmpty").lower() == "true",
        smart=_attribute(element, "smart").lower() != "false",
    )


def _object(element: Element, tag: str, shown: str, named: Mapping[str, Element]) -> SpanObject:
    """What the control marks. Raises _Refused."""
    to_name = [part.strip() for part in _attribute(element, "toName").split(",") if part.strip()]
    if len(set(to_name)) > 1:
        raise _Refused("span_objects_many", f"{shown} names {len(set(to_name))} texts: use one {tag} for each")
    target = named.get(to_name[0]) if to_name else None
    if target is None:
        missing = f"'{ascii_words(to_name[0])}', which is not there" if to_name else "nothing: it has no toName"
        raise _Refused("span_object_missing", f"{shown} marks {missing}")
    object_tag = _OBJECTS.get(_tag(target))
    reads = f"{ascii_words(str(target.tag))} '{ascii_words(to_name[0])}'"
    if object_tag is None:
        raise _Refused("span_object_not_text", f"{shown} marks {reads}, which is not text that can be marked")
    if object_tag not in _FITTING[tag]:
        raise _Refused("span_tags_do_not_fit", f"{shown} marks {reads}: {_INSTEAD[tag]}")
    if "url" in _attribute(target, "valueType").lower():
        raise _Refused("span_text_by_url", f"{shown} marks {reads}, whose text by URL cannot be read: import the text")
    if not _attribute(target, "value"):
        raise _Refused("span_object_without_value", f"{shown} marks {reads}, which has no value")
    encoding = _attribute(target, "encoding").lower() or "none"
    if encoding not in _ENCODINGS:
        raise _Refused("span_encoding_unknown", f"{shown} marks {reads} with an encoding that is not known")
    return _read_object(target, to_name[0], object_tag, encoding)


def _read_object(element: Element, name: str, tag: str, encoding: str) -> SpanObject:
    granularity = _attribute(element, "granularity").lower()
    return SpanObject(
        name,
        tag,
        _attribute(element, "value"),
        encoding if tag != PARAGRAPHS else "none",
        # In Paragraphs it changes nothing.
        granularity if granularity in _GRANULARITIES and tag != PARAGRAPHS else "symbol",
        inline=tag == HYPERTEXT and _attribute(element, "inline").lower() == "true",
        save_text=_attribute(element, "saveTextResult").lower() != "no",
        name_key=_attribute(element, "nameKey") or "author",
        text_key=_attribute(element, "textKey") or "text",
        by_time=tag == PARAGRAPHS and _attribute(element, "contextscroll").lower() == "true",
    )


def _label(element: Element, most: int | None) -> SpanLabel:
    value, alias = _attribute(element, "value"), _attribute(element, "alias")
    own = _count(_attribute(element, "maxUsages"))
    return SpanLabel(alias or value, value or alias, most if own is None else own, _attribute(element, "hint"))


def _named(label: Element) -> bool:
    return bool(_attribute(label, "value") or _attribute(label, "alias"))


def _each_once(labels: Sequence[SpanLabel]) -> tuple[SpanLabel, ...]:
    found: dict[str, SpanLabel] = {}
    for label in labels:
        found.setdefault(label.name, label)
    return tuple(found.values())


def _count(value: object) -> int | None:
    """A number of regions; what is no number, or none at all, is no limit."""
    text = str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""
    return (int(text) or None) if text.isascii() and text.isdigit() and len(text) < 7 else None


def _questions(elements: Sequence[Element], repeated: Collection[int]) -> Iterator[RegionQuestion]:
    """The controls that are answered per region."""
    inside = {
        id(one) for view in elements if _attribute(view, "visibleWhen") == "region-selected" for one in view.iter()
    }
    above = conditions_above(elements)
    for element in elements:
        name, to_name = _attribute(element, "name"), _attribute(element, "toName")
        if not name or not to_name or _tag(element) in _CONTROLS:
            continue
        if _attribute(element, "perRegion").lower() == "true" or id(element) in inside:
            own, more = region_condition(element), above.get(id(element), [])
            learned = more is not None and id(element) not in repeated
            asked = read_region_control(element) if learned else None
            yield RegionQuestion(name, _tag(element), to_name, own.tag, own.labels, tuple(more or ()), asked)


def _marks_regions(elements: Sequence[Element]) -> bool:
    """Whether any control, also one that is not for text, marks regions."""
    marking = ("labels", "rectangle", "polygon", "ellipse", "keypoint", "brush", "videorectangle")
    return any(_tag(one).endswith(marking) and _attribute(one, "toName") for one in elements)


def _relations(elements: Sequence[Element]) -> tuple[str, ...] | None:
    if not any(_tag(one) == "relations" for one in elements):
        return None
    return tuple(_attribute(one, "value") for one in elements if _tag(one) == "relation" and _attribute(one, "value"))


def _others(
    named: Mapping[str, Element], controls: Mapping[str, SpanControl], questions: Sequence[RegionQuestion]
) -> dict[str, tuple[str, tuple[str, ...]]]:
    taken = {*controls, *(one.name for one in questions)}
    return {
        name: (_tag(one), tuple(part.strip() for part in _attribute(one, "toName").split(",")))
        for name, one in named.items()
        if name not in taken and _attribute(one, "toName") and _tag(one) not in _CONTROLS
    }


def _attribute(element: Element, name: str) -> str:
    """The page reads attributes in any case."""
    found = element.get(name)
    if found is None:
        wanted = name.lower()
        found = next((value for key, value in element.attrib.items() if key.lower() == wanted), "")
    return found


def _tag(element: Element) -> str:
    return str(element.tag).lower()
