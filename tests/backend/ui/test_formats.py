"""Numbers as the page tells them."""

from __future__ import annotations

import pytest

from backend.ui import formats


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0, "0"), (0.005, "0"), (0.5, "50"), (0.845, "84"), (0.9949, "99"), (0.9999, "99"), (1.0, "100")],
)
def test_what_is_not_all_is_not_told_as_all(share: float, text: str) -> None:
    assert formats.format_percent(share) == f"{text}{formats.NARROW}%"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "0 s"),
        (0.4, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (3500, "58 min"),
        (7200, "2 h"),
        (86_400, "1 day"),
        (2e5, "2 days"),
    ],
)
def test_times_are_told_in_the_largest_unit(seconds: float, text: str) -> None:
    assert formats.format_seconds(seconds).replace(formats.NARROW, " ") == text


def test_sizes_counts_and_intervals() -> None:
    told = [formats.format_bytes(count).replace(formats.NARROW, " ") for count in (0, 999, 1500, 2_500_000, 3e11)]
    assert told == ["0 B", "999 B", "1.5 kB", "2.5 MB", "300 GB"]
    assert [formats.pluralise(count, "label") for count in (0, 1, 12_345)] == ["0 labels", "1 label", "12,345 labels"]
    assert formats.format_interval([0.81, 0.88]) == f"81 to 88{formats.NARROW}%"
    assert formats.format_time(0) == "1970-01-01 00:00 UTC" and formats.format_iso(0) == "1970-01-01T00:00:00+00:00"


def test_a_change_has_its_sign_and_a_sentence_its_stop() -> None:
    assert formats.format_change(-0.12134) == "\u22120.121" and formats.format_change(0.5) == "+0.500"
    assert (
        formats.format_sentence("worse than F1 of v1") == "Worse than F1 of v1."
        and formats.format_sentence("Is it?") == "Is it?"
    )
    assert formats.format_sentence("") == ""
