"""Choices listed in the task data: flat, with aliases, as trees, or missing."""

from __future__ import annotations

from typing import Any

import pytest

from backend.errors import Undecidable
from backend.labelstudio.documents import read_document, read_options
from backend.labelstudio.task_spec import parse_label_config
from model.labels import path_of
from model.spec import Control, Input, Kind, TaskSpec
from tests.support.label_configs import CONFIGS, TASKS, choices, control

TREE = [{"value": "A", "alias": "a", "children": [{"value": "A1"}, {"value": ""}]}, {"value": "B"}]


def dynamic(*keys: str, **more: Any) -> Control:
    return control("c", *keys, options_field="options", **more)


def test_the_recorded_options_are_the_labels_of_the_task() -> None:
    spec = parse_label_config(CONFIGS["dynamic_choices"])
    assert read_document(spec, TASKS["dynamic_choices"][0]) == ({"text": "a"}, {"c": ["X", "Y"]})


def test_options_of_the_config_come_first_and_none_twice() -> None:
    assert read_options(dynamic("Z", "A"), {"options": ["A", {"value": "B"}, "B", 7]}) == ["Z", "A", "B", "7"]


def test_an_alias_stands_for_its_value() -> None:
    assert read_options(dynamic(), {"options": TREE}) == ["a", "B"]


@pytest.mark.parametrize("tree", [dynamic(nested=True), dynamic(kind=Kind.TAXONOMY, tag="Taxonomy")])
def test_a_tree_of_options_is_walked_where_labels_are_paths(tree: Control) -> None:
    assert read_options(tree, {"options": TREE}) == ["a", "a/A1", "B"]


@pytest.mark.parametrize("options", [None, [], "A", {"value": "A"}, 7, [None, {}, [], True, ""]])
def test_a_task_that_offers_nothing_is_undecidable(options: Any) -> None:
    with pytest.raises(Undecidable, match="offers no choices"):
        read_options(dynamic(), {"options": options})


@pytest.mark.parametrize("data", [{}, None, []])
def test_a_task_without_the_field_is_undecidable_unless_the_config_has_labels(data: Any) -> None:
    with pytest.raises(Undecidable, match="'options' is missing"):
        read_options(dynamic(), data)
    assert read_options(dynamic("A"), data) == ["A"]


def test_a_document_without_its_options_is_undecidable() -> None:
    spec = TaskSpec((Input("text", "Text", "$text"),), (dynamic(),))
    with pytest.raises(Undecidable, match="'options' is missing"):
        read_document(spec, {"text": "a"})


def test_the_text_under_the_undefined_field_is_no_list_of_options() -> None:
    with pytest.raises(Undecidable, match="is missing"):
        read_options(dynamic(), {"$undefined$": ["a", "b"]})


def test_keys_of_options_can_be_stored_and_none_is_lost() -> None:
    keys = read_options(dynamic(), {"options": ["a\0", "a ", "\ud800", "\ud801", "\ufffd"]})
    assert "".join(keys).encode() and [path_of(key) for key in keys] == [
        ("a\0",),
        ("a ",),
        ("\ud800",),
        ("\ud801",),
        ("\ufffd",),
    ]


def test_endless_trees_are_cut() -> None:
    tree: list[Any] = []
    for _ in range(500):
        tree = [{"value": "x", "children": tree}]
    assert len(read_options(dynamic(nested=True), {"options": tree})) == 32


WRITTEN = parse_label_config(
    '<View><Text name="text" value="$text"/><Choices name="c" toName="text"><Choice value="$one"/>'
    '<Choice value="No. $n.two"/><Choice value="$100"/><Choice value="$code" alias="code"/><Choice value="fixed"/>'
    "</Choices></View>"
)


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        ({"one": "A/B", "n": {"two": 2}, "code": "x"}, ["$100", "code", "fixed", r"A\/B", "No. 2"]),
        ({"one": "fixed", "n": {"two": ""}}, ["$100", "code", "fixed", "No. "]),
        ({"one": "", "n": {"two": "b"}}, ["$100", "code", "fixed", "No. b"]),
        ({"one": ["A"], "n": {"two": "b"}}, ["$100", "code", "fixed", "No. b"]),
        ({"one": "A"}, ["$100", "code", "fixed", "A"]),
        ({"$one": "A"}, ["$100", "code", "fixed", "$one", "No. $n.two"]),
    ],
)
def test_single_choices_are_written_with_the_task_as_on_the_page(data: Any, keys: list[str]) -> None:
    (written,) = WRITTEN.controls
    assert read_options(written, data) == keys


@pytest.mark.parametrize("name", ["$", "$$", "$100", "$é", "$ A", "A$", "$-a", "US$5"])
def test_a_dollar_sign_that_names_no_field_is_a_letter(name: str) -> None:
    inner = f'<Choice value="{name}"/><Choice value="B"/>'
    (control,) = parse_label_config(choices(inner)).controls
    assert (control.keys(), control.options_field, control.templates) == ((name, "B"), None, ())


@pytest.mark.parametrize("name", ["$A", "$price", "$a_b.c[0]", "x $A"])
def test_a_field_that_no_task_has_is_a_plain_label(name: str) -> None:
    (control,) = parse_label_config(choices(f'<Choice value="{name}"/><Choice value="B"/>')).controls
    assert set(read_options(control, {"text": "a"})) == set(control.keys()) == {name, "B"}


def test_a_choice_written_with_the_task_is_kept_by_a_spec_and_in_a_taxonomy_stays_as_it_stands() -> None:
    assert TaskSpec.from_json(WRITTEN.to_json()) == WRITTEN
    config = '<View><Text name="t" value="$t"/><Taxonomy name="c" toName="t"><Choice value="$one"/></Taxonomy></View>'
    (taxonomy,) = parse_label_config(config).controls
    assert (taxonomy.keys(), taxonomy.options_field, taxonomy.templates) == (("$one",), None, ())


def test_a_task_whose_choices_are_all_empty_is_undecidable() -> None:
    config = '<View><Text name="t" value="$t"/><Choices name="c" toName="t"><Choice value="$one"/></Choices></View>'
    with pytest.raises(Undecidable, match="its fields offer no choices"):
        read_options(parse_label_config(config).controls[0], {"t": "a", "one": None})
