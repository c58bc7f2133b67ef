"""What orders of hunts say of members, for each task of the pool: words, an expression, tasks like them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from backend.store.task_queue import HuntOrder
from model.acquisition.hunt_signs import PatternError, find_expression, find_words, hint_likeness
from model.features.long_texts import LabelAwarePooling
from model.spec import Control, Document

if TYPE_CHECKING:
    from backend.jobs.context import Context
    from backend.jobs.task_queue.pool_view import PoolView
    from model.numerics.arrays import Floats
    from model.versions.live_model import LiveModel

log = logging.getLogger(__name__)

SECONDS = 10.0
"""CPU time of a plan for words and expressions, of all orders together: the learner has others to serve."""


class Signs:
    """Those of one order, read when its class comes to its turn: most of many orders do not in this batch. `matches`:
    unlabelled tasks with the words or a match of the expression, None before that."""

    def __init__(self, read: Callable[[], tuple[Floats, int | None]]) -> None:
        self._read = read
        self._found: Floats | None = None
        self.matches: int | None = None

    def __call__(self) -> Floats:
        if self._found is None:
            self._found, self.matches = self._read()
        return self._found


@dataclass
class SignReader:
    """Reads the signs of one plan's orders. `left`: of the CPU time for them."""

    work: Context
    project: int
    model: LiveModel
    view: PoolView
    left: float = SECONDS

    def signs_of(self, order: HuntOrder, place: int) -> Signs | None:
        """None for an order that says nothing of its members. `place`: of the control's pool."""
        if not (order["words"] or order["regex"] or order["like"]):
            return None
        control = self.model.spec.control(order["control"])
        return Signs(lambda: self._read(order, control, place))

    def _read(self, order: HuntOrder, control: Control, place: int) -> tuple[Floats, int | None]:
        texts = ["\n".join(control.text_of(document)) for document in self.view.documents]
        found: list[Floats] = [np.zeros(len(texts))]
        if order["words"]:
            found.append(self._timed(lambda: find_words(order["words"], texts, self.left)))
        if order["regex"]:
            found.append(self._timed(lambda: self._find_expression(order, texts)))
        matches = np.max(found, axis=0) >= 1
        matches[self.view.pools[place].labelled] = False
        counted = int(matches.sum()) if len(found) > 1 else None
        readable = [own for own in self._liked(order) if all(name in own for name in control.inputs)]
        if readable:
            reader = LabelAwarePooling(self.model.base, control)
            examples = reader.embed([control.text_of(own) for own in readable])[:, -1]
            found.append(hint_likeness(self.view.pools[place].features, examples))
        return np.max(found, axis=0), counted

    def _find_expression(self, order: HuntOrder, texts: Sequence[str]) -> Floats:
        try:
            return find_expression(order["key"], order["regex"], texts, self.left)
        except PatternError as error:  # another release of RE2, or a busy machine: no reason to plan nothing
            log.warning("expression of a hunt left out: %s", error.message)
            return np.zeros(len(texts))

    def _timed(self, find: Callable[[], Floats]) -> Floats:
        began = time.thread_time()
        found = find()
        self.left = max(0.0, self.left - (time.thread_time() - began))
        return found

    def _liked(self, order: HuntOrder) -> list[Document]:
        """The texts of the tasks that members are like, those of labelled tasks included; gone ones are left out."""
        stores, project = self.work.stores, self.project
        known = stores.projects.documents(project, order["like"])
        labelled = (stores.examples.of_task(project, task) for task in order["like"] if task not in known)
        return [*known.values(), *(records[0].texts for records in labelled if records)]
