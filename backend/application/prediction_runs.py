"""What an admin asks of a run that predicts a whole project, and sees of it; knows no HTTP."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from backend.admin_json import RefusedAnswer, RunAnswer
from backend.errors import BadRequest, Conflict, NotFound
from backend.outcomes import FINAL_STATES, JobOutcome
from backend.record_json import Trouble
from backend.rejects.report import describe_rejects
from backend.settings.settings import Settings
from backend.store.stores import Stores
from backend.store.work.prediction_runs import REFUSED_TASKS, TASK_COUNTS, TIMED_STEPS, Run, Shard, is_over
from model.spec import Json


def request_prediction(settings: Settings, stores: Stores, project: int, labelled: Json) -> RunAnswer:
    """Ask for a run: the one that is there when it is not over. Raises Conflict when Label Studio is not configured."""
    if not isinstance(labelled, bool):
        raise BadRequest("all: true or false", field="all")
    if not settings.has_label_studio:
        raise Conflict("set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY to write predictions into Label Studio")
    stores.failures.release(project, "predict")
    record, created = stores.prediction_runs.request(project, "admin", labelled)
    message = "asked for" if created else f"already {record['status']}: nothing is predicted twice"
    return {**describe_prediction(stores, project), "new": created, "message": message}


def describe_prediction(stores: Stores, project: int) -> RunAnswer:
    """The newest run and how far it is. Raises NotFound before the first."""
    runs = stores.prediction_runs
    record = runs.find(project)
    if record is None:
        raise NotFound(f"project {project} was never predicted: `understudy predict {project}` does it")
    trouble = stores.failures.describe(project).get("predict")
    found = sum_up(record, runs.shards(project), trouble, time.time())
    rejects = [it for it in stores.rejects.read(project) if it["where"] == "tasks"] if found["declined"] else []
    return {**found, "reasons": list(describe_rejects(rejects, time.time()))}


def cancel_prediction(stores: Stores, project: int) -> RunAnswer:
    """End a run; what is written stays. Raises NotFound, or Conflict when it is over."""
    found = describe_prediction(stores, project)
    if not stores.prediction_runs.finish(project, found["id"], JobOutcome.CANCELLED, "cancelled"):
        raise Conflict(f"{found['id']} is over: {found['status']}", job=found["id"], status=found["status"])
    return describe_prediction(stores, project)


def sum_up(record: Run, shards: Mapping[int, Shard], trouble: Trouble | None, now: float) -> RunAnswer:
    """A run as admins see it; `step` of `of` tasks were looked at. `now`: epoch seconds."""
    counts = {name: sum(shard[name] for shard in shards.values()) for name in TASK_COUNTS}
    ended = record["status"] in FINAL_STATES
    seen = counts["seen"]
    whole = seen if ended else max(int(record["tasks"]), seen)
    began = float(record["asked_at"])
    left = (whole - seen) * max(0.0, now - began) / seen if seen and not ended else None
    return {
        "id": record["id"],
        "status": record["status"],
        "by": record["by"],
        "all": record["labelled"],
        "asked_at": began,
        "ended_at": record.get("ended_at"),
        "seen": seen,
        "written": counts["written"],
        "present": counts["present"],
        "declined": counts["declined"],
        "dropped": counts["dropped"],
        "refused": _sum_refused(shards.values()),
        "seconds": {name: round(sum(shard["seconds"][name] for shard in shards.values()), 1) for name in TIMED_STEPS},
        "step": seen,
        "of": whole,
        "seconds_left": None if left is None else round(left, 1),
        "shards": {"all": len(shards), "over": sum(map(is_over, shards.values()))},
        "message": record.get("message", ""),
        "error": "" if ended or trouble is None else trouble["error"],
        "retry_in": 0 if ended or trouble is None else trouble["retry_in"],
    }


def _sum_refused(shards: Iterable[Shard]) -> list[RefusedAnswer]:
    """Reasons of all shards, the most frequent first."""
    found: dict[str, RefusedAnswer] = {}
    for shard in shards:
        for words, own in shard.get("refused", {}).items():
            row = found.setdefault(words, {"words": words, "count": 0, "tasks": []})
            row["count"] += own["count"]
            row["tasks"] = sorted({*row["tasks"], *own["tasks"]})[:REFUSED_TASKS]
    return sorted(found.values(), key=lambda row: (-row["count"], row["words"]))
