"""Label config (XML) to task spec: which controls can be learned, from which inputs, with which labels.

An own reader on defusedxml instead of the SDK's LabelInterface, which costs 0.4 s and 47 MB to import and expands
entities; the SDK is the oracle of the tests (docs/decisions/0002-own-label-config-reader.md).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from backend.errors import BadRequest, UnsupportedConfig
from model.labelnames import words_of
from model.spec import Control, Input, Kind, Label, TaskSpec

MAX_CONFIG_CHARS = 256 * 1024
OBJECTS = ("Text", "HyperText", "Paragraphs")
CONTROLS = ("Choices", "Taxonomy", "Rating")
HELPERS = ("evidence", "understudy")
"""Names of controls that the backend fills itself; never learned from."""

_FIELD = re.compile(r"\$(\w+)")


@lru_cache(maxsize=256)
def parse_label_config(xml: str) -> TaskSpec:
    """The task spec of a label config.

    Raises BadRequest when it is not XML (or too large, or has a DTD), UnsupportedConfig with a short reason when
    it holds no control that can be learned; the reason becomes the HTTP status line that Label Studio shows.
    """
    root = _read(xml)
    inputs = {item.name: item for item in _inputs(root)}
    controls, refused = [], []
    for element in root.iter():
        if element.tag in CONTROLS:
            reason = _refusal(element, inputs)
            if reason:
                refused.append(reason)
            else:
                controls.append(_control(element, inputs))
    if not controls:
        raise UnsupportedConfig(refused[0] if refused else "no Choices, Taxonomy or Rating over a text")
    used = {name for control in controls for name in control.inputs}
    return TaskSpec(tuple(item for item in inputs.values() if item.name in used), tuple(controls))


def _read(xml: str) -> Any:
    from defusedxml.common import DefusedXmlException
    from defusedxml.ElementTree import ParseError, fromstring

    if not isinstance(xml, str) or not xml.strip():
        raise BadRequest("the label config is empty", field="label_config")
    if len(xml) > MAX_CONFIG_CHARS:
        raise BadRequest(f"the label config is over {MAX_CONFIG_CHARS // 1024} KB", field="label_config")
    try:
        return fromstring(xml, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, UnicodeError, RecursionError) as error:
        raise BadRequest(f"the label config is not usable XML: {type(error).__name__}", field="label_config") from error


def _inputs(root: Any) -> Iterator[Input]:
    for element in root.iter():
        name, value = element.get("name"), element.get("value")
        if element.tag in OBJECTS and name and value and element.get("valueType") != "url":
            yield Input(name, element.tag, value, element.get("nameKey") or "author", element.get("textKey") or "text")


def _refusal(element: Any, inputs: Mapping[str, Input]) -> str | None:
    """Why a control cannot be learned, in few ASCII words; None when it can."""
    if not element.get("name"):
        return f"{element.tag} has no name"
    if element.get("name") in HELPERS:
        return f"{element.tag} is filled by the backend"
    if element.get("perRegion", "").lower() == "true" or element.get("perItem", "").lower() == "true":
        return f"{element.tag} per region or item cannot be learned"
    targets = _targets(element)
    if not targets or any(target not in inputs for target in targets):
        return f"{element.tag} must refer to Text, HyperText or Paragraphs with inline text"
    if element.tag != "Rating" and not element.get("value", "").startswith("$") and not list(element.iter("Choice")):
        return f"{element.tag} has no choices"
    return None


def _targets(element: Any) -> list[str]:
    return [name.strip() for name in element.get("toName", "").split(",") if name.strip()]


def _control(element: Any, inputs: Mapping[str, Input]) -> Control:
    source = element.get("value", "")
    field = _FIELD.fullmatch(source.strip())
    return Control(
        name=element.get("name"),
        kind=_kind(element),
        inputs=tuple(_targets(element)),
        labels=_labels(element),
        tag=element.tag,
        options_field=field.group(1) if field and element.tag != "Rating" else None,
    )


def _kind(element: Any) -> Kind:
    if element.tag == "Rating":
        return Kind.RATING
    if element.tag == "Taxonomy":
        return Kind.TAXONOMY
    return Kind.MULTIPLE if element.get("choice") == "multiple" else Kind.SINGLE


def _labels(element: Any) -> tuple[Label, ...]:
    if element.tag == "Rating":
        try:
            top = min(max(int(element.get("maxRating", "5")), 1), 100)
        except ValueError:
            top = 5
        return tuple(Label((str(stars),), f"{stars} of {top} stars") for stars in range(1, top + 1))
    labels = list(_walk(element, (), ()))
    keys = [label.key for label in labels]
    if len(set(keys)) < len(keys):
        raise UnsupportedConfig("two choices have the same name")
    return tuple(labels)


def _walk(element: Any, path: tuple[str, ...], shown: tuple[str, ...]) -> Iterator[Label]:
    """Choices from the root down; a `<View>` or `<Header>` between them is only layout."""
    for child in element:
        if child.tag == "Choice":
            text = child.get("value") or child.get("alias") or ""
            here = (*path, child.get("alias") or text)
            words = (*shown, " ".join(filter(None, (words_of(text), _hint(child)))))
            if text:
                yield Label(here, " ".join(words))
            yield from _walk(child, here, words)
        elif child.tag not in CONTROLS:
            yield from _walk(child, path, shown)


def _hint(choice: Any) -> str:
    """What else a person reads about a choice: its hint, or the text of its html."""
    from backend.labelstudio.documents import html_text

    return " ".join(filter(None, (choice.get("hint"), html_text(choice.get("html") or ""))))
