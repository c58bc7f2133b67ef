"""Reads from a label config when its page asks a question: `visibleWhen` on the control and on what holds it.

As Label Studio 1.23.2 does: Views (and Repeaters, which become Views), Choices and Taxonomy can be hidden; the same
attribute on a Rating, Collapse or Panel does nothing, and what a hidden View holds is hidden with it. Values are split
at every comma, blanks stay; a value names a choice by its alias or its shown text. Where the page shows a question but
does not keep its answer, the question is not asked either.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from backend.labelstudio.label_config.labels import is_true, nested, shown_value
from model.spec import Chosen, Condition

Path = tuple[str, ...]

_HIDING = frozenset({"view", "choices", "taxonomy"})
_SELECTED = frozenset({"choice-selected", "choice-unselected"})


class NotAsked(Exception):
    """The page never asks this question about a task; the message says why, without naming the question."""


@dataclass(frozen=True)
class Place:
    """A tag and the tags that hold it, from the root down."""

    element: Element
    above: tuple[Element, ...] = ()

    @property
    def repeated(self) -> bool:
        """Whether a Repeater holds it."""
        return any(_tag(element) == "repeater" for element in self.above)


def conditions_of(place: Place, named: Mapping[str, Place]) -> tuple[Condition, ...]:
    """When the page asks the question at `place`; `named`: every tag of the config that has a name.

    Raises NotAsked for a question that belongs to a region, or that no answer can show."""
    if _is_of_region(place, named):
        raise NotAsked('is asked of a selected region (visibleWhen="region-selected"), not of the task')
    found: list[Condition] = []
    for element in _hiding(place):
        for condition in _conditions(element, named):
            if condition not in found:
                found.append(condition)
    return tuple(found)


def _conditions(element: Element, named: Mapping[str, Place]) -> Iterator[Condition]:
    """What one tag asks for. Raises NotAsked."""
    when, value = element.get("visibleWhen"), element.get("whenChoiceValue")
    if when in _SELECTED:
        yield from _when_chosen(element.get("whenTagName"), value, named, unless=when == "choice-unselected")
    elif not when and value:
        yield Condition(Chosen("", ((value,),), by_name=True))


def _when_chosen(
    name: str | None, value: str | None, named: Mapping[str, Place], *, unless: bool
) -> Iterator[Condition]:
    if not name:
        yield Condition(Chosen(""), unless)
        if value is not None:
            parts = value.split(",")
            everywhere = [path for place in named.values() for path in _paths(place.element, parts)]
            names = dict.fromkeys([*((part,) for part in parts), *(path[-1:] for path in everywhere)])
            yield Condition(Chosen("", tuple(names), by_name=True), unless)
        return
    chosen = _chosen_in(name, value, named.get(name))
    if chosen is not None:
        yield Condition(chosen, unless)
    elif not unless:
        raise NotAsked(f"is never shown: {_what(name, value)} cannot be chosen about a task in this label config")


def _chosen_in(name: str, value: str | None, place: Place | None) -> Chosen | None:
    """What has to be chosen in the control called `name`; None when nothing there can be."""
    if place is None or is_true(place.element, "perRegion") or is_true(place.element, "perItem") or place.repeated:
        return None
    tag = _tag(place.element)
    if tag == "rating":  # the page knows no stars without a value, and with one nothing else can be meant
        return None if value is None else Chosen(name, tuple((part,) for part in value.split(",")))
    if tag not in ("choices", "taxonomy"):
        return None
    if value is None:
        return Chosen(name)
    by_name = tag == "taxonomy" or bool(place.element.get("value"))
    parts = value.split(",")
    paths = _paths(place.element, parts)
    if by_name:  # the choices may be in the task
        found = dict.fromkeys([*(path[-1:] for path in paths), *((part,) for part in parts)])
        return Chosen(name, tuple(found), by_name=True)
    return Chosen(name, tuple(dict.fromkeys(paths))) if paths else None


def _paths(element: Element, values: Sequence[str]) -> list[Path]:
    """The choices that these values name: for each the first whose alias or value it is."""
    if _tag(element) not in ("choices", "taxonomy"):
        return []
    first: dict[str, list[Path]] = {}
    for path, value, alias, only_leaf in _choices(element, ()):
        # A parent with one choice below is chosen by choosing that.
        paths = [path, only_leaf] if nested(element) and only_leaf not in (None, path) else [path]
        for name in (alias, value):
            if name:
                first.setdefault(name, [one for one in paths if one is not None])
    return [path for value in values for path in first.get(value, ())]


def _choices(element: Element, above: Path) -> Iterator[tuple[Path, str, str, Path | None]]:
    """(path, value, alias, the leaf at or below it where there is just one) of every Choice, in document order."""
    for child in element:
        value, alias = shown_value(child), child.get("alias", "")
        if _tag(child) != "choice" or not (value or alias):
            yield from _choices(child, above)
            continue
        path = (*above, alias or value)
        below = list(_choices(child, path))
        leaves = {leaf for *_, leaf in below} if below else {path}
        yield path, value, alias, leaves.pop() if len(leaves) == 1 else None
        yield from below


def _is_of_region(place: Place, named: Mapping[str, Place]) -> bool:
    """Whether it is shown only with a region selected, itself or by way of the questions it follows from."""
    seen: set[int] = set()
    open_places = [place]
    while open_places:
        place = open_places.pop()
        for element in _hiding(place):
            if element.get("visibleWhen") == "region-selected":
                return True
            before = named.get(element.get("whenTagName", ""))
            if element.get("visibleWhen") == "choice-selected" and before and id(before) not in seen:
                seen.add(id(before))
                open_places.append(before)
    return False


def _hiding(place: Place) -> Iterator[Element]:
    """The tag and those above it, as far as `visibleWhen` means something there."""
    for element in (*place.above, place.element):
        if _tag(element) in _HIDING or (_tag(element) == "repeater" and element.get("mode") != "pagination"):
            yield element


def _what(name: str, value: str | None) -> str:
    shown = f"{value!r} of {name!r}" if value is not None else f"anything of {name!r}"
    return "".join(char if " " <= char <= "~" else "?" for char in shown[:120])


def _tag(element: Element) -> str:
    return str(element.tag).lower()
