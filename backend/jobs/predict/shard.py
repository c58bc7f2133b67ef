"""One worker's walk through one shard: portion by portion it lists tasks, asks for predictions, and writes them."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from backend.client.predict import REQUEST_TASKS, Item, PredictClient
from backend.errors import LabelStudioError, StoreUnavailable
from backend.jobs.predict.dropped import GONE, find_dropped
from backend.labelstudio.rest.client import LabelStudioClient
from backend.outcomes import FINAL_STATES, HELD_BY_ANOTHER, JobOutcome
from backend.store.versions import FIRST_VERSION, VersionStore
from backend.store.work.prediction_runs import TASK_COUNTS, Count, PredictionRunStore, Run, Shard, is_over, note_refused
from model.failpoints import failpoint
from model.texts import portions

log = logging.getLogger(__name__)

MOST_PAGES = 25
"""Pages of REQUEST_TASKS tasks that are written in one call, at most."""

REQUEST_CHARACTERS = 200_000
"""Of the tasks of one /predict: spans of so many are read in about 20 s of a core."""

PORTION_BYTES = 32 << 20
"""Of the data of a portion's tasks: no further page is listed then. Pages of long documents have fewer tasks."""

IMPORT_PREDICTIONS = 500
"""Predictions of which Label Studio takes all or none, however it imports."""

Row = dict[str, Any]


class Interrupted(Exception):
    """The walk must end here; the message says why, in the words of what the job returns."""


