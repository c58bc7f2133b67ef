"""One label, one key, whatever people call their labels."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.labels import key_of, path_of, plain_text, shown_labels

ODD = "\\/eu0\0\ud83d\ude00\t\n |·-+#1aA\u0301é👍🏽\u200d"
COMPONENTS = st.text(st.sampled_from(ODD) | st.characters(exclude_categories=()), max_size=6)
PATHS = st.lists(COMPONENTS, max_size=4).map(tuple)


@settings(deadline=None, max_examples=500)
@given(st.lists(PATHS, unique=True))
def test_different_paths_have_different_keys_and_come_back_as_they_were(paths: list[tuple[str, ...]]) -> None:
    keys = [key_of(path) for path in paths]
    assert len(set(keys)) == len(paths)
    assert [path_of(json.loads(json.dumps(key).encode("utf-8"))) for key in keys] == paths


@settings(deadline=None, max_examples=500)
@given(st.lists(PATHS, unique=True))
def test_no_two_labels_are_shown_alike(paths: list[tuple[str, ...]]) -> None:
    shown = shown_labels(key_of(path) for path in paths)
    assert len(set(shown.values())) == len(paths)
    assert all(text.encode("utf-8") or text == "" for text in shown.values())


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ((), ""),
        (("A",), "A"),
        (("A", "A1"), "A/A1"),
        (("A/A1",), r"A\/A1"),
        (("A\\", "A1"), r"A\\/A1"),
        (("",), r"\e"),
        (("\\e",), r"\\e"),
        (("\0",), r"\u0000"),
        (("\ud800",), r"\ud800"),
        (("Ⅳ", "e\u0301", " A  B "), "Ⅳ/e\u0301/ A  B "),
    ],
)
def test_what_separates_or_cannot_be_written_is_escaped_and_nothing_else(path: tuple[str, ...], key: str) -> None:
    assert key_of(path) == key and path_of(key) == path


def test_people_read_plain_text_until_two_labels_would_read_the_same() -> None:
    flat, nested, other = key_of(("Input/Output",)), key_of(("Input", "Output")), key_of(("and/or",))
    assert plain_text(flat) == plain_text(nested) == "Input/Output"
    assert shown_labels([flat, other]) == {flat: "Input/Output", other: "and/or"}
    assert shown_labels([nested]) == {nested: "Input/Output"}
    assert shown_labels([flat, nested]) == {flat: r"Input\/Output", nested: "Input/Output"}
