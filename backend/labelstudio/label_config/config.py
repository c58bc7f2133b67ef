"""Reads the controls of a label config that are answered with choices, and the inputs that they read.

Label Studio's own reader (`label_studio_sdk`) is the oracle of the tests; docs/decisions/0002 says why only there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from backend.errors import BadRequest
from backend.labelstudio.label_config.labels import SIDES, VARIABLE, is_true, labels_of, nested, templates_of
from backend.labelstudio.label_config.visibility import NotAsked, Place, conditions_of
from backend.labelstudio.text.object_text import INSTEAD, READABLE
from model.spec import Control, Input, Json, Kind, TaskSpec

MAX_BYTES = 1024 * 1024
"""Largest config read: about 20,000 categories (6,000 are 300 KB, 150 are 5 KB). Label Studio has no limit; with more
labels a refit takes minutes, since its work grows with their number (bench.scale)."""

MAX_DEPTH = 64
"""Deepest nesting read: far more than a page can show, far less than Python's recursion limit."""

_ATTRIBUTES = {
    name.lower(): name
    for name in (
        *("name", "toName", "value", "valueType", "encoding", "nameKey", "textKey", "alias", "hint", "html", "choice"),
        *("allowNested", "leafsOnly", "maxRating", "perRegion", "perItem", "maxUsages", "mode", "apiUrl"),
        *("visibleWhen", "whenTagName", "whenChoiceValue", "whenLabelValue"),
    )
}
"""Label Studio's page reads attributes in any case."""

_CONTROLS = {"choices": "Choices", "taxonomy": "Taxonomy", "rating": "Rating", "pairwise": "Pairwise"}


class _Skipped(Exception):
    """This input or control cannot be learned; the message says why."""


def elements_of(xml: Json) -> Iterator[Element]:
    """Every tag of a label config in document order. Raises BadRequest as above."""
    return (place.element for place in _walk(_parse(checked(xml))))


def checked(xml: Json) -> str:
    """`xml`. Raises BadRequest when it is no text, empty or too large."""
    if not isinstance(xml, str) or not xml.strip():
        raise BadRequest("label_config is empty", field="label_config")
    if len(xml) > MAX_BYTES or len(xml.encode("utf-8", "replace")) > MAX_BYTES:
        raise BadRequest(
            f"label_config is larger than {MAX_BYTES // 1024} KB: leave out labels that nobody uses, "
            "or deal them to several projects",
            field="label_config",
        )
    return xml


def read_choices(xml: str) -> tuple[TaskSpec, tuple[str, ...]]:
    """What is asked with choices, and one reason for each control of a supported kind that is left out.

    Raises BadRequest when it is no XML, or holds a DTD."""
    root = _parse(xml)
    inputs: dict[str, Input | str] = {}
    named: dict[str, Place] = {}
    tags: list[Place] = []
    for place in _walk(root):
        element = place.element
        name, tag = element.get("name"), str(element.tag).lower()
        if name:
            named.setdefault(name, place)
        if tag in _CONTROLS:
            tags.append(place)
        elif name:
            inputs.setdefault(name, _input(element, name))
    controls: dict[str, Control] = {}
    skipped: list[str] = []
    for place in tags:
        try:
            control = _control(place, named, inputs)
        except _Skipped as reason:
            skipped.append(str(reason))
        else:
            controls.setdefault(control.name, control)
    needed = {name: None for control in controls.values() for name in control.inputs}
    used = tuple(item for name in inputs if name in needed and isinstance(item := inputs[name], Input))
    return TaskSpec(used, tuple(controls.values()), frozenset(named) - set(controls)), tuple(skipped)


