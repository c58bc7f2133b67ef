"""Rows of evidence that a process keeps are those that Redis has, whatever came meanwhile."""

from __future__ import annotations

import random
from typing import Any

from backend.store import evidence
from backend.store.evidence import EvidenceStore
from model.evidence.row import EvidenceRow, Judgement


def row(number: int) -> EvidenceRow:
    return EvidenceRow("label", Judgement(0.5, number % 2 == 0, 0.7), "v1", annotation=number, at=float(number))


def test_kept_rows_are_those_of_the_store(context: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(evidence, "EVIDENCE_ROWS_KEPT", 40)
    monkeypatch.setattr(evidence, "REDIS_BATCH_ROWS", 8)
    plain, keeping = EvidenceStore(context.stores.client), EvidenceStore(context.stores.client)
    keeping.keeps, chance, count = 2, random.Random(0), 0
    for _ in range(60):
        project, more = chance.randrange(1, 4), chance.choice((0, 1, 3, 8, 9, 50))
        plain.append(project, [row(count + index) for index in range(more)])
        count += more
        for last in (0, 1, 5, 40):
            known = keeping.rows(project, last)
            assert known == (plain.rows(project, last) if last else [])
    assert len(keeping._kept) == 2


def test_rows_that_were_replaced_are_read_anew(context: Any) -> None:
    store = EvidenceStore(context.stores.client)
    store.keeps = 1
    store.append(1, [row(1), row(2)])
    assert [one.annotation for one in store.rows(1)] == [1, 2]
    context.stores.client.delete("understudy:{p1}:evidence")
    assert store.rows(1) == []
    store.append(1, [row(3)])
    assert [one.annotation for one in store.rows(1)] == [3]
    store.rows(1).clear()
    assert [one.annotation for one in store.rows(1)] == [3], "who has them may change his list"
