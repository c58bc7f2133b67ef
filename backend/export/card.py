"""The model card of an export: what it answers, what is known of it, and what it must not be used for."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

from backend.admin_json import ControlMetrics
from backend.application.learning_curve import describe_curve
from backend.artifacts.artifacts import open_artifacts
from backend.artifacts.catalog import Catalog, kept_manifests
from backend.export.facts.base_model import UNKNOWN, BaseModel, describe_base_model
from backend.export.facts.labelling import say_labels, say_limits, say_people, scarce_labels
from backend.export.facts.markdown import cell, table
from backend.export.facts.measures import (
    LEAST_ROWS,
    say_accuracy,
    say_calibration,
    say_confusion,
    say_curve,
    say_gate,
)
from backend.export.usage import describe_library, describe_usage
from backend.store.stores import Stores
from model.evidence.gate import VerdictJson
from model.evidence.report.classes import present_rows
from model.spec import Control, Kind

if TYPE_CHECKING:
    from backend.export.exported import Exported
    from model.export.bundle import Source

KINDS = {Kind.RATING: "a number of stars", Kind.SPANS: "what is marked in the text, and as what"}


def write_card(stores: Stores, project: int, source: Source, found: Exported, directory: Path) -> None:
    """README.md, as model hubs read it. Holds no text of a task and no annotator."""
    spec, control = source.model.spec, source.model.spec.control(source.control)
    summary, curve = stores.projects.summary(project), describe_curve(stores.evidence, project)
    counts = summary.get("labels", {}).get(control.name, {})
    rows = present_rows(stores.evidence.rows(project), control.name, summary.get("samples", {}).get(control.name, 0))
    recent = curve["recent"].get(control.name)
    base = describe_base_model(stores.settings.base_model, source.base.directory)
    created, compared, verdict = _versions(stores, project, found.version, control.name)
    lines = [
        *_front_matter(control, found, base, recent),
        f"# {cell(control.name)}",
        "",
        *_what(control, source, found, created),
        *say_base(base),
        "",
        "## How to run it",
        *describe_usage(found, control, directory),
        "",
        "## What it must not be used for",
        *say_limits(scarce_labels(spec, control, counts), len(rows), LEAST_ROWS),
        "",
        "## What it learned from",
        *say_labels(spec, control, counts),
        "",
        *say_people(control.name, summary, rows),
        "",
        "## How good it is",
        *say_accuracy(recent),
        "",
        *say_curve(curve["curve"].get(control.name, [])),
        "",
        "### Whether its scores mean what they say",
        *say_calibration(rows),
        "",
        "### What it takes for what",
        *say_confusion(spec, control, rows),
        "",
        "### The last fine-tune",
        *say_gate(compared, verdict),
        "",
        "## Whether it answers as it did where it was made",
        *_parity(found),
        *_against_labels(found),
        "",
    ]
    (directory / "README.md").write_text("\n".join(lines), encoding="utf-8", errors="replace")


def _front_matter(control: Control, found: Exported, base: BaseModel, recent: ControlMetrics | None) -> list[str]:
    """YAML, whose texts are written as JSON writes them: that is YAML, too."""
    task = "token-classification" if control.kind is Kind.SPANS else "text-classification"
    lines = ["---", f"library_name: {describe_library(found)}", f"pipeline_tag: {task}"]
    lines += ["tags:", f"- {task}", "- active-learning", "- label-studio"]
    if base.name:
        lines.append(f"base_model: {json.dumps(base.name)}")
    lines.append(f"license: {json.dumps(base.licence)}")
    if recent is not None:
        lines += [
            "model-index:",
            f"- name: {json.dumps(f'{found.control} {found.version}')}",
            "  results:",
            "  - task:",
            f"      type: {task}",
            "    dataset:",
            "      type: private",
            f'      name: "the last {recent["n"]} labels, answered before they were learned"',
            "    metrics:",
            "    - type: accuracy",
            f"      value: {recent['accuracy']:.4f}",
        ]
    return [*lines, "---"]


def say_base(base: BaseModel) -> list[str]:
    """Whose weights are in it, and under which licence."""
    name = base.name or f"a {base.kind} encoder from a directory of the machine that made this"
    if base.licence == UNKNOWN:
        return [f"Base model: {name}. Its licence is unknown: its files do not say. Ask before you pass this on."]
    return [
        f"Base model: {name}, under {base.licence} as its own card says. Labels and texts may have terms of their own."
    ]


def _what(control: Control, source: Source, found: Exported, created: str) -> list[str]:
    kind = "a set of labels" if control.multilabel else KINDS.get(control.kind, "a label")
    inputs = ", ".join(name.removesuffix(".page") for name in control.inputs)
    made = f", made {created[:10]}" if created else ""
    lines = [
        f"Version {found.version}{made}, exported {time.strftime('%Y-%m-%d', time.gmtime())}; answers with {kind}. "
        f"Inputs: {cell(inputs)}.",
    ]
    if control.kind is Kind.SPANS and not found.how:
        lines += [
            "Of each span start and end (in code points), label, text, and the probability that just it is right.",
            "Strings that were marked before are known by their digests alone.",
        ]
    if source.tuned is not None and not found.how:
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
    if own.measure == "f1":
        return [
            "",
            f"On {own.n} labelled texts that it was not taught the F1 of its spans is {own.accuracy:.3f} "
            f"({own.low:.3f} to {own.high:.3f}); of the version, which knows their labels, {own.version:.3f}.",
        ]
    return [
        "",
        f"Of {own.n} labelled texts that it was not taught {own.accuracy:.1%} are answered right ({own.low:.1%} to "
        f"{own.high:.1%}); by the version, which knows their labels, {own.version:.1%}.",
    ]


def _versions(stores: Stores, project: int, version: str, control: str) -> tuple[str, str, VerdictJson | None]:
    """When `version` was made, and the newest kept version that was compared with a champion, with its verdict."""
    artifacts = open_artifacts(stores.settings, frozenset)
    catalog = Catalog(artifacts.versions) if artifacts is not None else None
    kept = kept_manifests(stores.settings.models_dir, project, catalog)
    manifests = sorted(kept, key=lambda one: one.created_at, reverse=True)
    created = next((one.created_at for one in manifests if one.version == version), "")
    for one in manifests:
        if one.gate and control in one.gate:
            return created, one.version, one.gate[control]
    return created, "", None


def _parity(found: Exported) -> list[str]:
    rows = (
        (
            one.graph,
            one.texts,
            f"{one.agreement:.1%}{' of spans' if one.of == 'spans' else ''}",
            f"{one.mean_difference:.5f}",
            f"{one.largest_difference:.4f}",
            f"{one.milliseconds:.1f}",
            f"{one.milliseconds_here:.1f}",
            one.megabytes,
        )
        for one in found.parities
    )
    head = ("graph", "texts", "same answers", "mean difference", "largest", "ms a text", "there", "MB")
    left_out = (f"{graph} answers otherwise and was left out." for graph in found.refused)
    lossy = (f"**{graph} answers otherwise** than is allowed, and was taken all the same." for graph in found.lossy)
    return [*table(head, rows), *left_out, *(["", *lossy] if found.lossy else [])]
