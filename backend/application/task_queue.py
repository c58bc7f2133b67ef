"""What people are told of a project's queue, and what they order. Knows no HTTP."""

from __future__ import annotations

import difflib
import re
import time
from collections.abc import Mapping, Sequence
from typing import cast

from backend.admin_json import Order, QueueAnswer
from backend.errors import BadPattern, BadRequest, Conflict
from backend.labelstudio.ids import read_id
from backend.labelstudio.label_display import find_keys, spec_of, texts_of
from backend.record_json import HuntOrderAnswer, HuntsAnswer, HuntStage, HuntState, QueueState
from backend.settings.settings import Settings
from backend.store.examples import ExampleStore
from backend.store.stores import Stores
from backend.store.task_queue import HuntOrder
from model.spec import Control, Json, JsonObject

HUNTED, MOST_HUNTED = 20, 1000
"""Members that an order wants unless it says another number, and at most."""

MOST_WORDS, LONGEST_WORD, MOST_LIKE = 50, 200, 20
"""Of an order: words or phrases, characters of each, and tasks."""

LABELS_NAMED, NEAR_NAMED = 10, 3
"""Labels that a message lists, and those of them that are spelled nearly so."""

CLASSES_SUGGESTED = 20
"""Names that a field of the page proposes."""

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
    "hunted_classes",
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
    if "hunts" in found:
        found["hunts"] = _with_states(found["hunts"])
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
        for own in sorted(stores.task_queue.orders(project), key=lambda own: -own["at"])
    ]
    plan = stores.task_queue.plan(project)
    return {
        "share": settings.hunt_share,
        "hunted_classes": plan.get("hunted_classes", 0),
        "hunts": _merge(plan.get("hunts", []), orders, plan.get("orders", [])),
        "orders": orders,
    }


def _merge(hunts: Sequence[HuntState], orders: Sequence[HuntOrderAnswer], known: Sequence[float]) -> list[HuntState]:
    """What was ordered since the last plan first, then what that found, last what is over. `known`: to that plan."""
    states = {(own["control"], own["label"]): own for own in _with_states(hunts)}
    fresh, over = list[HuntState](), list[HuntState]()
    for order in orders:
        name = order["control"], order["label"]
        if order["stopped"]:
            over.append(_of_order(order, "stopped", states.pop(name, None)))
        elif order["at"] not in known:
            states.pop(name, None)
            fresh.append(_of_order(order, "from the next choice on"))
        elif name not in states:
            over.append(_of_order(order, "not in the label config"))
    found = sorted(states.values(), key=lambda own: own["labels"] >= own["wanted"])
    return [*fresh, *found, *over]


def _with_states(hunts: Sequence[HuntState]) -> list[HuntState]:
    """Those that a plan of an earlier release kept say no state."""
    found: list[HuntState] = []
    for own in hunts:
        state: HuntStage = "given up" if own["vain"] else "ordered" if own["ordered"] else "scarce"
        found.append(own if "state" in own else {**own, "state": state})
    return found


def _of_order(order: HuntOrderAnswer, state: HuntStage, known: HuntState | None = None) -> HuntState:
    return {
        "control": order["control"],
        "label": order["label"],
        "labels": 0,
        "wanted": 0 if order["stopped"] else order["count"],
        "asked": known["asked"] if known else 0,
        "found": known["found"] if known else 0,
        "ordered": True,
        "vain": False,
        "state": state,
    }


def suggest_classes(stores: Stores, project: int, part: str, control: str) -> dict[str, int]:
    """CLASSES_SUGGESTED names that hold `part`, in whatever case, with their labels: the scarcest first."""
    spec, counts = spec_of(stores.projects.config(project)), stores.projects.summary(project).get("labels", {})
    found: dict[str, int] = {}
    for own in _controls(stores, project):
        if control in ("", own.name):
            names = texts_of(spec, own.name, own.keys()).values()
            known = counts.get(own.name, {})
            found |= {name: known.get(name, 0) for name in names if part.casefold() in name.casefold()}
    return dict(sorted(found.items(), key=lambda one: (one[1], one[0]))[:CLASSES_SUGGESTED])


def hunted_controls(stores: Stores, project: int) -> list[str]:
    """Names of the controls whose classes can be hunted: not what is marked in texts."""
    return [own.name for own in _controls(stores, project)]


