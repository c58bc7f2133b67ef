"""Which share of the last labels came from the queue, in words. Pure."""

from __future__ import annotations

from backend.admin_json import QueueAnswer

LEAST_LABELS = 10
"""With fewer a low share may be chance."""

LOW_SHARE = 0.5
"""Below it people do not label what the queue hands out."""

BYPASSED = (
    "People open the label stream by a link or a tab that follows another order, press Label Tasks As Displayed, or "
    "pick tasks from the list: let them press Label All Tasks, which always asks the queue"
)


def is_bypassed(labels: int, of_queue: int) -> bool:
    """Whether people come to their tasks by another way than the queue."""
    return labels >= LEAST_LABELS and of_queue < LOW_SHARE * labels


def describe_handed(labels: int, of_queue: int) -> str:
    """`17 of the last 20 labels were tasks that the queue handed out`."""
    return f"{of_queue} of the last {labels} labels were tasks that the queue handed out"


def hint_handed(project: int, queue: QueueAnswer) -> str:
    """That share as a line for a terminal, with what to do when it is low; "" when there is nothing to say."""
    handed = queue.get("handed")
    if not handed or not handed["labels"] or queue.get("off"):
        return ""
    labels, of_queue = handed["labels"], handed["of_queue"]
    told = f"queue: {describe_handed(labels, of_queue)}"
    looks = f"`understudy doctor --project {project}` looks at the tabs"
    return f"{told}. {BYPASSED}; {looks}" if is_bypassed(labels, of_queue) else told
