"""Test-then-train: what the live version says to labels that it has not learned yet (decision 0001)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from backend.consensus import Consensus
from backend.jobs.context import Context
from model.errors import ModelError
from model.spec import Kind, Sample

if TYPE_CHECKING:
    from model.live import LiveModel
    from model.manifest import Manifest

AT_ONCE = 50
"""Most new labels tested in one refit: more come from an import or a resync, and would keep the annotator waiting."""


def test_then_train(
    work: Context, project: int, champion: LiveModel, consensus: Consensus, manifest: Manifest | None
) -> int:
    """Score the labels that came after the champion's snapshot, and keep the outcome; how many rows."""
    if manifest is None:
        return 0
    changed = work.stores.examples.changed_since(project, manifest.snapshot_seq)
    rows: list[dict[str, Any]] = []
    for name, samples in consensus.samples.items():
        known = {sample.text for sample in samples if not changed & set(sample.annotations)}
        fresh = [s for s in samples if changed & set(s.annotations) and s.text not in known]
        if name in champion.heads and 0 < len(fresh) <= AT_ONCE:
            rows += _rows(champion, name, fresh)
    work.stores.evidence.append(project, rows)
    return len(rows)


test_then_train.__test__ = False  # type: ignore[attr-defined]  # not for pytest


def _rows(champion: LiveModel, name: str, samples: list[Sample]) -> list[dict[str, Any]]:
    try:
        scores = champion.scores(name, [sample.text for sample in samples])
    except (ModelError, ValueError):
        return []
    labels = champion.labels(name)
    column = {label: index for index, label in enumerate(labels)}
    kind = champion.spec.control(name).kind
    threshold = float(str(champion.configs.get(name, {}).get("threshold", 0.5)))
    found = []
    for sample, row in zip(samples, scores, strict=True):
        if not all(key in column for key in sample.target):
            continue  # a label that is new to the champion tells nothing about it
        confidence, correct, loss = _judge(kind, labels, row, sample, threshold)
        found.append(
            {
                "version": champion.version,
                "control": name,
                "annotation": sample.annotations[-1] if sample.annotations else 0,
                "labels": champion.manifest.labels_seen.get(name, 0) if champion.manifest else 0,
                "confidence": round(confidence, 4),
                "correct": correct,
                "log_loss": round(loss, 4),
                "at": round(time.time(), 3),
            }
        )
    return found


def _judge(
    kind: Kind, labels: tuple[str, ...], row: Any, sample: Sample, threshold: float
) -> tuple[float, bool, float]:
    """(confidence, correct, log-loss) of one answer."""
    target = np.array([sample.target.get(label, 0.0) for label in labels])
    if kind is Kind.MULTIPLE:
        chosen, p = row >= threshold, np.clip(row, 1e-12, 1 - 1e-12)
        loss = -(target * np.log(p) + (1 - target) * np.log1p(-p)).mean()
        return float(np.where(chosen, row, 1 - row).prod()), bool((chosen == (target >= 0.5)).all()), float(loss)
    loss = -(target * np.log(np.clip(row, 1e-12, 1))).sum()
    return float(row.max()), labels[int(row.argmax())] == sample.top, float(loss)
