"""Stored records: the order of versions is the order of times, in whatever zone they are written."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.labelstudio.records import ExampleRecord, microseconds, read_time

UTC = timezone.utc


def version(stamp: str) -> str:
    return ExampleRecord(annotation=1, task=1, updated_at=stamp).version


def test_all_ways_to_write_a_moment_are_one_number() -> None:
    stamps = [
        *("2026-11-23T17:36:33.598884Z", "2026-11-23T17:36:33.598884+00:00", "2026-11-23T17:36:33.598884"),
        *("2026-11-23T19:36:33.598884+02:00", "2026-11-23T12:06:33.598884-05:30", "2026-11-23T17:36:33.598884z"),
    ]
    assert {microseconds(stamp) for stamp in stamps} == {1_795_455_393_598_884}


@pytest.mark.parametrize("stamp", ["", "Z", "yesterday", "2026-13-01T00:00:00Z", "2026-11-23T25:00:00Z", "1795455393"])
def test_an_unreadable_stamp_is_older_than_any_other(stamp: str) -> None:
    assert microseconds(stamp) == 0 and version(stamp) < version("1970-01-01T00:00:00.000001Z")


@pytest.mark.parametrize("stamp", [None, 7, 1.5, True, [], {}, b"2026-11-23T17:36:33Z"])
def test_what_is_no_string_is_no_time(stamp: Any) -> None:
    assert read_time(stamp) is None


@pytest.mark.parametrize("stamp", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "\ud800", "\0"])
def test_times_at_the_ends_of_the_calendar_do_not_fail(stamp: str) -> None:
    assert microseconds(stamp) == 0


def test_a_time_before_1970_is_no_negative_version() -> None:
    assert version("1969-12-31T23:59:59Z") == "0" * 20


def test_a_time_without_zone_is_in_utc() -> None:
    assert read_time("2026-11-23T17:36:33") == datetime(2026, 11, 23, 17, 36, 33, tzinfo=UTC)


MOMENTS = st.datetimes(datetime(1970, 1, 2), datetime(9998, 12, 30), timezones=st.just(UTC))
ZONES = st.integers(-14 * 60, 14 * 60) | st.sampled_from(["Z", ""])


def written(moment: datetime, zone: int | str) -> str:
    if isinstance(zone, str):
        return moment.replace(tzinfo=None).isoformat() + zone
    return moment.astimezone(timezone(timedelta(minutes=zone))).isoformat()


@settings(deadline=None, max_examples=300)
@given(MOMENTS, MOMENTS | st.timedeltas(timedelta(0), timedelta(milliseconds=1)), ZONES, ZONES)
def test_versions_sort_like_times_across_zones(
    first: datetime, second: datetime | timedelta, zone: int | str, other: int | str
) -> None:
    later = first + second if isinstance(second, timedelta) else second
    one, two = version(written(first, zone)), version(written(later, other))
    assert len(one) == len(two) == 20
    assert ((one > two) - (one < two)) == ((first > later) - (first < later))


@settings(deadline=None, max_examples=200)
@given(st.text(max_size=30) | st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.+Z-]{0,20}", fullmatch=True))
def test_any_string_has_a_version(stamp: str) -> None:
    assert len(version(stamp)) == 20 and version(stamp).isdigit()


def test_a_record_survives_json() -> None:
    record = ExampleRecord(7, 3, {"text": "é😀"}, {"c": [["A", "A1"]], "r": 4}, "2026-11-23T17:36:33Z", 2, True)
    assert ExampleRecord.from_json(json.loads(json.dumps(record.to_json()))) == record


def test_foreign_data_is_no_record() -> None:
    with pytest.raises(TypeError):
        ExampleRecord.from_json({"annotation": 1, "task": 1, "unknown": 0})
