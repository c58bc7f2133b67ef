"""A row of evidence as it is stored: by this release, and by earlier ones."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.evidence.row import EvidenceRow, HeadAnswer, Judgement, KeptAnswer, Marked

STORED = (
    '{"version":"v2.1","tuned":"v2","control":"label","annotation":7,"labels":40,"confidence":0.9,"correct":true,'
    '"log_loss":0.1,"served":{"logs":[-0.1,-2.3],"targets":[1.0,0.0],"rest":3},"at":12.5,"blind":true,'
    '"alone":{"confidence":0.8,"correct":false,"log_loss":0.2,"logs":[-0.2],"targets":[1.0],"rest":4}}'
)
"""As releases before there was a type for it wrote it, key by key."""

numbers = st.floats(-1e6, 1e6)
answers = st.lists(st.tuples(numbers, st.floats(0, 1)))
"""A log-probability and how right it was, of each label that is kept."""

kept = st.builds(
    lambda rows, rest: KeptAnswer(tuple(log for log, _ in rows), tuple(share for _, share in rows), rest),
    answers,
    st.integers(0, 1000),
)
counts = st.integers(0, 2**63 - 1)
judged = st.builds(Judgement, st.floats(0, 1), st.booleans(), numbers)
labels = st.lists(st.text(), max_size=3).map(tuple)
slips = st.none() | st.lists(st.tuples(st.text(), st.text(), st.booleans()), max_size=3).map(tuple)
rows = st.builds(
    EvidenceRow,
    control=st.text(),
    judged=judged,
    version=st.text(),
    tuned=st.none() | st.text(),
    annotation=counts,
    labels=counts,
    served=st.none() | kept,
    alone=st.none() | st.builds(HeadAnswer, judged, kept),
    at=st.none() | numbers,
    blind=st.booleans(),
    explore=st.booleans(),
    marked=st.none() | st.builds(Marked, st.just((("PER", 0.5, True),)), st.just(("PER",)), st.just(1), slips=slips),
    task=st.integers(1, 2**63 - 1),
    given=labels,
    said=labels,
)


def test_a_stored_row_is_read_and_written_byte_for_byte() -> None:
    row = EvidenceRow.from_json(json.loads(STORED))
    assert json.dumps(row.to_json(), separators=(",", ":")) == STORED
    assert row.alone is not None and row.alone.judged.log_loss == 0.2 and row.alone.kept.rest == 4


@given(rows)
def test_every_row_survives_being_stored(row: EvidenceRow) -> None:
    assert EvidenceRow.from_json(json.loads(json.dumps(row.to_json()))) == row


def test_a_row_of_an_earlier_release_lacks_what_came_later() -> None:
    old = {"version": "v0.1", "control": "label", "labels": 8, "confidence": 1, "correct": False, "log_loss": 2}
    row = EvidenceRow.from_json(old)
    assert (row.tuned, row.served, row.alone, row.at, row.blind, row.explore) == (None, None, None, None, False, False)
    assert (row.task, row.given, row.said) == (0, (), ())
    assert not {"served", "alone", "at", "blind", "explore", "task", "given", "said"} & set(row.to_json())


def test_what_is_no_row_is_refused() -> None:
    with pytest.raises(KeyError):
        EvidenceRow.from_json({"control": "label"})
