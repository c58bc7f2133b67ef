"""What people are told of a project's queue, and what they order. Knows no HTTP."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import cast

from backend.admin_json import Order, QueueAnswer
from backend.errors import BadPattern, BadRequest, Conflict
from backend.labelstudio.ids import read_id
from backend.labelstudio.label_display import spec_of, texts_of
from backend.record_json import HuntOrderAnswer, HuntsAnswer, QueueState
from backend.settings.settings import Settings
from backend.store.examples import ExampleStore
from backend.store.stores import Stores
from backend.store.task_queue import HuntOrder
from model.spec import Control, Json, JsonObject

HUNTED, MOST_HUNTED = 20, 1000
"""Members that an order wants unless it says another number, and at most."""

MOST_WORDS, LONGEST_WORD, MOST_LIKE = 50, 200, 20
"""Of an order: words or phrases, characters of each, and tasks."""

LABELS_NAMED = 10
"""Labels that a message lists."""

SHOWN_FIELDS = (
    "version",
    "tasks",
    "live",
    "answers",
    "rows",
    "open",
    "unread",
    "switched_at",
    "planned_at",
    "agreements",
    "hunts",
    "off",
)


def describe_queue(settings: Settings, stores: Stores, project: int) -> QueueAnswer:
    """The queue that Label Studio has: its version, how many `tasks`, the `live` version and the number of `answers`
    that they were chosen with, out of how many `open` ones; `agreements` of consecutive plans; `handed`: of the last
    `labels`, how many are of tasks that the queue had handed out; `off`: why it is not steered. {} before the first
    plan."""
    if not (settings.queue_enabled and settings.label_studio_url):
        return {}
    state = stores.task_queue.state(project)
    facts: Mapping[str, object] = state
    found = cast(QueueAnswer, {name: facts[name] for name in SHOWN_FIELDS if name in facts})
    if not found:
        return {}
    handed = stores.label_stream.handed(project)
    found["used"] = _used(stores.examples, project, state)
    found["handed"] = {"labels": handed.labels, "of_queue": handed.of_queue}
    return found


def request_plan(settings: Settings, stores: Stores, project: int) -> Order:
    """Ask for a new plan now, whatever the policy says. Raises Conflict when nothing can be steered."""
    if not settings.queue_enabled:
        raise Conflict("QUEUE_ENABLED is off: set it to steer Label Studio's queue")
    if not settings.has_label_studio:
        raise Conflict("set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY to steer Label Studio's queue")
    for kind in ("plan", "steer"):
        stores.failures.release(project, kind)
    stores.task_queue.recheck(project)
    created = stores.task_queue.enqueue_plan(project)
    return {"status": "queued", "message": "asked for" if created else "already asked for"}


def _used(examples: ExampleStore, project: int, state: QueueState) -> int:
    return max(0, examples.answers(project) - int(state.get("answers", 0)))


def describe_hunts(settings: Settings, stores: Stores, project: int) -> HuntsAnswer:
    """Classes that are hunted as the last plan found them, what admins ordered, and HUNT_SHARE."""
    texts = {
        control.name: dict(texts_of(spec_of(stores.projects.config(project)), control.name, control.keys()))
        for control in _controls(stores, project)
    }
    orders: list[HuntOrderAnswer] = [
        {
            "control": own["control"],
            "label": texts.get(own["control"], {}).get(own["key"], own["key"]),
            "stopped": own["stopped"],
            "words": own["words"],
            "regex": own["regex"],
            "like": own["like"],
            "count": own["count"],
            "at": own["at"],
        }
        for own in stores.task_queue.orders(project)
    ]
    return {"share": settings.hunt_share, "hunts": stores.task_queue.plan(project).get("hunts", []), "orders": orders}


def order_hunt(settings: Settings, stores: Stores, project: int, body: JsonObject) -> Order:
    """Hunt the class `label` of `control` until `count` more members are found; `words`, `regex` and tasks `like` them
    say what they look like. Raises BadRequest, BadPattern and StoreUnavailable."""
    from model.acquisition.hunt_signs import PatternError, check_regex

    control, key = _class_of(stores, project, body.get("control"), body.get("label"))
    words = [own.strip() for own in _texts(body.get("words"), "words") if own.strip()]
    expression, like = body.get("regex") or "", body.get("like") or []
    if not isinstance(expression, str):
        raise BadRequest("regex: an expression in RE2's syntax is needed", field="regex")
    try:
        if expression:
            check_regex(key, expression)
    except PatternError as error:
        raise BadPattern(error.message, **error.evidence) from None
    if not isinstance(like, list) or len(like) > MOST_LIKE:
        raise BadRequest(f"like: at most {MOST_LIKE} ids of tasks are needed", field="like")
    tasks = [read_id(task, "like") for task in like]
    known = stores.projects.documents(project, tasks)
    for task in tasks:
        if task not in known and not stores.examples.of_task(project, task):
            raise BadRequest(f"like: task {task} is not known here, or says nothing", field="like")
    count = read_id(body.get("count") or HUNTED, "count")
    if count > MOST_HUNTED:
        raise BadRequest(f"count: at most {MOST_HUNTED}", field="count")
    stores.task_queue.order(project, _order(control, key, words=words, regex=expression, like=tasks, count=count))
    return {"message": f"{count} more of it are hunted; {_plan_if_steered(settings, stores, project)}"}


def stop_hunt(settings: Settings, stores: Stores, project: int, control: str, label: str) -> Order:
    """Hunt a class no longer, by itself neither. Raises BadRequest and StoreUnavailable."""
    name, key = _class_of(stores, project, control, label)
    stores.task_queue.order(project, _order(name, key, stopped=True))
    return {"message": f"it is not hunted any more; {_plan_if_steered(settings, stores, project)}"}


def _order(
    control: str,
    key: str,
    *,
    stopped: bool = False,
    words: Sequence[str] = (),
    regex: str = "",
    like: Sequence[int] = (),
    count: int = HUNTED,
) -> HuntOrder:
    return {
        "control": control,
        "key": key,
        "at": time.time(),
        "stopped": stopped,
        "words": list(words),
        "regex": regex,
        "like": list(like),
        "count": count,
    }


def _controls(stores: Stores, project: int) -> Sequence[Control]:
    spec = spec_of(stores.projects.config(project))
    return spec.controls if spec is not None else ()


def _class_of(stores: Stores, project: int, control: Json, label: Json) -> tuple[str, str]:
    """Control and key of a label that is named as it is shown, or by its key. Raises BadRequest."""
    if not isinstance(label, str) or not label:
        raise BadRequest("label: the name of a class is needed", field="label")
    spec = spec_of(stores.projects.config(project))
    controls = [own for own in _controls(stores, project) if control in (None, "", own.name)]
    if not controls:
        raise BadRequest("control: no control of that name gives the text one of its labels", field="control")
    found = [
        (own.name, key)
        for own in controls
        for key, text in texts_of(spec, own.name, own.keys()).items()
        if label in (key, text)
    ]
    if len({name for name, _ in found}) > 1:
        raise BadRequest("control: several have that label, so name one", field="control")
    if not found:
        names = [text for own in controls for text in texts_of(spec, own.name, own.keys()).values()]
        raise BadRequest(f"label: it is none of {', '.join(names[:LABELS_NAMED])}", field="label")
    return found[0]


def _texts(given: Json, name: str) -> list[str]:
    found = [own for own in given if isinstance(own, str)] if isinstance(given, list) else []
    is_whole = given is None or (isinstance(given, list) and len(found) == len(given) <= MOST_WORDS)
    if not is_whole or any(len(own) > LONGEST_WORD for own in found):
        raise BadRequest(f"{name}: at most {MOST_WORDS} words or phrases of {LONGEST_WORD} characters", field=name)
    return found


def _plan_if_steered(settings: Settings, stores: Stores, project: int) -> str:
    """Ask for the batch in which that shows."""
    try:
        request_plan(settings, stores, project)
    except Conflict as error:
        return f"but the queue is not steered: {error.message}"
    return "a new batch was asked for"