class ShardRunner:
    """`shard` is where it is; `begin`, then `portion` until it is done."""

    def __init__(
        self,
        runs: PredictionRunStore,
        versions: VersionStore,
        studio: LabelStudioClient,
        asker: PredictClient,
        project: int,
        record: Run,
        number: int,
        shard: Shard,
        owner: str,
    ) -> None:
        self._runs, self._versions, self._studio, self._asker = runs, versions, studio, asker
        self._project, self._number, self._owner = project, number, owner
        self._run, self._labelled = str(record["id"]), bool(record["labelled"])
        self._pages = int(record.get("portion", 1))
        self._page_tasks, self._again_helps = REQUEST_TASKS, True
        self.shard = shard.copy()

    def begin(self) -> int:
        """The number of this attempt since the last one that ended in order."""
        self.shard["attempts"] += 1
        self._save()
        return self.shard["attempts"]

    def end_in_order(self) -> None:
        """This attempt came to nothing, but its worker lives: only deaths count."""
        with suppress(StoreUnavailable, Interrupted):
            self._require_mine()
            self.shard["attempts"] = 0
            self._save()

    def give_up(self, why: str) -> str:
        """The shard has failed; the others go on."""
        self.shard["failed"] = why
        self._save()
        self._end_run()
        return f"failed: {why}"

    def portion(self) -> float:
        """One more portion; the seconds it took. Raises Interrupted when another worker holds the shard by now."""
        try:
            return self._portion(lot=MOST_PAGES * REQUEST_TASKS)
        except LabelStudioError as error:
            if error.evidence.get("status") != 400:
                raise
        # A task was deleted since it was listed. Some lots may have been written: look again.
        return self._portion(lot=IMPORT_PREDICTIONS)

    def _portion(self, lot: int) -> float:
        began = time.monotonic()
        tasks, ends = self._list()
        listed = time.monotonic() - began
        counts = Counter[Count](dict.fromkeys(TASK_COUNTS, 0))
        rows: list[Row] = []
        for some in _requests(tasks):
            rows += self._predict(some, counts)
        read = time.monotonic() - began
        self._require_mine()
        failpoint("predict.before_write", self._project)
        counts["written"] = self._write(rows, lot)
        failpoint("predict.after_write", self._project)
        if counts["written"] < len(rows):
            counts["written"] += self._write_dropped(tasks, rows)
        counts["dropped"] = len(rows) - counts["written"]
        took = time.monotonic() - began
        self._adapt(read, took - read)
        for name, seconds in (("listing", listed), ("asking", read - listed), ("writing", took - read)):
            self.shard["seconds"][name] = round(self.shard["seconds"][name] + seconds, 3)
        self._advance(tasks, counts, ends)
        return took

    def _list(self) -> tuple[list[Row], bool]:
        """The next tasks, and whether they are the last of the shard."""
        tasks: list[Row] = []
        after, size = int(self.shard["cursor"]), 0
        for _ in range(self._pages):
            most = self._page_tasks
            page = self._studio.tasks.page(self._project, after, self.shard["last"], most=most, labelled=self._labelled)
            tasks += page
            if len(page) < most:
                return tasks, True
            after = int(page[-1]["id"])
            own = sum(_size_of(task["data"]) for task in page)
            size += own
            self._page_tasks = max(1, min(REQUEST_TASKS, PORTION_BYTES * len(page) // max(1, own)))
            if size > PORTION_BYTES:
                break
        return tasks, False

    def _predict(self, tasks: Sequence[Row], counts: Counter[Count]) -> list[Row]:
        """Predictions of those that have none by the version that answers; counts the others."""
        counts["seen"] += len(tasks)
        live = self._versions.live(self._project) or FIRST_VERSION
        missing = [task for task in tasks if live not in task["versions"]]
        items, version = self._ask(missing)
        rows = []
        for task, item in zip(missing, items, strict=True):
            if version in task["versions"]:  # the live version has moved on, or back
                continue
            if isinstance(item, list):
                counts["declined"] += 1
                continue
            known = {"result": item["result"], "score": item["score"], "model_version": item["model_version"]}
            rows.append({"task": task["id"], **known})
        counts["present"] += len(tasks) - len(missing)
        counts["present"] += sum(version in task["versions"] for task in missing)
        return rows

    def _ask(self, tasks: Sequence[Row]) -> tuple[list[Item], str]:
        if not tasks:
            return [], ""
        return self._asker.predict(self._project, [_to_ask(task) for task in tasks])

    def _write(self, rows: Sequence[Row], lot: int) -> int:
        """The number stored. Lots have IMPORT_PREDICTIONS; a refused one is halved until the missing task is alone."""
        created = 0
        for start in range(0, len(rows), lot):
            some = rows[start : start + lot]
            try:
                created += self._studio.predictions.add_many(self._project, some)
            except LabelStudioError as error:
                if error.evidence.get("status") != 400 or lot > IMPORT_PREDICTIONS:
                    raise
                created += self._write(some, (len(some) + 1) // 2) if len(some) > 1 else 0
        return created

    def _write_dropped(self, tasks: Sequence[Row], rows: Sequence[Row]) -> int:
        """What the import has dropped, asked for once more, since the label config may be another one by now; how many
        went then. The shard remembers which did not, and why."""
        reasons = find_dropped(self._studio, self._project, rows)
        left = [task for task in tasks if reasons.get(task["id"], GONE) != GONE]
        created = 0
        if left and self._again_helps:
            again = [row for some in _requests(left) for row in self._predict(some, Counter[Count]())]
            created = self._write(again, IMPORT_PREDICTIONS)
            self._again_helps = created > 0
            if created:
                gone = {task: why for task, why in reasons.items() if why == GONE}
                reasons = gone | find_dropped(self._studio, self._project, again)
        if reasons:
            self.shard["refused"] = note_refused(self.shard.get("refused", {}), reasons)
        return created

    def _adapt(self, reading: float, writing: float) -> None:
        """A call that writes costs Label Studio something for every task of the project: where that is most of the
        time, more is written at a time."""
        pages = self._pages
        if writing > reading:
            pages = min(MOST_PAGES, 2 * pages)
        elif writing < reading / 4:
            pages = max(1, pages // 2)
        if pages != self._pages:
            self._pages = pages
            self._runs.change(self._project, self._run, {"portion": pages})

    def _advance(self, tasks: Sequence[Row], counts: Mapping[Count, int], ends: bool) -> None:
        for name, count in counts.items():
            self.shard[name] += count
        self.shard["cursor"] = int(tasks[-1]["id"]) if tasks else self.shard["cursor"]
        self.shard.update({"done": ends, "attempts": 0})
        self._save()
        if ends:
            self._end_run()

    def _require_mine(self) -> None:
        """Nothing is written for a run that is over, nor by a worker that was away so long that another came."""
        record = self._runs.find(self._project)
        if record is None or record["id"] != self._run or record["status"] in FINAL_STATES:
            raise Interrupted(JobOutcome.OVER)
        if not self._runs.hold(self._project, self._number, self._owner):
            raise Interrupted(HELD_BY_ANOTHER)
        if self._runs.cursor(self._project, self._number) != self.shard["cursor"]:
            raise Interrupted(HELD_BY_ANOTHER)

    def _save(self) -> None:
        if not self._runs.save(self._project, self._run, self._number, self.shard):
            raise Interrupted(JobOutcome.OVER)

    def _end_run(self) -> None:
        """Whoever ends the last shard ends the run."""
        shards = self._runs.shards(self._project)
        if not all(is_over(shard) for shard in shards.values()):
            return
        failed = [
            f"tasks {s['first']} to {s['last'] or 'the last'}: {s['failed']}" for s in shards.values() if s["failed"]
        ]
        message = "; ".join(failed[:3])
        self._runs.finish(self._project, self._run, JobOutcome.FAILED if failed else JobOutcome.DONE, message)
        log.info("predicted project=%s run=%s %s", self._project, self._run, message or "whole")


def _requests(tasks: Sequence[Row]) -> Iterator[list[Row]]:
    """The tasks as they are asked for: few long documents at a time, so that none misses the deadline."""
    return portions(tasks, lambda task: _size_of(task["data"]), texts=REQUEST_TASKS, characters=REQUEST_CHARACTERS)


def _size_of(value: object) -> int:
    """About the bytes of some data: of all its strings."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(_size_of(one) for one in value.values())
    return sum(_size_of(one) for one in value) if isinstance(value, list) else 8


def _to_ask(task: Row) -> Row:
    """With a sign of its annotations: the web process keeps the texts of tasks that have none."""
    return {"id": task["id"], "data": task["data"], "annotations": [{}] if task.get("total_annotations") else []}
