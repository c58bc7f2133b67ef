"""An order in which everything comes after what it depends on."""

from __future__ import annotations

from collections.abc import Collection, Mapping


def in_dependence_order(needs: Mapping[str, Collection[str]]) -> list[str]:
    """The names, each after the names it needs, else in the order given; a name that is no key is needed by nobody.

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
    """Of a circle that needs nothing outside itself; there is one, since everybody needs somebody."""
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
