"""The order in which questions are asked: each after those that it depends on."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from model.visibility import in_dependence_order

NAMES = st.sampled_from("abcdefgh")


def test_a_circle_begins_with_its_first_name() -> None:
    assert in_dependence_order({"a": ["b"], "b": ["c"], "c": ["b"]}) == ["b", "a", "c"]


def test_a_long_chain_is_no_deep_recursion() -> None:
    needs = {f"n{index}": [f"n{index + 1}"] for index in range(3_000)}
    assert in_dependence_order(needs) == list(reversed(needs))


@given(st.dictionaries(NAMES, st.lists(NAMES | st.just("unknown"))))
def test_everything_comes_once_and_after_what_it_needs_unless_that_needs_it_too(needs: dict[str, list[str]]) -> None:
    order = in_dependence_order(needs)
    assert sorted(order) == sorted(needs)
    for name, others in needs.items():
        for other in others:
            if other in needs and order.index(other) > order.index(name):
                assert name in _reached(needs, other)


def _reached(needs: dict[str, list[str]], name: str) -> set[str]:
    found: set[str] = set()
    left = [name]
    while left:
        for other in needs.get(left.pop(), ()):
            if other not in found:
                found.add(other)
                left.append(other)
    return found
