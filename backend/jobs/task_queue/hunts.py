"""Which classes of a project are hunted, and what came of it: from labels, orders and the tasks handed out before.

By itself a class of the label config is hunted while it has fewer than ENOUGH labels. An order of an admin wants so
many members more, whatever there are, and may say what they look like."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from backend.jobs.context import Context
from backend.jobs.task_queue.order_signs import SignReader, Signs
from backend.labelstudio.label_display import texts_of
from backend.rules.consensus import label_keys
from backend.rules.queue_due import places_hunted
from backend.store.task_queue import HuntedTask, HuntOrder
from model.acquisition.rare_classes import ClassHunt
from model.labels import path_of
from model.spec import NONE, Control

if TYPE_CHECKING:
    from backend.jobs.task_queue.pool_view import PoolView
    from backend.record_json import HuntStage, HuntState
    from model.acquisition.batch import QueueEntry
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
    """`hunts` for `classes`, in the same order; `places`: tasks of the next batch for them, at most. `orders`: those
    that were known, by class; `over`: what has come of those of which all are found. `seq`: of the last change."""

    classes: Sequence[Class]
    hunts: Sequence[ClassHunt]
    places: int
    orders: Mapping[Class, HuntOrder]
    over: Mapping[Class, ClassHunt]
    seq: int

    def of(self, place: QueueEntry) -> HuntedTask | None:
        """For which class a task was chosen, now."""
        if place.hunt is None:
            return None
        name = self.classes[place.hunt]
        return {"control": name[0], "key": name[1], "at": time.time(), "order": self._ordered_at(name)}

    def is_ordered(self, name: Class) -> bool:
        """Whether somebody's order is hunted, which is not over."""
        return bool(self._ordered_at(name))

    def _ordered_at(self, name: Class) -> float:
        order = self.orders.get(name)
        return 0.0 if order is None or order["stopped"] or name in self.over else order["at"]


def find_hunts(work: Context, project: int, model: LiveModel, view: PoolView) -> Hunting:
    """What to hunt in the next batch. An order that is over leaves its class to what is hunted by itself. Raises
    StoreUnavailable."""
    stores, share = work.stores, work.settings.hunt_share
    orders = {(order["control"], order["key"]): order for order in stores.task_queue.orders(project)}
    seq, before = stores.examples.seq(project), stores.task_queue.plan(project).get("seq")
    ordered = any(not order["stopped"] for order in orders.values())
    tasks = settle_hunted(work, project, before) if share or ordered else {}
    found, over = dict[Class, ClassHunt](), dict[Class, ClassHunt]()
    reader = SignReader(work, project, model, view)
    for name, own, is_inner in _candidates(model, stores.projects.summary(project).get("labels", {})):
        order = orders.get(name)
        if order and order["stopped"]:
            continue
        if order:
            asked = _with_outcomes(own, name, tasks, order["at"])
            asked = replace(asked, labels=asked.found, wanted=order["count"], signs=reader.signs_of(order, own.pool))
            (over if asked.is_over else found)[name] = asked
        if share and name not in found and not is_inner:
            found[name] = _with_outcomes(own, name, tasks)
    found = {name: own for name, own in found.items() if not own.is_over}
    places = places_hunted(work.settings, share or ORDERED_SHARE, stores.examples.answers(project))
    places = scale_places(places, tasks) if found else 0
    return Hunting(list(found), list(found.values()), places, orders, over, seq)


def _candidates(model: LiveModel, counts: Mapping[str, Mapping[str, int]]) -> Iterator[tuple[Class, ClassHunt, bool]]:
    """Each class that the model can answer with its labels, and each node of which it can answer what is below; whether
    it is a node."""
    for place, control in enumerate(_choosing(model)):
        labels = _by_key(model, control, counts.get(control.name, {}))
        columns = {key: column for column, key in enumerate(model.labels(control.name)) if key != NONE}
        inner = _inner(control)
        for key in dict.fromkeys([*columns, *inner]):
            own = [column for other, column in columns.items() if _is_below(other, key)] if key in inner else []
            if key in columns or own:
                first = columns.get(key, own[0] if own else 0)
                below = tuple(column for column in own if column != first)
                yield (control.name, key), ClassHunt(place, first, labels.get(key, 0), below=below), key in inner


