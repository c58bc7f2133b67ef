"""Which classes of a project are hunted, and what came of it: from labels, orders and the tasks handed out before.

By itself a class of the label config is hunted while it has fewer than ENOUGH labels. An order of an admin wants so
many members more, whatever there are, and may say what they look like."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from backend.jobs.context import Context
from backend.labelstudio.label_display import texts_of
from backend.rules.consensus import label_keys
from backend.rules.queue_due import places_hunted
from backend.store.task_queue import HuntedTask, HuntOrder
from model.acquisition.hunt_signs import find_expression, find_words, measure_likeness
from model.acquisition.rare_classes import ClassHunt
from model.features.long_texts import LabelAwarePooling
from model.spec import NONE, Control, Document

if TYPE_CHECKING:
    from backend.jobs.task_queue.pool_view import PoolView
    from backend.record_json import HuntState
    from model.acquisition.batch import QueueEntry
    from model.numerics.arrays import Floats
    from model.versions.live_model import LiveModel

STILL_SECONDS = 3600.0
"""A task that was handed out for a class may be labelled for so long after a batch without it."""

ORDERED_SHARE = 0.5
"""Of the labels, for what an admin asked for where HUNT_SHARE is 0."""

FAIR_SHARE, LAST_TASKS, DOUBT = 0.2, 100, 10
"""Share of hits among the last tasks from which on hunting has all of its places, and as how many such tasks what is
expected before counts."""

HUNTED_SHOWN = 50
"""Classes that are told of: those ordered, then the scarcest."""

Class = tuple[str, str]
"""Control and key of a label."""


@dataclass(frozen=True)
class Hunting:
    """`hunts` for `classes`, in the same order; `places`: tasks of the next batch for them, at most."""

    classes: Sequence[Class]
    hunts: Sequence[ClassHunt]
    places: int

    def of(self, place: QueueEntry) -> Class | None:
        """For which class a task was chosen."""
        return None if place.hunt is None else self.classes[place.hunt]


def find_hunts(work: Context, project: int, model: LiveModel, view: PoolView) -> Hunting:
    """What to hunt in the next batch. Raises StoreUnavailable."""
    stores = work.stores
    orders = {(order["control"], order["key"]): order for order in stores.task_queue.orders(project)}
    share, ordered = work.settings.hunt_share, any(not order["stopped"] for order in orders.values())
    tasks = settle_hunted(work, project) if share or ordered else {}
    counts = stores.projects.summary(project).get("labels", {})
    found: list[tuple[Class, ClassHunt]] = []
    for place, control in enumerate(_choosing(model)):
        labels = _by_key(model, control, counts.get(control.name, {}))
        for column, key in enumerate(model.labels(control.name)):
            order = orders.get((control.name, key))
            if key == NONE or (order["stopped"] if order else not share or key in _inner(control)):
                continue
            own = ClassHunt(place, column, labels.get(key, 0))
            own = _with_outcomes(own, (control.name, key), tasks, order["at"] if order else 0.0)
            if order:
                own = replace(own, labels=own.found, wanted=order["count"])
                own = replace(own, signs=_signs(order, model, control, view, place, _liked(work, project, order)))
            found.append(((control.name, key), own))
    found = [(name, own) for name, own in found if not own.is_over]
    places = places_hunted(work.settings, share or ORDERED_SHARE, stores.examples.answers(project))
    return Hunting([name for name, _ in found], [own for _, own in found], scale_places(places, tasks) if found else 0)


def scale_places(places: int, tasks: Mapping[int, HuntedTask]) -> int:
    """Fewer of the places, one at least, while few of the LAST_TASKS tasks were hits: of thousands of classes most may
    not be there, and each is looked for in vain for a while."""
    last = sorted((own["at"], own["hit"]) for own in tasks.values() if "hit" in own)[-LAST_TASKS:]
    share = (sum(hit for _, hit in last) + DOUBT * FAIR_SHARE) / (len(last) + DOUBT)
    return max(1, round(places * min(1.0, share / FAIR_SHARE))) if places else 0


def settle_hunted(work: Context, project: int) -> dict[int, HuntedTask]:
    """Task -> what came of it, once it is labelled; those that nobody has labelled for long are forgotten."""
    stores, now = work.stores, time.time()
    tasks = stores.task_queue.hunted(project)
    waiting = [task for task, own in tasks.items() if "hit" not in own]
    answered = stores.examples.answered(project, waiting)
    settled: dict[int, HuntedTask] = {}
    for task in answered:
        own = tasks[task]
        records = [r for r in stores.examples.of_task(project, task) if own["control"] in r.targets]
        keys = {key for r in records for key in label_keys(r.targets[own["control"]])}
        settled[task] = {**own, "hit": own["key"] in keys}
    gone = {task for task in waiting if task not in answered and now - tasks[task]["at"] > STILL_SECONDS}
    if settled or gone:
        stores.task_queue.note_hunted(project, settled, gone)
    return {task: settled.get(task, own) for task, own in tasks.items() if task not in gone}


def describe_hunts(model: LiveModel, hunting: Hunting, orders: Sequence[HuntOrder]) -> list[HuntState]:
    """What `status` tells: HUNTED_SHOWN classes at most."""
    asked = {(order["control"], order["key"]) for order in orders if not order["stopped"]}
    pairs = sorted(
        zip(hunting.classes, hunting.hunts, strict=True), key=lambda pair: (pair[0] not in asked, pair[1].labels)
    )
    texts = {control.name: texts_of(model.spec, control.name, control.keys()) for control in _choosing(model)}
    return [
        {
            "control": name,
            "label": texts[name].get(key, key),
            "labels": own.labels,
            "wanted": own.wanted,
            "asked": own.asked,
            "found": own.found,
            "ordered": (name, key) in asked,
            "vain": own.is_vain,
        }
        for (name, key), own in pairs[:HUNTED_SHOWN]
    ]


def _choosing(model: LiveModel) -> list[Control]:
    """The controls of the first pools of a view."""
    return [control for control in model.spec.controls if model.labels(control.name)]


def _by_key(model: LiveModel, control: Control, counts: Mapping[str, int]) -> dict[str, int]:
    """Labels by key, from what is shown of them."""
    texts = texts_of(model.spec, control.name, control.keys())
    return {key: counts.get(text, 0) for key, text in texts.items()}


def _inner(control: Control) -> set[str]:
    """Keys of nodes that have others below them: their members are those of the nodes below."""
    paths = [label.path for label in control.labels]
    above = {path[:depth] for path in paths for depth in range(1, len(path))}
    return {label.key for label in control.labels if label.path in above}


def _with_outcomes(own: ClassHunt, name: Class, tasks: Mapping[int, HuntedTask], since: float) -> ClassHunt:
    hits = Counter(hit for hit in _hits(name, tasks, since))
    return replace(own, asked=hits[True] + hits[False], found=hits[True])


def _hits(name: Class, tasks: Mapping[int, HuntedTask], since: float) -> Iterator[bool]:
    for task in tasks.values():
        if (task["control"], task["key"]) == name and "hit" in task and task["at"] >= since:
            yield task["hit"]


def _liked(work: Context, project: int, order: HuntOrder) -> list[Document]:
    """The texts of the tasks that members are like, those of labelled tasks included; gone ones are left out."""
    stores = work.stores
    known = stores.projects.documents(project, order["like"])
    labelled = (stores.examples.of_task(project, task) for task in order["like"] if task not in known)
    return [*known.values(), *(records[0].texts for records in labelled if records)]


def _signs(
    order: HuntOrder, model: LiveModel, control: Control, view: PoolView, place: int, liked: Sequence[Document]
) -> Floats | None:
    """What the order says, of every row; None where it says nothing. `liked`: texts that members are like."""
    texts = ["\n".join(control.text_of(document)) for document in view.documents]
    found: list[Floats] = []
    if order["words"]:
        found.append(find_words(order["words"], texts))
    if order["regex"]:
        found.append(find_expression(order["key"], order["regex"], texts))
    readable = [own for own in liked if all(name in own for name in control.inputs)]
    if readable:
        reader = LabelAwarePooling(model.base, control)
        examples = reader.embed([control.text_of(own) for own in readable])[:, -1]
        found.append(measure_likeness(view.pools[place].features, examples))
    return np.max(found, axis=0) if found else None
