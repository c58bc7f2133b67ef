"""Weak labels: what a teacher said to the unlabelled texts that a refit reads."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from backend.settings.settings import Settings
from backend.store.work.teachings import TeachingStore
from backend.teacher.answers import Answer
from backend.teacher.prompt import asked_of, key_of
from model.spec import Document, Kind, Sample, Samples, TaskSpec

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class WeakLabels:
    """`mark`: changes when there is more, "" for none; `samples`: by control, with no task and no label of a person;
    `quotes`: by control, (string, label) as often as they were said."""

    mark: str = ""
    samples: Samples = field(default_factory=dict)
    quotes: Mapping[str, Sequence[tuple[str, str]]] = field(default_factory=dict)


def read_mark(store: TeachingStore, settings: Settings, project: int) -> str:
    """What a version learns by; "" without a teacher."""
    record = store.find(project) if settings.teacher_url else None
    return record["mark"] if record is not None else ""


def read_weak_labels(
    store: TeachingStore, settings: Settings, project: int, spec: TaskSpec, pool: Sequence[Document]
) -> WeakLabels:
    """The answers to texts of the pool. Raises StoreUnavailable."""
    mark = read_mark(store, settings, project)
    if not mark:
        return WeakLabels()
    keys = [key_of(spec, document, settings.teacher_model) for document in pool]
    found = store.answers(project, list(dict.fromkeys(keys)))
    samples: dict[str, list[Sample]] = {}
    quotes: dict[str, list[tuple[str, str]]] = {}
    controls = asked_of(spec)
    for key, document in zip(keys, pool, strict=True):
        if key not in found:
            continue
        try:
            answer = Answer.from_json(found[key])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            log.error("answer of the teacher unusable project=%s: %r", project, error)
            continue
        for control in controls:
            if control.name in answer.shares and all(name in document for name in control.inputs):
                said = answer.shares[control.name]
                samples.setdefault(control.name, []).append(Sample(0, control.text_of(document), said))
            elif control.kind is Kind.SPANS:
                quotes.setdefault(control.name, []).extend(answer.quotes.get(control.name, ()))
    return WeakLabels(mark, samples, {name: found for name, found in quotes.items() if found})
