"""Tasks whose annotators disagree, as `suspects` tells them: which spans, answers and choices, and how many say so."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from backend.application.label_errors import describe_suspects
from backend.labelstudio.records import ExampleRecord
from backend.labelstudio.task_spec import parse_label_config
from backend.rules.consensus import reach_consensus
from backend.rules.span_consensus import majority
from model.span import Span
from model.spans.chain.tags import TagSet
from model.spans.words import find_words, to_characters, word_spans
from tests.backend.cli.test_admin import Admin, admin, understudy  # noqa: F401
from tests.support.marking import MARKS, MIXED, PROJECT

TEXT = "Ann Miller moved to New York last year."
ANN, YORK, NEW_YORK = (0, 10, "PER"), (24, 28, "LOC"), (20, 28, "LOC")


def record(number: int, rows: list[Any], annotator: int | None, task: int = 1, text: str = TEXT) -> ExampleRecord:
    stamp = f"2026-01-01T00:00:{number:02d}Z"
    return ExampleRecord(number, task, {"text.page": text}, {}, stamp, annotator, spans={"label": rows})


def disputed(stores: Any, records: list[ExampleRecord], config: str = MARKS) -> list[Any]:
    stores.projects.save_config(PROJECT, config)
    stores.examples.upsert_many(PROJECT, records)
    consensus = reach_consensus(parse_label_config(config), records)
    stores.projects.save_summary(PROJECT, consensus.describe_annotators())
    return list(describe_suspects(stores, PROJECT).get("disputed", []))


def votes(row: Any) -> list[tuple[str, str, int]]:
    return [(one["label"], one.get("place", {}).get("text", ""), one["votes"]) for one in row["answers"]]


def test_spans_that_not_all_drew_are_told_with_their_votes(stores: Any) -> None:
    records = [record(1, [ANN, NEW_YORK], 1), record(2, [ANN, YORK], 2), record(3, [ANN, NEW_YORK], 3)]
    agreed = [record(10 + n, [ANN], n, task=2) for n in (1, 2)]
    (row,) = disputed(stores, [*records, *agreed])
    assert (row["task"], row["control"], row["text"]) == (1, "label", TEXT) and 0 < row["score"] < 1
    assert votes(row) == [("LOC", "New York", 2), ("LOC", "York", 1)], "what all drew is not disputed"
    assert all(one["of"] == 3 for one in row["answers"])


def test_nothing_is_an_answer_and_the_newest_of_a_person_counts(stores: Any) -> None:
    records = [record(1, [NEW_YORK], 1), record(2, [], 2), record(3, [ANN], 1), record(4, [], None)]
    (row,) = disputed(stores, records)
    assert votes(row) == [("", "", 2), ("PER", "Ann Miller", 1)]


def test_what_was_settled_since_the_refit_is_gone(stores: Any) -> None:
    assert disputed(stores, [record(1, [ANN], 1), record(2, [], 2)])
    stores.examples.upsert_many(PROJECT, [record(5, [ANN], 2)])
    assert "disputed" not in describe_suspects(stores, PROJECT)
    stores.examples.remove(PROJECT, [1, 2, 5])
    assert "disputed" not in describe_suspects(stores, PROJECT)


def test_choices_are_told_likewise_and_each_control_by_itself(stores: Any) -> None:
    both = {"text.page": TEXT, "text": TEXT}
    one = replace(record(1, [ANN], 1), texts=both, targets={"topic": [["move"]]})
    other = replace(record(2, [ANN], 2), texts=both, targets={"topic": [["rain"]]})
    (row,) = disputed(stores, [one, other], MIXED)
    assert row["control"] == "topic" and votes(row) == [("move", "", 1), ("rain", "", 1)]
    assert "disputed" not in describe_suspects(stores, PROJECT, "label")


@pytest.mark.parametrize("seed", range(5))
def test_the_majority_is_that_of_cleanlab_word_by_word(seed: int) -> None:
    """Five people who now and then leave a span out, or give it another label."""
    from cleanlab.multiannotator import get_majority_vote_label

    random, bounds, tags = np.random.default_rng(seed), find_words(TEXT), TagSet(("LOC", "PER"))
    people = []
    for number in range(5):
        rows = [
            (start, end, label if random.random() < 0.7 else "PER")
            for start, end, label in (ANN, NEW_YORK)
            if random.random() < 0.8
        ]
        people.append(record(number + 1, rows, None))
    consensus = reach_consensus(parse_label_config(MARKS), people)
    ours = majority(consensus.spans["label"])
    drawn = [word_spans(bounds, [Span(*row) for row in one.spans["label"]]) for one in people]
    given = np.array([tags.encode(len(bounds), marks) for marks in drawn])
    counts = np.array([[(given[:, word] == tag).sum() for tag in range(tags.size)] for word in range(len(bounds))])
    if (np.sort(counts, axis=1)[:, -1] <= 2).any():
        pytest.skip("no tag of a word has a majority")
    theirs = get_majority_vote_label(given.T.astype(float))
    assert sorted(ours) == sorted(to_characters(bounds, own) for own in tags.decode(theirs.astype(int).tolist()))


def test_the_command_lists_them_below_the_suspects(admin: Admin, understudy: Any) -> None:  # noqa: F811
    place = {"start": 20, "end": 28, "text": "New York"}
    row = {"control": "label", "task": 1, "score": 0.4, "text": "Ann moved"}
    row["answers"] = [{"label": "LOC", "votes": 2, "of": 3, "place": place}, {"label": "", "votes": 1, "of": 3}]
    found = {"suspects": [], "found": 0, "searched": {"label": {"labels": 20, "at": 1.0}}, "disputed": [row]}
    admin.replies["GET", "/admin/projects/7/suspects?limit=20"] = 200, found
    told = " ".join(understudy("suspects", "7").output.split())
    assert "None: the model agrees" in told and "Annotators disagree:" in told
    assert '"New York" LOC 2 of 3; (nothing) 1 of 3' in told
    assert json.loads(understudy("suspects", "7", "--json").output) == found
