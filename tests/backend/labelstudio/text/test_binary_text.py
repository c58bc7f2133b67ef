"""What lies in a text as base64 is not read, and does not fill its limit, whichever tag shows it."""

from __future__ import annotations

import base64
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.labelstudio.documents import is_shown_as_read, read_document
from backend.labelstudio.task_spec import parse_label_config
from backend.labelstudio.text.object_text import drop_binary
from model.spec import Input

PICTURE = base64.b64encode(bytes(range(256)) * 900).decode()
IN_LINES = base64.encodebytes(bytes(range(256)) * 900).decode()
URI = f"data:image/png;base64,{PICTURE}"
BODY = "parliament voted"


@pytest.mark.parametrize("picture", [URI, PICTURE, IN_LINES, URI.replace("image/png", "image/svg+xml;charset=utf-8")])
@pytest.mark.parametrize(
    ("tag", "value"),
    [
        ("Text", "{} " + BODY),
        ("Text", '<img src="{}"> ' + BODY),
        ("HyperText", "<base64>{}</base64><p>" + BODY + "</p>"),
        ("Markdown", "![a picture]({} 'title')\n" + BODY),
        ("Paragraphs", [{"author": "A", "text": "{}"}, {"author": "B", "text": BODY}]),
        ("Chat", [{"role": "user", "content": "![]({})\n" + BODY}]),
        ("List", [{"title": "{}", "body": BODY}, {"html": "<p>{}</p>"}]),
        ("Table", {"a": "{}", "b": BODY}),
    ],
)
def test_pictures_in_a_text_are_not_read(tag: str, value: Any, picture: str) -> None:
    xml = f'<View><{tag} name="it" value="$it"/><Choices name="c" toName="it"><Choice value="a"/></Choices></View>'
    read = read_document(parse_label_config(xml), {"it": _fill(value, picture)}, 1_000)[0]["it"]
    assert BODY in read and len(read) < 100


def _fill(value: Any, picture: str) -> Any:
    if isinstance(value, str):
        return value.replace("{}", picture)
    if isinstance(value, list):
        return [_fill(part, picture) for part in value]
    return {key: _fill(part, picture) for key, part in value.items()}


@pytest.mark.parametrize(
    "text",
    [
        "ACGT" * 5_000,
        "-" * 5_000,
        "lopado" * 5_000,
        "0123456789abcdef" * 500,
        "The quick brown fox of 1999 " * 200,
        "see data:image/png and ;base64, there",
        ("/usr/share/Fonts/2/" * 5 + ".ttf\n") * 50,
    ],
)
def test_what_people_read_stays(text: str) -> None:
    assert drop_binary(text) == text


@given(st.text())
def test_short_texts_stay(text: str) -> None:
    assert drop_binary(text[:500]) == text[:500]


@pytest.mark.parametrize("part", ["a" * 511 + " ", "aB3" * 25 + "\n.", "data:", "![", "data:a;base64,", "![](data:a"])
def test_it_takes_time_in_proportion_to_the_text(part: str) -> None:
    text = part * (1_000_000 // len(part))
    start = time.process_time()
    drop_binary(text)
    assert time.process_time() - start < 10


def test_words_are_not_highlighted_where_something_was_left_out() -> None:
    shown = Input("it", "Text", "$it")
    assert is_shown_as_read(shown, {"it": BODY}) and not is_shown_as_read(shown, {"it": URI + BODY})
