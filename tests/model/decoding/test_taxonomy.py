"""How deep an answer in a tree goes, and how sure each level is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.decoding.answers import AnswerRules, decide
from model.decoding.taxonomy import Path, Tree, descend
from model.spec import Control, Kind, Label

TREE: list[Path] = [("A",), ("A", "A1"), ("A", "A2"), ("B",), ("B", "B1"), ("B", "B1", "B11")]
LEAVES: list[Path] = [("A", "A1"), ("A", "A2"), ("B", "B1", "B11"), ("B", "B1", "B12")]


def answer(paths: list[Path], *row: float, sure: float = 0.5) -> Path:
    return descend(paths, np.array(row), sure)[-1][0]


def test_a_node_is_as_likely_as_itself_and_all_below_it() -> None:
    tree = Tree(TREE)
    sums = dict(zip(tree.nodes, tree.confidences(np.array([0.1, 0.2, 0.3, 0.05, 0.15, 0.2])), strict=True))
    assert {"/".join(path): round(share, 6) for path, share in sums.items()} == {
        **{"A": 0.6, "A/A1": 0.2, "A/A2": 0.3},
        **{"B": 0.4, "B/B1": 0.35, "B/B1/B11": 0.2},
    }


def test_the_answer_goes_as_deep_as_it_is_sure() -> None:
    assert answer(TREE, 0.0, 0.6, 0.1, 0.1, 0.1, 0.1) == ("A", "A1")
    assert answer(TREE, 0.0, 0.4, 0.4, 0.1, 0.05, 0.05) == ("A",)
    assert answer(TREE, 0.0, 0.1, 0.0, 0.0, 0.3, 0.6) == ("B", "B1", "B11")
    assert answer(TREE, 0.0, 0.1, 0.0, 0.0, 0.6, 0.3) == ("B", "B1")


def test_the_bar_can_be_moved() -> None:
    row = (0.0, 0.4, 0.35, 0.1, 0.05, 0.1)
    assert answer(TREE, *row, sure=0.3) == ("A", "A1")
    assert answer(TREE, *row, sure=0.8) == ("A",)


def test_an_inner_node_likelier_as_the_answer_than_any_child_is_the_answer() -> None:
    assert answer(TREE, 0.5, 0.35, 0.05, 0.1, 0.0, 0.0, sure=0.2) == ("A",)


def test_the_first_level_is_always_answered() -> None:
    assert answer(TREE, 0.1, 0.13, 0.13, 0.2, 0.2, 0.24) == ("B",)


def test_where_only_leaves_are_labels_the_answer_is_the_likeliest_leaf() -> None:
    levels = descend(LEAVES, np.array([0.3, 0.25, 0.35, 0.1]))
    assert [("/".join(node), round(share, 6)) for node, share in levels] == [
        ("B", 0.45),
        ("B/B1", 0.45),
        ("B/B1/B11", 0.35),
    ]


def test_an_inner_node_that_is_no_label_is_passed_through() -> None:
    assert answer([("A", "A1"), ("A", "A1", "x"), ("A", "A2")], 0.3, 0.2, 0.5) == ("A", "A1")


def test_a_tree_without_labels_has_no_answer() -> None:
    with pytest.raises(ValueError, match="no answer"):
        descend([], np.zeros(0))


def test_a_prediction_tells_the_confidence_of_every_level() -> None:
    paths: list[Path] = [("A",), ("A", "w/o"), ("B",)]
    control = Control("t", Kind.TAXONOMY, ("text",), tuple(Label(path, path[-1]) for path in paths), "Taxonomy")
    found = decide(control, AnswerRules(control.keys()), np.array([0.1, 0.7, 0.2]))
    assert found is not None
    assert (found.chosen, found.score) == ((r"A/w\/o",), 0.7)
    assert found.levels == (("A", 0.8), (r"A/w\/o", 0.7))


def test_choices_of_the_task_are_a_tree_too() -> None:
    control = Control("t", Kind.TAXONOMY, ("text",), (), "Taxonomy", "options")
    keys = ["A", "A/A1", "A/A2"]
    found = decide(control, AnswerRules(tuple(keys), sure=0.6), np.array([0.2, 0.5, 0.3]), keys)
    assert found is not None
    assert (found.chosen, found.levels) == (("A",), (("A", 1.0),))


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map(tuple), min_size=1, unique=True),
    st.integers(0, 2**32 - 1),
    st.floats(0, 1),
)
def test_any_tree_gives_a_label_whose_confidence_falls_from_level_to_level(
    paths: list[Path], seed: int, sure: float
) -> None:
    row = np.random.default_rng(seed).dirichlet(np.ones(len(paths)))
    levels = descend(paths, row, sure)
    shares = [share for _, share in levels]
    assert levels[-1][0] in paths
    assert shares == sorted(shares, reverse=True)
    assert [len(node) for node, _ in levels] == list(range(1, len(levels) + 1))
    likeliest = paths[int(row.argmax())]
    if row.max() > max(sure, 0.5):  # more than half of all: nothing may stop above it
        assert levels[-1][0][: len(likeliest)] == likeliest
