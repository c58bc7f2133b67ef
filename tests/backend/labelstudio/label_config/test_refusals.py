"""Label configs that cannot be used: hostile, broken, or with nothing to learn. Nothing outside is ever read."""

from __future__ import annotations

import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.errors import BadRequest, UnsupportedConfig
from backend.labelstudio.task_spec import parse_label_config, skipped_controls
from tests.support.label_configs import choices

AB = '<Choice value="A"/><Choice value="B"/>'
LAUGHS = '<!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>'

HOSTILE = {
    "empty DTD": "<!DOCTYPE View><View/>",
    "billion laughs": LAUGHS + choices('<Choice value="&c;"/>'),
    "external entity by http": '<!DOCTYPE v [<!ENTITY e SYSTEM "http://127.0.0.1:9/x">]><View>&e;</View>',
    "external DTD": '<!DOCTYPE v SYSTEM "http://127.0.0.1:9/x.dtd">' + choices(AB),
    "parameter entity": '<!DOCTYPE v [<!ENTITY % p SYSTEM "file:///etc/hostname">%p;]><View/>',
    "undeclared entity": choices('<Choice value="&nope;"/>'),
    "1,100 KB": choices(AB + " " * 1_100_000),
    "1,100 KB of UTF-8 in 370,000 characters": choices(AB + "良" * 370_000),
    "deep": "<View>" * 65 + "</View>" * 65,
    "very deep": "<a>" * 35_000 + "</a>" * 35_000,
    "not XML": "just words",
    "JSON": '{"label_config": "<View/>"}',
    "cut": choices(AB)[:-10],
    "two roots": "<View/><View/>",
    "NUL": choices('<Choice value="\0"/>'),
    "lone surrogate": choices('<Choice value="\ud800"/>'),
    "unknown prefix": "<x:View/>",
    "control characters in the error": "<View>\r\n</\x1bVi\new>",
    "empty": "",
    "blank": " \n\t",
}

UNSUPPORTED = {
    "no control": '<View><Text name="text" value="$text"/></View>',
    "empty view": "<View/>",
    "per region only": choices(AB, control='perRegion="true"'),
    "per item only": choices(AB, control='perItem="true"'),
    "by URL": choices(AB, text='value="$text" valueType="url"'),
    "encoded": choices(AB, text='value="$text" encoding="base64"'),
    "image": f'<View><Image name="i" value="$i"/><Choices name="c" toName="i">{AB}</Choices></View>',
    "text and image": '<View><Text name="t" value="$t"/><Image name="i" value="$i"/>'
    f'<Choices name="c" toName="t,i">{AB}</Choices></View>',
    "text without value": choices(AB, text=""),
    "input that is not there": f'<View><Choices name="c" toName="missing">{AB}</Choices></View>',
    "no labels": choices(""),
    "no toName": f'<View><Text name="t" value="$t"/><Choices name="c">{AB}</Choices></View>',
    "labels by URL": '<View><Text name="t" value="$t"/><Taxonomy name="c" toName="t" apiUrl="http://127.0.0.1:9/"/></View>',
    "no name": f'<View><Text name="t" value="$t"/><Choices toName="t">{AB}</Choices></View>',
    "repeated": '<View><Repeater on="$r"><Text name="t" value="$t"/>'
    f'<Choices name="c" toName="t">{AB}</Choices></Repeater></View>',
    "a number, not classes": '<View><Text name="t" value="$t"/><Rating name="r" toName="t" maxRating="1000"/></View>',
    "unprintable names": f'<View><Image name="日本&#10;\u202e" value="$i"/><Choices name="é&#13;&#9;{"x" * 500}"'
    f' toName="日本&#10;\u202e">{AB}</Choices></View>',
}


