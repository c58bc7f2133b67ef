"""What each object tag of Label Studio shows is read as text, or refused with what to do."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.errors import Undecidable, UnsupportedConfig
from backend.labelstudio.documents import read_document
from backend.labelstudio.results import read_targets, to_results
from backend.labelstudio.task_spec import parse_label_config
from model.spec import Kind, Prediction

CHOICES = '<Choices name="label" toName="it"><Choice value="A"/><Choice value="B"/></Choices>'


def read(tag: str, value: Any, attributes: str = "") -> str:
    spec = parse_label_config(f'<View><{tag} name="it" value="$it" {attributes}/>{CHOICES}</View>')
    return read_document(spec, {"it": value})[0]["it"]


CALL = {"type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}


@pytest.mark.parametrize(
    ("tag", "value", "text"),
    [
        ("Text", 12, "12"),
        ("Text", ["a", 1], "a\n1"),
        ("HyperText", "<p>a</p>", "a"),
        ("HyperText", ["<p>a", "</p>b"], "a\nb"),
        ("Markdown", "# Title\n*a*", "# Title\n*a*"),
        ("Paragraphs", ["a", "b"], "a\nb"),
        ("Paragraphs", {"author": "X", "text": "a"}, "X: a"),
        ("Dialog", [{"name": "X", "text": "a", "date": "today"}, {"name": "Y", "text": "b"}], "X: a\nY: b"),
        ("Chat", [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "user: a\nassistant: b"),
        (
            "Chat",
            [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url"}, "b"]}],
            "user: a\nb",
        ),
        (
            "Chat",
            [{"role": "assistant", "content": None, "tool_calls": [CALL]}],
            'assistant: weather({"city": "Oslo"})',
        ),
        ("Chat", [{"role": "assistant", "content": None}, {"content": "a"}], "a"),
        ("Chat", [{"role": "user", "content": ""}], ""),
        ("Chat", [{"role": "user", "content": {"type": "text", "text": {"value": "a", "annotations": []}}}], "user: a"),
        (
            "Chat",
            [{"role": "user", "content": [{"type": "tool_result", "content": [{"text": "a"}, "b"]}]}],
            "user: a\nb",
        ),
        ("Chat", [], ""),
        ("Chat", {"messages": [{"role": "user", "content": "a"}]}, "user: a"),
        ("Chat", '[{"role": "user", "content": "a"}]', "user: a"),
        ("Chat", "a plain one", "a plain one"),
        ("Chat", "[not JSON", "[not JSON"),
        ("List", [{"id": 1, "title": "T", "body": "a"}, {"id": 2, "html": "<p>b</p>"}, "c"], "T\na\nb\nc"),
        ("List", [], ""),
        ("Table", {"b": 1, "A": "x", "c": {"d": ["e", None, 2.5]}}, "A: x\nb: 1\nc: e, 2.5"),
        ("Table", [{"a": 1, "b": "x"}, {"a": 2}], "a: 1; b: x\na: 2"),
        ("Table", ["x", 2, ["y", "z"]], "x\n2\ny, z"),
        ("Table", '{"a": "x"}', "a: x"),
        ("Table", "a,b\n1,2", "a,b\n1,2"),
    ],
)
def test_the_text_in_a_value_is_read(tag: str, value: Any, text: str) -> None:
    assert read(tag, value) == text


@pytest.mark.parametrize(
    ("tag", "value", "reason"),
    [
        ("Text", None, "is null"),
        ("Text", {"a": "b"}, "is an object"),
        ("Text", [{"role": "user", "content": "a"}], "Chat"),
        ("HyperText", [None], "list without any text"),
        ("Paragraphs", [{"speaker": "X", "words": "a"}], "no 'text' in any paragraph"),
        ("Chat", [{"from": "human", "value": "a"}], '"content"'),
        ("Chat", None, "is null"),
        ("List", [{"id": 1, "image": "x"}], '"title"'),
        ("List", {"a": 1}, "is an object"),
        ("Table", None, "is null"),
    ],
)
def test_a_value_without_a_text_is_declined_with_the_remedy(tag: str, value: Any, reason: str) -> None:
    with pytest.raises(Undecidable) as caught:
        read(tag, value)
    assert reason in caught.value.reason and "'it'" in caught.value.reason


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["role", "content", "text", "tool_calls", "function", "arguments", "title", "body", "html"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON, st.sampled_from(["Text", "HyperText", "Markdown", "Paragraphs", "Dialog", "Chat", "List", "Table"]))
def test_any_value_is_a_text_or_declined(value: Any, tag: str) -> None:
    try:
        assert isinstance(read(tag, value), str)
    except Undecidable as declined:
        assert declined.reason


def test_nothing_is_too_deep() -> None:
    deep: Any = "end"
    for _ in range(50_000):
        deep = [deep]
    assert read("Table", {"a": deep}) == "a: end"


@pytest.mark.parametrize(
    ("tag", "remedy"),
    [
        *((tag, "transcript") for tag in ("Audio", "AudioPlus", "Video")),
        ("Image", "OCR text"),
        ("Pdf", "text of the PDF"),
        ("TimeSeries", "in words"),
        *((tag, "what can be read of it") for tag in ("ReactCode", "CustomInterface", "Header", "Ranker", "Anything")),
    ],
)
def test_what_holds_no_text_is_refused_with_the_remedy(tag: str, remedy: str) -> None:
    with pytest.raises(UnsupportedConfig) as caught:
        read(tag, "x")
    message = str(caught.value)
    assert f"reads {tag} 'it'" in message and "toName" in message and remedy in message
    assert message.isascii() and "\n" not in message and len(message) < 200


@pytest.mark.parametrize("attributes", ['valueType="url"', 'valueType="csv|url"', 'valuetype="URL"'])
def test_nothing_is_fetched(attributes: str) -> None:
    with pytest.raises(UnsupportedConfig, match="import the text itself"):
        read("Table", "http://127.0.0.1/x", attributes)


def test_text_inside_a_tag_is_its_value() -> None:
    spec = parse_label_config(f'<View><Text name="it">Rate $it</Text>{CHOICES}</View>')
    assert read_document(spec, {"it": "this"})[0] == {"it": "Rate this"}


PAIR = (
    '<View><Pairwise name="pw" toName="one, two" choice="multiple"/><Text name="one" value="$a"/>'
    '<Text name="two" value="$b"/></View>'
)


def test_a_pairwise_is_a_choice_between_its_two_texts() -> None:
    spec = parse_label_config(PAIR)
    [control] = spec.controls
    assert (control.kind, control.inputs, control.keys()) == (Kind.SINGLE, ("one", "two"), ("left", "right"))
    [found] = to_results(spec, [Prediction("pw", ("right",), 0.9)])
    assert (found["type"], found["value"], found["to_name"]) == ("pairwise", {"selected": "right"}, "pw")
    assert read_targets(spec, [found]) == {"pw": [["right"]]}


@pytest.mark.parametrize(
    ("to_name", "reason"),
    [("one", "names 1"), ("one,one", "names 1"), ("one,two,it", "names 3"), ("one,img", "not text")],
)
def test_a_pairwise_of_anything_else_is_refused(to_name: str, reason: str) -> None:
    config = PAIR.replace("one, two", to_name).replace(
        "</View>", '<Text name="it" value="$c"/><Image name="img" value="$d"/></View>'
    )
    with pytest.raises(UnsupportedConfig, match=reason):
        parse_label_config(config)
