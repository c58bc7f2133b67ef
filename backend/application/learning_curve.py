"""What new labels have said about the versions that served: the learning curve, and how the pool would fare.

Only numpy is needed, so that the web process can say it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from backend.store.evidence import EvidenceStore

RECENT = 200
"""Latest test-then-train rows of a control that the metrics are taken over."""


def summarise_evidence(
    rows: Sequence[Mapping[str, Any]], survey: Mapping[str, Any] | None = None
) -> dict[str, dict[str, Any]]:
    """Control -> how the versions that served answered its RECENT last new labels before they learned them.

    `pool`, once there are rows and a survey: the accuracy to be expected on the tasks that nobody has labelled, by the
    rows of versions that knew half the labels or more: what the first ones were sure of says nothing about today's."""
    from model.evidence.pool_accuracy import estimate_accuracy

    pools, labels = (survey or {}).get("controls", {}), int((survey or {}).get("labels", 0))
    found: dict[str, dict[str, Any]] = {}
    for control in sorted({str(row["control"]) for row in rows}):
        mine = [row for row in rows if row["control"] == control][-RECENT:]
        count = len(mine)
        confidences, hits = [float(row["confidence"]) for row in mine], [bool(row["correct"]) for row in mine]
        found[control] = {
            "n": count,
            "accuracy": round(sum(hits) / count, 4),
            "confidence": round(sum(confidences) / count, 4),
            "log_loss": round(sum(float(row["log_loss"]) for row in mine) / count, 4),
        }
        alike = [index for index, row in enumerate(mine) if 2 * int(row.get("labels", 0)) >= labels]
        estimate = estimate_accuracy(
            [confidences[index] for index in alike], [hits[index] for index in alike], dict(pools.get(control) or {})
        )
        if estimate is not None:
            found[control]["pool"] = estimate
    return found


def describe_curve(store: EvidenceStore, project: int) -> dict[str, Any]:
    """The learning curve of each control, and its latest metrics with the estimate for the pool."""
    from model.evidence.learning_curve import learning_curve, tally

    rows = store.rows(project, 3 * RECENT)
    return {
        "curve": learning_curve(store.tallies(project) or tally(rows)),  # rows of an earlier release were not added up
        "recent": summarise_evidence(rows, store.survey(project)),
    }


def tell_record(
    metrics: Mapping[str, Mapping[str, Any]], curve: Mapping[str, Sequence[Mapping[str, Any]]]
) -> list[str]:
    """For a terminal: each control's learning curve, its latest answers, and what to expect of the unlabelled tasks."""
    lines = []
    for control, points in curve.items():
        lines.append(f"{control}: {_tell_points(points)} (each before it was learned)")
    for control, found in metrics.items():
        lines.append(
            f"{control}: {found['accuracy']:.2f} of the last {found['n']} new labels, with confidence "
            f"{found['confidence']:.2f} and log-loss {found['log_loss']:.2f}"
        )
        if pool := found.get("pool"):
            low, high = pool["interval"]
            seem = "better" if pool["bias"] > 0 else "worse"
            lines.append(
                f"{control}: {pool['accuracy']:.2f} ({low:.2f} to {high:.2f}) to be expected on {pool['unlabelled']} "
                f"unlabelled tasks; the labelled ones look {abs(pool['bias']):.2f} {seem}"
            )
    return lines


def _tell_points(points: Sequence[Mapping[str, Any]]) -> str:
    """The first point, then about one a fourfold, and the last: "0.71 at 16, 0.79 at 64, 0.84 at 200 labels"."""
    shown, least = [], -1
    for point in points:
        if point is points[-1] or point["labels"] >= least:
            shown.append(f"{point['accuracy']:.2f} at {point['labels']}")
            least = max(8, 3 * point["labels"])
    return ", ".join(shown) + " labels"
