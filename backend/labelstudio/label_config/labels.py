"""The labels of one control tag: a tree of `Choice` tags, or the stars of a `Rating`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape

from backend.labelstudio.text.html_text import html_to_text
from model.spec import Kind, Label

VARIABLE = re.compile(r"\$([\w\[\]{}]+(?:\.[\w\[\]{}]+)*)")
"""A reference to task data, as Label Studio's front end reads it."""

CHOICE_VARIABLE = re.compile(r"\$([A-Za-z_][\w\[\]{}]*(?:\.[\w\[\]{}]+)*)", re.ASCII)
"""The same in a Choice, where `$100` is an amount rather than a field."""

MAX_STARS = 100
"""A Rating with more stars than this is a number, not a class."""

STAR_NAMES = ("very bad, terrible", "bad, disappointing", "average, mixed", "good, satisfying", "excellent, wonderful")
"""The least stars to the most."""


SIDES = (Label(("left",), "left"), Label(("right",), "right"))
"""The answers of a Pairwise: which of its two texts was chosen."""


def labels_of(control: Element, kind: Kind) -> tuple[Label, ...]:
    """The labels of a Choices, Taxonomy or Rating tag in document order, each key once; empty when it has none.

    Inner choices of a tree are labels as well, unless Label Studio's page cannot pick one alone: Taxonomy with
    `leafsOnly`, and single Choices with `allowNested` (there a parent is chosen by choosing all its children).
    """
    if kind is Kind.RATING:
        return _stars(control.get("maxRating", "5"))
    labels: dict[str, Label] = {}
    for label, _ in _selectable(control, kind):
        labels.setdefault(label.key, label)
    return tuple(labels.values())


def templates_of(control: Element, kind: Kind) -> tuple[tuple[str, ...], ...]:
    """The paths of a Choices tag's labels that are written with the task's data: `<Choice value="$candidate"/>`."""
    if kind is Kind.RATING:
        return ()
    return tuple(dict.fromkeys(label.path for label, varies in _selectable(control, kind) if varies))


def _selectable(control: Element, kind: Kind) -> Iterator[tuple[Label, bool]]:
    """(label, whether it is written with the task's data)."""
    leaves_only = is_true(control, "leafsOnly") if kind is Kind.TAXONOMY else kind is Kind.SINGLE and nested(control)
    for label, leaf, varies in _choices(control, (), ()):
        if leaf or not leaves_only:
            yield label, varies and kind is not Kind.TAXONOMY  # whose page takes the text as it stands


def nested(control: Element) -> bool:
    """Whether results of this Choices tag carry paths."""
    return is_true(control, "allowNested")


def is_true(element: Element, name: str) -> bool:
    """Whether the attribute `name` is switched on."""
    return element.get(name, "").strip().lower() == "true"


def _choices(
    element: Element, path: tuple[str, ...], words: tuple[str, ...], varies: bool = False
) -> Iterator[tuple[Label, bool, bool]]:
    """(label, has no children, is or is below one with a variable) of every Choice below `element`; Views and headers
    between them do not matter."""
    for child in element:
        value, alias = shown_value(child), child.get("alias")
        if str(child.tag).lower() != "choice" or not (value or alias):
            yield from _choices(child, path, words, varies)
            continue
        read = [child.get("hint", "").strip(), html_to_text(child.get("html", ""))]
        # An alias is often a code: it is read only where nothing else is.
        here = (*path, value if alias is None else alias)
        shown = (*words, value or read[1] or read[0] or str(alias))
        hint = " ".join(part for part in read if part and part != shown[-1])
        of_task = varies or (alias is None and CHOICE_VARIABLE.search(value) is not None)
        below = list(_choices(child, here, shown, of_task))
        yield Label(here, " / ".join(shown) + (f" ({hint})" if hint else "")), not below, of_task
        yield from below


def shown_value(choice: Element) -> str:
    """The value of a Choice; of `<Choice>Sport</Choice>` Label Studio's page takes the text, trimmed, as it stands in
    XML."""
    within = "" if len(choice) else escape((choice.text or "").strip())
    return within or choice.get("value", "")


def _stars(maximum: str) -> tuple[Label, ...]:
    count = int(maximum) if maximum.isascii() and maximum.isdigit() and len(maximum) < 5 else 5
    if count > MAX_STARS:
        return ()
    return tuple(Label((str(star),), _praise(star, count)) for star in range(1, count + 1))


def _praise(star: int, count: int) -> str:
    """What a text with this many stars sounds like; "4 out of 5 stars" says nothing to an encoder (on sentiment in five
    steps the mean absolute error without labels was 1.11 with it, no better than a constant, and .99 with these)."""
    position = (star - 1) / (count - 1) if count > 1 else 1.0
    return STAR_NAMES[round(position * (len(STAR_NAMES) - 1))]
