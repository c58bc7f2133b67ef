"""Which questions the page asks, given the answers to the others. Pure.

A question that the page hides is neither answered nor learned, and leaving it blank says nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from model.labels import path_of
from model.spec import Chosen, Control, Prediction, TaskSpec

Path = tuple[str, ...]
Hidden = NDArray[np.bool_]

Answers = Mapping[str, Collection[Path]]
"""Control name -> the paths chosen there; missing or empty: nothing is. Also of controls that are not learned."""


def is_conditional(spec: TaskSpec) -> bool:
    """Whether any answer can hide a question."""
    return any(control.conditions for control in spec.controls)


def visible_controls(spec: TaskSpec, answers: Answers, *, doubtful: bool = False) -> tuple[str, ...]:
    """Names of the questions that the page shows beside these answers, in the order of the label config.

    An answer to a hidden question shows nothing. In a circle of conditions, which Label Studio's page cannot show, a
    question is asked as if those after it were unanswered. `doubtful`: also the questions that controls which are not
    learned might have shown, where nobody knows what was chosen there."""
    if not is_conditional(spec):
        return tuple(control.name for control in spec.controls)
    learned = {control.name: control for control in spec.controls}
    said: dict[str, Collection[Path]] = {name: paths for name, paths in answers.items() if name not in learned}
    shown: set[str] = set()
    for name in _asking_order(tuple((control.name, _conditions_on(control, spec)) for control in spec.controls)):
        control = learned[name]
        if all(
            _holds(one.chosen, said, learned) is not one.unless or (doubtful and one.chosen.control not in learned)
            for one in control.conditions
        ):
            shown.add(control.name)
            said[control.name] = answers.get(control.name, ())
    return tuple(name for name in learned if name in shown)


@lru_cache(maxsize=64)
def _asking_order(needs: tuple[tuple[str, frozenset[str]], ...]) -> tuple[str, ...]:
    return tuple(in_dependence_order(dict(needs)))


def _conditions_on(control: Control, spec: TaskSpec) -> frozenset[str]:
    """Names of the controls whose answers show or hide this one."""
    names = {one.chosen.control for one in control.conditions}
    if "" in names:
        names |= {other.name for other in spec.controls if other.tag == "Choices"}
    return frozenset(names)


def drop_hidden(spec: TaskSpec, predictions: Sequence[Prediction]) -> list[Prediction]:
    """The answers to questions that the page asks when it is filled in with these answers."""
    if not is_conditional(spec):
        return list(predictions)
    answers = {one.control: _paths(one.chosen) for one in predictions}
    shown = {*visible_controls(spec, answers), *(control.name for control in spec.spans)}
    return [one for one in predictions if one.control in shown]


def hidden_rows(spec: TaskSpec, chosen: Mapping[str, Sequence[tuple[str, ...]]]) -> dict[str, Hidden]:
    """Control -> [n], whether the page hides its question beside the other answers of that row.

    `chosen`: control -> the label keys of its answer to each of n tasks. Controls that are missing say nothing."""
    names = list(chosen)
    rows = list(zip(*chosen.values(), strict=True))
    shown: dict[tuple[tuple[str, ...], ...], frozenset[str]] = {}
    for row in dict.fromkeys(rows):
        answers = {name: _paths(keys) for name, keys in zip(names, row, strict=True)}
        shown[row] = frozenset(visible_controls(spec, answers))
    return {name: np.array([name not in shown[row] for row in rows], dtype=bool) for name in names}


def _holds(chosen: Chosen, said: Answers, learned: Mapping[str, Control]) -> bool:
    if chosen.control:
        given = said.get(chosen.control, ())
    else:
        given = [path for name, paths in said.items() if _is_choices(learned.get(name)) for path in paths]
    if chosen.paths is None:
        return bool(given)
    if chosen.by_name:
        names = {path[-1:] for path in chosen.paths}
        return any(path[-1:] in names for path in given)
    return any(path in chosen.paths for path in given)


def _is_choices(control: Control | None) -> bool:
    return control is None or control.tag == "Choices"


def _paths(keys: Sequence[str]) -> list[Path]:
    # The key of "none of these" is empty.
    return [path_of(key) for key in keys if key]


def in_dependence_order(needs: Mapping[str, Collection[str]]) -> list[str]:
    """The names, each after the names it needs, else in the order given; a name that is no key is needed by none.

    Where names need each other in a circle, the first of the circle comes as if it needed nothing:
    `{"a": ["b"], "b": ["c"], "c": ["b"]}` gives b, a, c."""
    open_needs = {name: set(others) & needs.keys() - {name} for name, others in needs.items()}
    order: list[str] = []
    while open_needs:
        ready = [name for name, others in open_needs.items() if not others] or [_first_of_a_circle(open_needs)]
        for name in ready:
            del open_needs[name]
        for others in open_needs.values():
            others.difference_update(ready)
        order += ready
    return order


def _first_of_a_circle(needs: Mapping[str, set[str]]) -> str:
    """Of a circle that needs nothing outside itself; there is one, since each needs another."""
    name = next(iter(needs))
    circle = _needed_by(name, needs)
    while below := next((other for other in needs if other in circle and name not in _needed_by(other, needs)), None):
        name, circle = below, _needed_by(below, needs)
    return next(other for other in needs if other in circle)


def _needed_by(name: str, needs: Mapping[str, set[str]]) -> set[str]:
    """Everything that it needs, directly or not."""
    found: set[str] = set()
    left = [name]
    while left:
        more = needs[left.pop()] - found
        found |= more
        left += more
    return found