@pytest.fixture
def sealed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The doors to files and network, each of which notes who knocks."""
    knocks: list[str] = []

    def door(name: str) -> Any:
        def refuse(*args: Any, **kwargs: Any) -> Any:
            knocks.append(f"{name} {args}")
            raise OSError(name)

        return refuse

    with monkeypatch.context() as patched:
        for holder, name in (("builtins", "open"), ("io", "open"), ("os", "open")):
            patched.setattr(f"{holder}.{name}", door(f"{holder}.{name}"))
        for holder in (socket.socket, socket):
            for name in ("connect", "getaddrinfo", "create_connection"):
                if hasattr(holder, name):
                    patched.setattr(holder, name, door(name))
        patched.setattr(urllib.request, "urlopen", door("urlopen"))
        yield knocks


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_config_is_a_bad_request_and_nothing_is_opened(case: str, sealed: list[str]) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_label_config(HOSTILE[case])
    assert sealed == []
    assert caught.value.evidence["field"] == "label_config"
    assert str(caught.value).isascii() and str(caught.value).isprintable()


@pytest.mark.parametrize("config", [None, 7, b"<View/>", ["<View/>"], {"xml": "<View/>"}])
def test_what_is_no_string_is_a_bad_request(config: Any) -> None:
    with pytest.raises(BadRequest):
        parse_label_config(config)


def test_an_external_entity_does_not_read_its_file(tmp_path: Path, sealed: list[str]) -> None:
    entity = f'<!DOCTYPE v [<!ENTITY e SYSTEM "{(tmp_path / "secret").as_uri()}">]>'
    with pytest.raises(BadRequest, match="DTD"):
        parse_label_config(entity + choices('<Choice value="A"/>&e;'))
    assert sealed == []


def test_the_deepest_config_allowed_is_read() -> None:
    config = "<View>" * 61 + choices(AB) + "</View>" * 61
    assert parse_label_config(config).controls[0].keys() == ("A", "B")


def test_nested_choices_are_bounded_as_well() -> None:
    deep = '<Choice value="A">' * 200 + "</Choice>" * 200
    with pytest.raises(BadRequest, match="nested deeper"):
        parse_label_config(choices(deep, control='allowNested="true"'))


@pytest.mark.parametrize("case", UNSUPPORTED)
def test_a_config_with_nothing_to_learn_is_refused_in_one_short_ascii_line(case: str) -> None:
    with pytest.raises(UnsupportedConfig) as caught:
        parse_label_config(UNSUPPORTED[case])
    message = str(caught.value)
    assert message.isascii() and message.isprintable() and 0 < len(message) <= 300
    assert caught.value.status == 422


def test_the_refusal_lists_why_each_control_is_left_out() -> None:
    with pytest.raises(UnsupportedConfig) as caught:
        parse_label_config(UNSUPPORTED["per region only"])
    assert caught.value.evidence["skipped"] == ["Choices 'c' is answered per region, not per task"]


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("no toName", "Choices 'c' has no toName: let it name the tag with the text"),
        (
            "labels by URL",
            "Taxonomy 'c' has no labels to choose from: its apiUrl is not fetched, write them into the label config",
        ),
    ],
)
def test_the_refusal_says_what_to_write_instead(case: str, said: str) -> None:
    with pytest.raises(UnsupportedConfig) as caught:
        parse_label_config(UNSUPPORTED[case])
    assert str(caught.value) == said


def test_one_unusable_control_does_not_cost_the_other() -> None:
    region = f'<Choices name="r" toName="text" perRegion="true">{AB}</Choices>'
    config = choices(AB).replace("</View>", region + "</View>")
    assert [control.name for control in parse_label_config(config).controls] == ["c"]
    assert skipped_controls(config) == ("Choices 'r' is answered per region, not per task",)


@settings(deadline=None, max_examples=150)
@given(
    st.text(max_size=60) | st.text(alphabet='<>/="& AVieCho\n', max_size=60).map(lambda text: f"<View>{text}</View>")
)
def test_any_text_is_refused_politely(text: str) -> None:
    with pytest.raises((BadRequest, UnsupportedConfig)) as caught:
        parse_label_config(text)
    assert str(caught.value).isascii() and str(caught.value).isprintable()
