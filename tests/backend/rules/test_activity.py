"""Labels a day, and an hour of work."""

from __future__ import annotations

from backend.labelstudio.records import ExampleRecord
from backend.rules.annotator_agreement import DAYS_KEPT, count_activity


def record(number: int, at: str, annotator: int | None = 3, teaches: bool = True) -> ExampleRecord:
    targets = {"label": [["A"]]} if teaches else {}
    return ExampleRecord(number, number, {"text": "x"}, targets, at, annotator)  # type: ignore[arg-type]


def test_days_are_utc_and_what_teaches_nothing_does_not_count() -> None:
    found = count_activity(
        [
            record(1, "2026-11-28T23:59:00Z"),
            record(2, "2026-11-29T01:30:00+02:00"),
            record(3, "2026-11-29T00:00:01.123456Z", None),
            record(4, "2026-11-29T08:00:00"),
            record(5, "2026-11-29T09:00:00Z", teaches=False),
            record(6, "", 4),
            record(7, "yesterday", 4),
        ]
    )
    assert found["days"] == {"2026-11-28": 2, "2026-11-29": 2}
    assert {name: pace["labels"] for name, pace in found["people"].items()} == {"3": 3}


def test_a_pause_is_no_work() -> None:
    minutes = [0, 1, 2, 3, 4, 184, 185, 186]
    found = count_activity(record(n, f"2026-11-29T{8 + m // 60:02d}:{m % 60:02d}:00Z") for n, m in enumerate(minutes))
    assert found["people"]["3"]["an_hour"] == 60.0


def test_a_pace_needs_some_answers_and_time_between_them() -> None:
    few = count_activity(record(n, f"2026-11-29T08:0{n}:00Z") for n in range(3))
    assert "an_hour" not in few["people"]["3"]
    imported = count_activity(record(n, "2026-11-29T08:00:00Z") for n in range(50))
    assert imported["people"]["3"]["labels"] == 50 and "an_hour" not in imported["people"]["3"]


def test_only_the_last_days_are_kept() -> None:
    days = [record(n, f"20{10 + n // 12:02d}-{1 + n % 12:02d}-05T08:00:00Z") for n in range(100)]
    found = count_activity(days)["days"]
    assert len(found) == DAYS_KEPT and list(found) == sorted(found) and "2018-04-05" in found
