"""What the fine-tune policy is asked about a project, read from the stores."""

from __future__ import annotations

import time

from backend.labelstudio.label_display import spec_of
from backend.rules.finetune_due import Facts
from backend.store.stores import Stores


def gather_facts(stores: Stores, project: int, pinned: bool, marked: bool) -> Facts:
    """Of the controls that choose, or of those that mark text."""
    summary, last = stores.projects.summary(project), stores.versions.evaluated(project)
    largest, labels = largest_control(stores, project, marked)
    trained = last.get("texts", 0) if marked else last.get("labels", 0)
    return Facts(
        labels=labels,
        classes=int(summary.get("classes", {}).get(largest, 0)),
        now=time.time(),
        trained_labels=int(trained) if trained else None,
        trained_at=float(last.get("at", 0)),
        changed=summary.get("seq") != last.get("seq"),
        pinned=pinned,
        refusals=int(last.get("refusals", 0)),
        marked=marked,
    )


def largest_control(stores: Stores, project: int, marked: bool) -> tuple[str, int]:
    """The control with the most labels (texts) of either kind, and how many."""
    spec = spec_of(stores.projects.config(project))
    controls = (spec.spans if marked else spec.controls) if spec else ()
    known = stores.projects.summary(project).get("samples", {})
    samples = {control.name: known[control.name] for control in controls if control.name in known}
    largest = max(samples, key=lambda name: samples[name], default="")
    return largest, samples.get(largest, 0)
