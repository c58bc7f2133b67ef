"""The sample data in `docs/examples/`: what its page promises."""

from __future__ import annotations

import csv
import re
from collections import Counter
from pathlib import Path

import pytest

SAMPLE = Path(__file__).parent.parent / "docs" / "examples" / "support_messages.csv"

CLASSES = {
    "refund",
    "delivery",
    "damaged item",
    "billing",
    "account access",
    "product question",
    "cancellation",
    "praise",
}
RUN = 6  # no two messages share this many words in a row


def words(text: str) -> list[str]:
    """Lower-case words; apostrophes and hyphens separate, so that spelling variants can't hide a shared run."""
    return re.findall(r"\w+", text.lower())


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    with SAMPLE.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        assert reader.fieldnames == ["text", "label", "split"]
        return list(reader)


def test_there_are_at_least_800_messages(rows: list[dict[str, str]]) -> None:
    assert len(rows) >= 800


def test_eight_classes_roughly_balanced(rows: list[dict[str, str]]) -> None:
    counts = Counter(row["label"] for row in rows)
    assert set(counts) == CLASSES
    assert min(counts.values()) >= 0.05 * len(rows)
    assert max(counts.values()) <= 0.20 * len(rows)


def test_messages_are_single_trimmed_lines_of_3_to_120_words(rows: list[dict[str, str]]) -> None:
    odd = [row["text"] for row in rows if row["text"] != " ".join(row["text"].split())]
    assert not odd
    odd = [row["text"] for row in rows if not 3 <= len(row["text"].split()) <= 120]
    assert not odd


def test_lengths_vary(rows: list[dict[str, str]]) -> None:
    lengths = [len(row["text"].split()) for row in rows]
    assert sum(length <= 5 for length in lengths) >= 40
    assert sum(8 <= length <= 30 for length in lengths) >= len(rows) // 2
    assert sum(length >= 60 for length in lengths) >= 40


def test_no_message_twice(rows: list[dict[str, str]]) -> None:
    counts = Counter(" ".join(words(row["text"])) for row in rows)
    assert [text for text, count in counts.items() if count > 1] == []


def test_no_two_messages_share_a_run_of_words(rows: list[dict[str, str]]) -> None:
    first_seen: dict[tuple[str, ...], int] = {}
    shared = set()
    for number, row in enumerate(rows):
        found = words(row["text"])
        for start in range(len(found) - RUN + 1):
            run = tuple(found[start : start + RUN])
            if first_seen.setdefault(run, number) != number:
                shared.add(" ".join(run))
    assert not shared


def test_every_class_is_split_75_to_25(rows: list[dict[str, str]]) -> None:
    assert {row["split"] for row in rows} == {"train", "test"}
    for label in CLASSES:
        splits = Counter(row["split"] for row in rows if row["label"] == label)
        assert splits["test"] / splits.total() == pytest.approx(0.25, abs=0.02), label
