"""The model card of an export: what it answers, what is known of it, and what it must not be used for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from backend.application.learning_curve import describe_curve
from backend.export.usage import describe_library, describe_usage
from backend.store.stores import Stores
from model.labels import plain_text
from model.spec import NONE, Control, Kind

if TYPE_CHECKING:
    from backend.export.exported import Exported
    from model.export.bundle import Source

KINDS = {Kind.RATING: "a number of stars", Kind.SPANS: "what is marked in the text, and as what"}

SCARCE = 10
"""Labels of a class below which the card warns of it."""


def write_card(stores: Stores, project: int, source: Source, found: Exported, directory: Path) -> None:
    """README.md, as model hubs read it. Holds no text of a task and no annotator."""
    control = source.model.spec.control(source.control)
    counts = stores.projects.summary(project).get("labels", {}).get(control.name, {})
    lines = [
        "---",
        f"library_name: {describe_library(found)}",
        f"pipeline_tag: {'token' if control.kind is Kind.SPANS else 'text'}-classification",
        "---",
        f"# {control.name}",
        "",
        *_what(control, source, found),
        "",
        "## How to run it",
        *describe_usage(found, len(control.inputs)),
        "",
        "## What it learned from",
        *_labels(control, counts),
        "",
        "## How good it is",
        *_accuracy(stores, project, control.name),
        "",
        "## Whether it answers as it did where it was made",
        "| graph | texts | same answers | mean difference | largest | ms a text | there | MB |",
        "|---|---|---|---|---|---|---|---|",
        *(
            f"| {one.graph} | {one.texts} | {one.agreement:.1%} | {one.mean_difference:.5f} | "
            f"{one.largest_difference:.4f} | {one.milliseconds:.1f} | {one.milliseconds_here:.1f} | {one.megabytes} |"
            for one in found.parities
        ),
        *(f"{graph} answers otherwise and was left out." for graph in found.refused),
        *_against_labels(found),
        "",
    ]
    (directory / "README.md").write_text("\n".join(lines), encoding="utf-8")


def _what(control: Control, source: Source, found: Exported) -> list[str]:
    kind = "a set of labels" if control.multilabel else KINDS.get(control.kind, "a label")
    inputs = ", ".join(name.removesuffix(".page") for name in control.inputs)
    lines = [
        f"Version {found.version}; answers with {kind}. Inputs: {inputs}.",
    ]
    if control.kind is Kind.SPANS:
        lines += [
            "Of each span start and end (in code points), label, text, and the probability that just it is right.",
            "Strings that were marked before are known by their digests alone.",
        ]
    if source.tuned is not None:
        lines.append("A refitted head on the base encoder, blended with a fine-tuned one.")
    if control.conditions:
        lines.append(
            "Where it was labelled the question is asked only beside certain answers; the graph always answers."
        )
    return lines


def _against_labels(found: Exported) -> list[str]:
    if found.accuracy is None:
        return []
    own = found.accuracy
    return [
        "",
        f"Of {own.n} labelled texts that it was not taught {own.accuracy:.1%} are answered right ({own.low:.1%} to "
        f"{own.high:.1%}); by the version, which knows their labels, {own.version:.1%}.",
    ]


def _labels(control: Control, counts: dict[str, int]) -> list[str]:
    keys = control.keys()
    rows = [f"| {_cell(control.show(key))} | {counts.get(key, 0)} |" for key in keys]
    blank = [f"| none of these | {counts[NONE]} |"] if NONE in counts else []
    scarce = [plain_text(key) for key in keys if counts.get(key, 0) < SCARCE]
    warning = f"**Not to be relied on for**: {_cell(', '.join(scarce))} (fewer than {SCARCE} labels each)."
    return ["| label | labels |", "|---|---|", *rows, *blank, *(["", warning] if scarce else [])]


def _accuracy(stores: Stores, project: int, control: str) -> list[str]:
    recent = describe_curve(stores.evidence, project)["recent"].get(control)
    if recent is None:
        return ["Not known: nobody has labelled a text that it had answered before."]
    lines = [f"{recent['accuracy']:.1%} of its last {recent['n']} labels were answered right before they were learned."]
    if pool := recent.get("pool"):
        low, high = pool["interval"]
        lines.append(f"On texts without a label {pool['accuracy']:.1%} are expected ({low:.1%} to {high:.1%}).")
    return lines


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")