def _parse(xml: str) -> Element:
    try:
        root: Element = fromstring(xml, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        # Of these, UnicodeEncodeError (a lone surrogate) and DefusedXmlException are ValueErrors.
        detail = "a DTD is not allowed" if isinstance(error, DefusedXmlException) else str(error)
        raise BadRequest(f"label_config is not usable XML: {_ascii(detail)}", field="label_config") from error
    for element in root.iter():
        for name in [name for name in element.attrib if _ATTRIBUTES.get(name.lower(), name) != name]:
            element.attrib.setdefault(_ATTRIBUTES[name.lower()], element.attrib.pop(name))
    return root


def _walk(root: Element) -> Iterator[Place]:
    """Every element in document order. Raises BadRequest when nested too deep."""
    stack = [Place(root)]
    while stack:
        place = stack.pop()
        above = (*place.above, place.element)
        if len(above) > MAX_DEPTH:
            raise BadRequest(f"label_config is nested deeper than {MAX_DEPTH} tags", field="label_config")
        yield place
        stack.extend(Place(child, above) for child in reversed(place.element))


def _input(element: Element, name: str) -> Input | str:
    """The input this tag shows, or why its text cannot be read."""
    tag, value = READABLE.get(str(element.tag).lower()), element.get("value")
    if not len(element) and (element.text or "").strip():
        value = (element.text or "").strip()  # which the page prefers
    shown = f"{_ascii(str(element.tag))} '{_ascii(name)}'"
    if tag is None:
        instead = INSTEAD.get(str(element.tag).lower(), "with what can be read of it")
        return f"reads {shown}, which is not text: let its toName name a Text tag {instead}"
    if not value:
        return f"reads {shown}, which has no value"
    if "url" in element.get("valueType", "").lower():
        return f"reads {shown} by valueType=url: no URL in task data is fetched, import the text itself"
    if element.get("encoding", "none").lower() != "none":
        return f"reads {shown} with an encoding: import the text itself"
    author = "name" if tag == "Dialog" else "author"
    return Input(name, tag, value, element.get("nameKey", author), element.get("textKey", "text"))


def _control(place: Place, named: Mapping[str, Place], inputs: Mapping[str, Input | str]) -> Control:
    """The control of this tag. Raises _Skipped."""
    element = place.element
    tag, name = _CONTROLS[str(element.tag).lower()], element.get("name", "")
    shown = f"{tag} '{_ascii(name)}'"
    if not name:
        raise _Skipped(f"{tag} has no name")
    if is_true(element, "perRegion") or is_true(element, "perItem"):
        raise _Skipped(of_regions(tag, name))
    if place.repeated:
        raise _Skipped(f"{shown} is inside a Repeater")
    to_name = tuple(part.strip() for part in element.get("toName", "").split(",") if part.strip())
    if not to_name:
        raise _Skipped(f"{shown} has no toName: let it name the tag with the text")
    for item in to_name:
        if not isinstance(found := inputs.get(item, f"reads '{_ascii(item)}', which is not there"), Input):
            raise _Skipped(f"{shown} {found}")
    kind = _kind(element, tag)
    if tag == "Pairwise" and len(set(to_name)) != 2:
        raise _Skipped(f"{shown} does not compare two different texts: its toName names {len(set(to_name))}")
    labels = SIDES if tag == "Pairwise" else labels_of(element, kind)
    templates = templates_of(element, kind) if tag == "Choices" else ()
    field = _options_field(element, tag, templates)
    if not labels and field is None:
        fetched = ": its apiUrl is not fetched, write them into the label config" if element.get("apiUrl") else ""
        raise _Skipped(f"{shown} has no labels to choose from{fetched}")
    try:
        conditions = conditions_of(place, named)
    except NotAsked as reason:
        raise _Skipped(f"{shown} {reason}") from reason
    return Control(
        name,
        kind,
        to_name,
        labels,
        tag,
        field,
        nested=tag == "Choices" and nested(element),
        conditions=conditions,
        required=is_true(element, "required"),
        most=_most(element) if kind is Kind.TAXONOMY else None,
        templates=templates,
    )


def of_regions(tag: str, name: str) -> str:
    """Why a control is no question about the task."""
    return f"{tag} '{_ascii(name)}' is answered per region, not per task"


def _kind(element: Element, tag: str) -> Kind:
    if tag == "Pairwise":
        return Kind.SINGLE
    if tag == "Choices":
        return Kind.MULTIPLE if element.get("choice", "single").lower() == "multiple" else Kind.SINGLE
    return Kind.TAXONOMY if tag == "Taxonomy" else Kind.RATING


def _most(element: Element) -> int | None:
    """How many paths a Taxonomy takes; None for any number, as without the attribute."""
    number = element.get("maxUsages", "").strip()
    return int(number) or None if number.isascii() and number.isdigit() and len(number) < 7 else None


def _options_field(element: Element, tag: str, templates: tuple[tuple[str, ...], ...]) -> str | None:
    """The task field with the choices, for `value="$options"`; "" where only single choices are in the task."""
    match = VARIABLE.fullmatch(element.get("value", ""))
    return match.group(1) if match and tag in ("Choices", "Taxonomy") else "" if templates else None


def _ascii(text: str) -> str:
    """At most 80 printable ASCII characters of `text`: safe in a status line and in a log."""
    return "".join(char if " " <= char <= "~" else "?" for char in text[:80])
