"""Project ids and other ids: what Label Studio writes is read, everything else is refused by name."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.errors import BadRequest
from backend.labelstudio.ids import LARGEST_ID, read_id, read_project_id

BAD: list[Any] = [
    *("../../etc", "7;x", "1e9", "", " 7", "7 ", "7\n", "+7", "-1", "0", "0.5", "7.", ".7", "7.1.2", "7.x", "0x7"),
    *(None, -1, 0, True, False, 7.0, float("nan"), 10**30, str(10**30), LARGEST_ID + 1, [7], {"id": 7}, b"7"),
    *("٣", "７", "²", "7\0", "7.٣", "\ud800", "7/../8", "7.1795455205.json"),
]


@pytest.mark.parametrize("value", [7, "7", "7.1795455205", "007", "7.0"])
def test_a_project_id_is_read_in_every_form_of_label_studio(value: Any) -> None:
    assert read_project_id(value) == 7


@pytest.mark.parametrize("value", BAD, ids=ascii)
def test_anything_else_is_no_project_id(value: Any) -> None:
    with pytest.raises(BadRequest) as caught:
        read_project_id(value)
    assert caught.value.evidence == {"field": "project"}


@pytest.mark.parametrize("value", [*BAD, "7.1795455205"], ids=ascii)
def test_anything_else_is_no_id(value: Any) -> None:
    with pytest.raises(BadRequest, match=r"task\.id") as caught:
        read_id(value, "task.id")
    assert caught.value.evidence == {"field": "task.id"}


def test_a_missing_id_is_called_missing() -> None:
    with pytest.raises(BadRequest, match="is missing"):
        read_id(None, "task.id")


@given(st.integers(1, LARGEST_ID))
def test_every_64_bit_id_is_read(number: int) -> None:
    assert read_id(number, "x") == read_project_id(number) == number


@settings(deadline=None, max_examples=200)
@given(st.text(max_size=12) | st.from_regex(r"[0-9]{1,3}[.;/ ][0-9]{0,3}"))
def test_a_string_that_is_read_starts_with_the_id_in_plain_digits(text: str) -> None:
    try:
        number = read_project_id(text)
    except BadRequest:
        return
    assert text.isascii() and number == int(text.partition(".")[0]) > 0
