"""Which unlabelled tasks have the same text as others, or as one that is labelled: the queue hands out one of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from backend.store.duplicates.tables import LabelledTable
from model.acquisition.batch import Repeats
from model.spec import Document, TaskSpec
from model.texts import duplicate_keys


def find_repeats(
    spec: TaskSpec, documents: Sequence[Document], table: LabelledTable | None
) -> tuple[Repeats, Repeats | None]:
    """Exact duplicates of each other or of labelled texts (`table`), in all that the questions read; and near ones,
    None where those count as exact ones, since their labels agree. A text with a label for one question is labelled."""
    names = tuple(dict.fromkeys(name for control in spec.questions for name in control.inputs))
    keys = [duplicate_keys(names, tuple(own[name] for name in names if name in own)) for own in documents]
    read = [_labelled(spec, document, table) for document in documents]
    exact = _repeats([key for key, _ in keys], [own for own, _ in read])
    near = _repeats([key if alike is None else alike for key, alike in keys], [own or also for own, also in read])
    counts = table is not None and bool(table.facts.controls) and all(own.carries_near for own in table.facts.controls)
    return (near, None) if counts else (exact, near)


def _repeats(keys: Sequence[int], labelled: Sequence[bool]) -> Repeats:
    groups = np.unique(np.array(keys, dtype=np.uint64), return_inverse=True)[1]
    return Repeats(groups.astype(np.int64).reshape(-1), np.array(labelled, dtype=bool))


def _labelled(spec: TaskSpec, document: Document, table: LabelledTable | None) -> tuple[bool, bool]:
    """Whether an exact duplicate is labelled, and a near one."""
    exact = near = False
    for inputs in {control.inputs for control in spec.controls} if table is not None else ():
        if table is not None and all(name in document for name in inputs):
            key, alike = duplicate_keys(inputs, tuple(document[name] for name in inputs))
            exact |= bool(table.get(key))
            near |= alike is not None and bool(table.get(alike))
    return exact, near
