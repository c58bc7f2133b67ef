"""What a version learned from: labels by class, how many people gave them, how far they agree, how much they took over
from pre-labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from backend.export.facts.markdown import cell, table
from backend.labelstudio.label_display import texts_of
from backend.record_json import Summary
from model.evidence.anchoring_bias import estimate_anchoring, is_tellable
from model.evidence.row import EvidenceRow
from model.spec import NONE, Control, TaskSpec

SCARCE = 10
"""Labels of a class below which the card warns of it."""


def say_labels(spec: TaskSpec, control: Control, counts: Mapping[str, int]) -> list[str]:
    """A table. `counts`: by the text of the label."""
    keys = control.keys()
    names = texts_of(spec, control.name, keys)
    rows = [(names[key], counts.get(names[key], 0)) for key in keys]
    if counts.get(NONE):
        rows.append(("none of these", counts[NONE]))
    return table(("label", "labels"), rows)


def scarce_labels(spec: TaskSpec, control: Control, counts: Mapping[str, int]) -> list[str]:
    """Classes with fewer than SCARCE labels, by their texts."""
    keys = control.keys()
    names = texts_of(spec, control.name, keys)
    return [names[key] for key in keys if counts.get(names[key], 0) < SCARCE]


def say_people(control: str, summary: Summary, rows: Sequence[EvidenceRow]) -> Iterator[str]:
    """Sentences. `rows`: the newest evidence of the control."""
    activity = summary.get("activity")
    if activity and activity["people"]:
        days = sorted(activity["days"])
        number = len(activity["people"])
        who = "1 annotator" if number == 1 else f"{number} annotators"
        when = f", the last days with answers from {days[0]} to {days[-1]}" if days else ""
        yield f"Labelled by {who}{when} (UTC)."
    else:
        yield "Who labelled is not recorded."
    overlap = summary.get("overlap", {}).get(control)
    if overlap:
        kappa = "" if overlap["kappa"] is None else f", kappa {overlap['kappa']:.2f}"
        yield f"On {overlap['tasks']} tasks with several answers people agree to {overlap['agreement']:.0%}{kappa}."
    else:
        yield "No task has answers of several people: how far people agree is not known."
    shown = [row for row in rows if not row.blind]
    if shown:
        kept = sum(row.correct for row in shown)
        yield (
            f"Of the last {len(shown)} labels that could be given with a pre-label in sight {kept / len(shown):.0%} "
            "are what the pre-label said."
        )
    copying = estimate_anchoring(rows)
    if copying is not None and is_tellable(copying):
        low, high = copying["interval"]
        yield f"Wrong pre-labels were accepted in {copying['rate']:.0%} of cases ({low:.0%} to {high:.0%})."
    else:
        yield "How often wrong pre-labels were accepted cannot be told yet."


def say_limits(scarce: Sequence[str], tested: int, wanted: int) -> list[str]:
    """What it must not be used for, as far as the evidence is thin."""
    lines = []
    if scarce:
        lines.append(f"**Not to be relied on for**: {', '.join(map(cell, scarce))} (fewer than {SCARCE} labels each).")
    if tested < wanted:
        lines.append(
            f"**Not for decisions that nobody looks at**: only {tested} answers of versions that knew half of these "
            f"labels were compared with a label that came later ({wanted} are wanted), so that neither accuracy nor "
            "scores are proven."
        )
    lines.append("Texts of another kind, another language or another time than those it was labelled on are untested.")
    return lines