def scale_places(places: int, tasks: Mapping[int, HuntedTask]) -> int:
    """Fewer of the places, one at least, while few of the LAST_TASKS tasks were hits: of thousands of classes most may
    not be there, and each is looked for in vain for a while."""
    last = sorted((own["at"], own["hit"]) for own in tasks.values() if "hit" in own)[-LAST_TASKS:]
    share = (sum(hit for _, hit in last) + DOUBT * FAIR_SHARE) / (len(last) + DOUBT)
    return max(1, round(places * min(1.0, share / FAIR_SHARE))) if places else 0


def settle_hunted(work: Context, project: int, seq: int | None = None) -> dict[int, HuntedTask]:
    """Task -> what came of it, once it is labelled, and anew when its labels changed after `seq`. Forgotten are those
    that nobody has labelled for long, and those whose labels were deleted."""
    stores, now = work.stores, time.time()
    tasks = stores.task_queue.hunted(project)
    answered = stores.examples.answered(project, list(tasks))
    settled: dict[int, HuntedTask] = {}
    for task in {task for task in answered if "hit" not in tasks[task]} | _changed(work, project, tasks, seq):
        own = tasks[task]
        records = [r for r in stores.examples.of_task(project, task) if own["control"] in r.targets]
        keys = {key for r in records for key in label_keys(r.targets[own["control"]])}
        settled[task] = {**own, "hit": any(_is_below(key, own["key"]) for key in keys)}
    gone = {task for task in tasks.keys() - answered if "hit" in tasks[task] or now - tasks[task]["at"] > STILL_SECONDS}
    if settled or gone:
        stores.task_queue.note_hunted(project, settled, gone)
    return {task: settled.get(task, own) for task, own in tasks.items() if task not in gone}


def describe_hunts(model: LiveModel, hunting: Hunting) -> list[HuntState]:
    """What `status` tells: all that was ordered and is known to the model, and HUNTED_SHOWN others at most."""
    texts = {control.name: texts_of(model.spec, control.name, control.keys()) for control in _choosing(model)}
    pairs = sorted(
        zip(hunting.classes, hunting.hunts, strict=True),
        key=lambda pair: (not hunting.is_ordered(pair[0]), pair[1].labels),
    )
    ordered = sum(hunting.is_ordered(name) for name, _ in pairs)
    shown = pairs[: max(ordered, HUNTED_SHOWN)]
    found = [_state(name, texts, own, is_ordered=hunting.is_ordered(name)) for name, own in shown]
    again = {name for name, _ in pairs}
    done = [_state(name, texts, own, is_ordered=True) for name, own in hunting.over.items() if name not in again]
    return [*found, *done]


def _state(name: Class, texts: Mapping[str, Mapping[str, str]], own: ClassHunt, *, is_ordered: bool) -> HuntState:
    state: HuntStage = "ordered" if is_ordered else "scarce"
    state = "all found" if own.is_over else "given up" if own.is_vain else state
    told: HuntState = {
        "control": name[0],
        "label": texts[name[0]].get(name[1], name[1]),
        "labels": own.labels,
        "wanted": own.wanted,
        "asked": own.asked,
        "found": own.found,
        "ordered": is_ordered,
        "vain": own.is_vain,
        "state": state,
    }
    if isinstance(own.signs, Signs) and own.signs.matches is not None:
        told["matches"] = own.signs.matches
    return told


def _changed(work: Context, project: int, tasks: Mapping[int, HuntedTask], seq: int | None) -> set[int]:
    """Those of the settled tasks whose labels changed after `seq`; none where that is not known."""
    if seq is None or not any("hit" in own for own in tasks.values()):
        return set()
    records, _ = work.stores.examples.read_many(project, sorted(work.stores.examples.changed_since(project, seq)))
    return {record.task for record in records if "hit" in tasks.get(record.task, {})}


def _is_below(key: str, node: str) -> bool:
    """Whether it is that node or one below it."""
    path = path_of(node)
    return key == node or path_of(key)[: len(path)] == path


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


def _with_outcomes(own: ClassHunt, name: Class, tasks: Mapping[int, HuntedTask], order: float = 0.0) -> ClassHunt:
    """With what came of the tasks handed out for the class; of those for an order, if it is one."""
    hits = Counter(task["hit"] for task in tasks.values() if _counts(task, name, order))
    return replace(own, asked=hits[True] + hits[False], found=hits[True])


def _counts(task: HuntedTask, name: Class, order: float) -> bool:
    """By the order it was for, so that no two clocks are compared; tasks of an earlier release do not say."""
    if (task["control"], task["key"]) != name or "hit" not in task:
        return False
    return not order or (task["order"] == order if "order" in task else task["at"] >= order)
