"""The order in which a link to Label Studio's label stream hands out tasks.

*Label All Tasks* asks the queue. A link (`…/data?labeling=1`), opened where nobody has pressed that button, sends order
and filters of a tab of the Data Manager instead, empty ones too, and Label Studio goes by those: by id. So the tabs to
which nobody has given an order or a filter get that of the queue, the score of its version: what is not in the queue
has none and comes last, and whatever replaces the queue is followed.

People's own orders and filters stay. What we did is remembered (`marks`), since an order by score may be theirs. Label
Studio 1.23 takes no empty order, so that a tab which is given back lists by id, as it does without an order.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from backend.errors import LabelStudioError
from backend.labelstudio.rest.client import LabelStudioClient
from backend.store.stores import Stores

log = logging.getLogger(__name__)

QUEUE_ORDER = ["tasks:predictions_score"]
"""Ascending, as the queue has it."""

BY_ID = ["tasks:id"]

FIRST_TAB: Mapping[str, Any] = {"title": "Default"}
"""What Label Studio's page makes for a project without any tab."""

OURS, MADE, THEIRS, BACK = "ours", "made", "theirs", "back"
"""Marks: we gave the tab its order; we made the tab; somebody changed that order; we gave it back."""

Tab = Mapping[str, Any]


def follow_queue(client: LabelStudioClient, stores: Stores, project: int) -> list[str]:
    """Let links hand out what the queue holds; a line for every tab that was changed.

    Raises LabelStudioError and StoreUnavailable."""
    lines: list[str] = []
    with _marks(stores, project) as marks:
        tabs = client.tabs.of(project) if marks is not None else []
        if marks is None:
            return lines
        if not tabs:
            made = client.tabs.create(project, {**FIRST_TAB, "ordering": QUEUE_ORDER})
            marks.clear()
            marks[int(made["id"])] = MADE
            return [f"Tab '{FIRST_TAB['title']}' of the Data Manager made, in the order of the queue."]
        for tab in tabs:
            number = int(tab["id"])
            mark = mark_of(tab, marks.get(number, ""))
            if mark == OURS and order_of(tab) != QUEUE_ORDER:
                client.tabs.order(project, tab, QUEUE_ORDER)
                lines.append(f"Tab '{title_of(tab)}' of the Data Manager put into the order of the queue.")
            if mark:
                marks[number] = mark
        _forget_gone(marks, tabs)
    return lines


def restore_tabs(client: LabelStudioClient, stores: Stores, project: int) -> list[str]:
    """Undo `follow_queue`, as far as nobody has chosen another order since; a line for every tab that was changed.

    Raises LabelStudioError and StoreUnavailable."""
    lines: list[str] = []
    if not set(stores.label_stream.marks(project).values()) & {OURS, MADE}:
        return lines
    with _marks(stores, project) as marks:
        tabs = client.tabs.of(project) if marks is not None else []
        for tab in tabs:
            number = int(tab["id"])
            mark = (marks or {}).get(number, "")
            if marks is None or mark not in (OURS, MADE) or order_of(tab) != QUEUE_ORDER:
                continue
            if mark == MADE and set(tab["data"]) <= {*FIRST_TAB, "ordering"}:
                client.tabs.delete(number)
                del marks[number]
                lines.append(f"Tab '{title_of(tab)}' of the Data Manager removed.")
                continue
            client.tabs.order(project, tab, BY_ID)
            marks[number] = BACK
            lines.append(f"Tab '{title_of(tab)}' of the Data Manager lists by id again.")
        if marks is not None:
            _forget_gone(marks, tabs)
    return lines


def keep_following(client: LabelStudioClient, stores: Stores, project: int, *, steered: bool) -> None:
    """The same for jobs: what goes wrong is logged, since the queue itself is in order."""
    try:
        for line in (follow_queue if steered else restore_tabs)(client, stores, project):
            log.info("project=%s: %s", project, line)
    except LabelStudioError as error:
        log.warning("the Data Manager's tabs stay as they are project=%s: %s", project, error.message)


def mark_of(tab: Tab, before: str) -> str:
    """The mark of a tab that had the mark `before` ("": none): OURS where the queue's order is to be set, or is ours
    already. A tab with an order or a filter of its own has none: it is looked at anew each time."""
    order, data = order_of(tab), tab.get("data") or {}
    if before in (OURS, MADE):
        return before if order == QUEUE_ORDER else THEIRS
    if before == BACK:
        return OURS if order == BY_ID else THEIRS
    if before == THEIRS:
        return THEIRS
    is_plain = not order and not filters_of(tab) and data.get("target", "tasks") == "tasks"
    return OURS if is_plain else ""


def order_of(tab: Tab) -> list[str]:
    """[] for none."""
    return list((tab.get("data") or {}).get("ordering") or [])


def filters_of(tab: Tab) -> list[Any]:
    """[] for none."""
    return list(((tab.get("data") or {}).get("filters") or {}).get("items") or [])


def title_of(tab: Tab) -> str:
    """What the page shows."""
    return str((tab.get("data") or {}).get("title") or "")


def describe_link(studio_url: str, project: int, tabs: Sequence[Tab]) -> str:
    """Where a link to the label stream leads: one sentence."""
    if not tabs:
        return "To label: press Label All Tasks."
    if order_of(tabs[0]) == QUEUE_ORDER:
        return f"To label: press Label All Tasks, or open {studio_url.rstrip('/')}/projects/{project}/data?labeling=1"
    own = " and ".join(
        part
        for part in (
            f"order ({', '.join(order_of(tabs[0]))})" if order_of(tabs[0]) else "",
            "filter" if filters_of(tabs[0]) else "",
        )
        if part
    )
    return (
        f"To label: press Label All Tasks. A link to the label stream does not follow the queue: the first tab of the "
        f"Data Manager, '{title_of(tabs[0])}', has {f'its own {own}' if own else 'no order'}."
    )


@contextmanager
def _marks(stores: Stores, project: int) -> Iterator[dict[int, str] | None]:
    """The marks, to be changed in place, and kept whatever goes wrong; None while another process has them."""
    store = stores.label_stream
    if not store.claim_tabs(project):
        yield None
        return
    marks = store.marks(project)
    try:
        yield marks
    finally:
        store.save_marks(project, marks)
        store.leave_tabs(project)


def _forget_gone(marks: dict[int, str], tabs: list[Any]) -> None:
    for number in set(marks) - {int(tab["id"]) for tab in tabs}:
        del marks[number]