def order_hunt(settings: Settings, stores: Stores, project: int, body: JsonObject) -> Order:
    """Hunt the class `label` of `control` until `count` more members are found; `words`, `regex` and tasks `like` them
    say what they look like. Raises BadRequest, BadPattern and StoreUnavailable."""
    from model.acquisition.hunt_signs import PatternError, check_regex

    control, key = _class_of(stores, project, body.get("control"), body.get("label"))
    given = _texts(body.get("words"), "words")
    words = [own.strip() for own in given if own.strip()]
    if given and not words:
        raise BadRequest("words: they are all blank", field="words")
    expression, like = body.get("regex") or "", body.get("like") or []
    if not isinstance(expression, str) or not _is_writable(expression):
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
    count = read_id(HUNTED if body.get("count") in (None, "") else body["count"], "count")
    if count > MOST_HUNTED:
        raise BadRequest(f"count: at most {MOST_HUNTED}", field="count")
    stores.task_queue.order(project, _order(control, key, words=words, regex=expression, like=tasks, count=count))
    own = _named(stores, project, control, key, str(body.get("label")))
    return {"message": f"{count} more of {own} are hunted; {_plan_if_steered(settings, stores, project)}"}


def read_typed(given: Mapping[str, str]) -> JsonObject:
    """An order of what was typed into fields: words have commas between them, tasks commas or blanks."""
    words = [own for own in re.split(r"[,\n]", given["words"]) if own.strip()]
    return {**given, "words": words, "like": [own for own in re.split(r"[,\s]+", given["like"]) if own]}


def stop_hunt(settings: Settings, stores: Stores, project: int, control: str, label: str) -> Order:
    """Hunt a class no longer, by itself neither; also one that was ordered and is in the label config no more. Raises
    BadRequest and StoreUnavailable."""
    known = {(own.name, key) for own in _controls(stores, project) for key in map(str, own.keys())}
    ordered = [(own["control"], own["key"]) for own in stores.task_queue.orders(project)]
    gone = [own for own in ordered if own not in known and own[1] == label and control in ("", own[0])]
    name, key = gone[0] if gone else _class_of(stores, project, control, label)
    stores.task_queue.order(project, _order(name, key, stopped=True))
    own = _named(stores, project, name, key, label)
    return {"message": f"{own} is not hunted any more; {_plan_if_steered(settings, stores, project)}"}


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
    """Control and key of a label that is named as it is shown, or by its key, or nearly so. Raises BadRequest."""
    if not isinstance(label, str) or not label.strip():
        raise BadRequest("label: the name of a class is needed", field="label")
    spec, every = spec_of(stores.projects.config(project)), _controls(stores, project)
    if not every:
        raise BadRequest("label: only answers about the whole text are hunted, and nothing asks for one", field="label")
    controls = [own for own in every if control in (None, "", own.name)]
    if not controls:
        raise BadRequest(f"control: it is none of {', '.join(own.name for own in every)}", field="control")
    texts = {own.name: texts_of(spec, own.name, own.keys()) for own in controls}
    found = [(name, key) for name, own in texts.items() for key in find_keys(own, label)]
    exact = [(name, key) for name, key in found if label in (key, texts[name][key])]
    if len({name for name, _ in exact or found}) > 1:
        names = ", ".join(dict.fromkeys(name for name, _ in exact or found))
        raise BadRequest(f"control: {names} have that label, so name one", field="control")
    if len(exact or found) > 1 and not exact:
        raise BadRequest(f"label: it may be {' or '.join(texts[name][key] for name, key in found)}", field="label")
    if not found:
        raise BadRequest(_none_of(label, [text for own in texts.values() for text in own.values()]), field="label")
    return (exact or found)[0]


def _named(stores: Stores, project: int, control: str, key: str, label: str) -> str:
    """The class, with its name where somebody called it otherwise."""
    shown = texts_of(spec_of(stores.projects.config(project)), control, [key])[key]
    return "it" if label in (key, shown) else f"it ({shown})"


def _none_of(label: str, names: Sequence[str]) -> str:
    """The nearest of the names, or the first."""
    every = list(dict.fromkeys(names))
    near = difflib.get_close_matches(label[:LONGEST_WORD], every, NEAR_NAMED)
    if near:
        return f"label: it is none of the {len(every):,} classes; did you mean {' or '.join(near)}?"
    more = f" and {len(every) - LABELS_NAMED:,} others" if len(every) > LABELS_NAMED else ""
    return f"label: it is none of {', '.join(every[:LABELS_NAMED])}{more}"


def _is_writable(text: str) -> bool:
    """Whether no half of a character stands in it, which no text can hold."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _texts(given: Json, name: str) -> list[str]:
    found = [own for own in given if isinstance(own, str)] if isinstance(given, list) else []
    is_whole = given is None or (isinstance(given, list) and len(found) == len(given) <= MOST_WORDS)
    if not is_whole or any(len(own) > LONGEST_WORD or not _is_writable(own) for own in found):
        raise BadRequest(f"{name}: at most {MOST_WORDS} words or phrases of {LONGEST_WORD} characters", field=name)
    return found


def _plan_if_steered(settings: Settings, stores: Stores, project: int) -> str:
    """Ask for the batch in which that shows."""
    try:
        request_plan(settings, stores, project)
    except Conflict as error:
        return f"but the queue is not steered: {error.message}"
    return "a new batch was asked for"
