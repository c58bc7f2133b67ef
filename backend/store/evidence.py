"""Honest test cases: how the live version answered each task before it learned the task's label (decision 0001)."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, NotRequired, TypedDict

from backend.admin_json import ControlMetrics
from backend.redis_access.connection import Client, guarded, read_all
from backend.redis_access.keys import project_key
from model.evidence.row import EvidenceRow, read_count, read_share

if TYPE_CHECKING:
    from model.evidence.pool_accuracy import PoolSummary

EVIDENCE_ROWS_KEPT = 2000
"""Rows kept per project; the learning curve is added up aside, and kept for good."""


SURVEYS_KEPT = 200
"""Past surveys kept per project: one for every tenth more labels, so these are all of them."""

REDIS_BATCH_TASKS = 500
"""Tasks asked for in one transaction: Redis answers nobody else meanwhile."""


REDIS_BATCH_ROWS = 64
"""Rows read to find those that are new: a refit tests 50 at most."""


class _Kept(NamedTuple):
    """`last`: the last row's text, which no other row has: it tells when it was tested."""

    last: str
    rows: list[EvidenceRow]


class Survey(TypedDict, total=False):
    """What a `version` said to the unlabelled pool with so many `labels` known; `tuned`: whose encoder it had."""

    version: str
    tuned: str | None
    labels: int
    controls: Mapping[str, PoolSummary]


class PoolMean(TypedDict):
    """Number and mean of a pool's confidences; of marked text the F1 that was expected."""

    n: int
    mean: float
    f1: NotRequired[float]


class PastSurvey(TypedDict):
    """What is kept of each survey for good."""

    labels: int
    controls: dict[str, PoolMean]


class EvidenceStore:
    """Rows of evidence, oldest first, their sums for the learning curve, and surveys of the unlabelled pool."""

    def __init__(self, client: Client) -> None:
        self._redis = client
        self.keeps = 0
        """Projects of which this process keeps the rows that it has read, to read the new ones only: two megabytes
        each. For the web process, in which every open page reads them with every label."""
        self._kept: OrderedDict[int, _Kept] = OrderedDict()
        self._guard = threading.Lock()

    @guarded
    def append(
        self,
        project: int,
        rows: Sequence[EvidenceRow],
        tallies: Mapping[str, float] | None = None,
        tested: tuple[str, int] | None = None,
    ) -> None:
        """Add rows and what they add to the learning curve, in one step; the oldest rows over EVIDENCE_ROWS_KEPT go.

        `tested`: the version that answered, and the seq up to which: a refit that is run again adds no row twice."""
        key = project_key(project, "evidence")
        pipeline = self._redis.pipeline(transaction=True)
        if rows:
            pipeline.rpush(key, *(json.dumps(row.to_json(), separators=(",", ":")) for row in rows))
            pipeline.ltrim(key, -EVIDENCE_ROWS_KEPT, -1)
        for field, value in (tallies or {}).items():
            pipeline.hincrbyfloat(project_key(project, "curve"), field, value)
        if tested is not None:
            pipeline.set(project_key(project, "tested"), json.dumps(tested))
        if len(pipeline):
            pipeline.execute()

    @guarded
    def rows(self, project: int, last: int = EVIDENCE_ROWS_KEPT, *, hunted: bool = False) -> list[EvidenceRow]:
        """The `last` ones, without those that cannot be read. `hunted`: also those of tasks that were chosen for a
        scarce class, which say nothing of other tasks."""
        if hunted:
            return self._rows(project, last)
        found = self._rows(project, 2 * last)  # half of the labels are hunted at most
        return [row for row in found if not row.hunted][-last:] if last else []

    def _rows(self, project: int, last: int) -> list[EvidenceRow]:
        if not self.keeps:
            return _parse(project, self._redis.lrange(project_key(project, "evidence"), -last, -1))
        with self._guard:
            known = self._kept.get(project)
        found = self._read(project, known)
        with self._guard:
            self._kept[project] = found
            self._kept.move_to_end(project)
            while len(self._kept) > self.keeps:
                self._kept.popitem(last=False)
        return found.rows[-last:] if last else []

    def _read(self, project: int, known: _Kept | None) -> _Kept:
        """All rows: those that are known, with what has come behind them."""
        key = project_key(project, "evidence")
        if known is not None:
            texts = self._redis.lrange(key, -REDIS_BATCH_ROWS, -1)
            if known.last in texts:
                new = texts[len(texts) - texts[::-1].index(known.last) :]
                return _Kept(texts[-1], [*known.rows, *_parse(project, new)][-EVIDENCE_ROWS_KEPT:]) if new else known
        texts = self._redis.lrange(key, 0, -1)
        return _Kept(texts[-1] if texts else "", _parse(project, texts))

    @guarded
    def count(self, project: int) -> int:
        """Rows kept now."""
        return int(self._redis.llen(project_key(project, "evidence")))

    @guarded
    def tallies(self, project: int) -> dict[str, float]:
        """The sums of all rows ever added."""
        return {key: float(value) for key, value in self._redis.hgetall(project_key(project, "curve")).items()}

    @guarded
    def tested(self, project: int, version: str) -> int:
        """The seq up to which `version` was tested last; 0 when another version was."""
        text = self._redis.get(project_key(project, "tested")) or '["", 0]'
        found = read_all([text], _tested, f"last test of project {project}")
        return found[0][1] if found and found[0][0] == version else 0

    @guarded
    def first_seen(self, project: int, tasks: Collection[int], seq: int) -> dict[int, int]:
        """The seq at which each task was first seen with a label: `seq`, for those that are seen now.

        An answer that is changed, or joined by a second annotator's, is no new task."""
        if not tasks:
            return {}
        key, names = project_key(project, "seen"), list(tasks)
        found: dict[int, int] = {}
        for start in range(0, len(names), REDIS_BATCH_TASKS):
            portion = names[start : start + REDIS_BATCH_TASKS]
            pipeline = self._redis.pipeline(transaction=True)
            for task in portion:
                pipeline.hsetnx(key, str(task), seq)
            pipeline.hmget(key, [str(task) for task in portion])
            found.update(zip(portion, map(int, pipeline.execute()[-1]), strict=True))
        return found

    @guarded
    def save_survey(self, project: int, survey: Survey) -> None:
        """What the live version said to the unlabelled pool; its means join those of earlier ones, for the forecast."""
        means = {name: _mean_of(pool) for name, pool in survey["controls"].items()}
        past: PastSurvey = {"labels": survey.get("labels", 0), "controls": means}
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.set(project_key(project, "survey"), json.dumps(dict(survey)))
        pipeline.rpush(project_key(project, "surveys"), json.dumps(past, separators=(",", ":")))
        pipeline.ltrim(project_key(project, "surveys"), -SURVEYS_KEPT, -1)
        pipeline.execute()

    @guarded
    def survey(self, project: int) -> Survey:
        """The last survey: version, labels, and of each control what `summarise_pool` keeps; {} before the first, and
        for one that cannot be read."""
        text = self._redis.get(project_key(project, "survey"))
        found = read_all([text] if text else [], _survey, f"survey of project {project}")
        return found[0] if found else {}

    @guarded
    def surveys(self, project: int) -> list[PastSurvey]:
        """The last SURVEYS_KEPT, oldest first: labels, and of each control n and mean of the confidences."""
        texts = self._redis.lrange(project_key(project, "surveys"), 0, -1)
        return read_all(texts, _past_survey, f"surveys of project {project}")

    @guarded
    def save_figures(self, project: int, figures: Mapping[str, ControlMetrics]) -> None:
        """What the rows and the last survey come to: counted when labels come, not when somebody looks."""
        self._redis.hset(project_key(project, "meta"), "figures", json.dumps(figures, separators=(",", ":")))


def _parse(project: int, texts: Sequence[str]) -> list[EvidenceRow]:
    return read_all(texts, EvidenceRow.from_json, f"rows of evidence of project {project}")


def _tested(data: tuple[str, int]) -> tuple[str, int]:
    version, seq = data
    return str(version), int(seq)


def _survey(data: Survey) -> Survey:
    """Raises AttributeError, TypeError or ValueError on foreign data. Earlier releases kept less."""
    found: Survey = {}
    if "version" in data:
        found["version"] = str(data["version"])
    if "tuned" in data:
        found["tuned"] = None if data["tuned"] is None else str(data["tuned"])
    if "labels" in data:
        found["labels"] = read_count(data["labels"])
    if data.get("controls"):
        found["controls"] = {str(name): _pool(pool) for name, pool in data["controls"].items()}
    return found


def _pool(data: PoolSummary) -> PoolSummary:
    from model.evidence.pool_accuracy import CONFIDENCE_BINS

    found: PoolSummary = {}
    if "n" in data:
        found["n"] = read_count(data["n"])
    if "mean" in data:
        found["mean"] = read_share(data["mean"])
    if "counts" in data:
        found["counts"] = [read_count(count) for count in data["counts"]]
        if len(found["counts"]) != CONFIDENCE_BINS:
            raise ValueError(f"{len(found['counts'])} bins")
    if "quantiles" in data:
        found["quantiles"] = [read_share(one) for one in data["quantiles"]]
    if "shown" in data:
        found["shown"] = [read_share(one) for one in data["shown"]]
    if "f1" in data:
        found["f1"] = read_share(data["f1"])
    return found


def _past_survey(data: PastSurvey) -> PastSurvey:
    controls = {str(name): _mean(pool) for name, pool in data["controls"].items()}
    return {"labels": read_count(data["labels"]), "controls": controls}


def _mean(data: PoolMean) -> PoolMean:
    found: PoolMean = {"n": read_count(data["n"]), "mean": read_share(data["mean"])}
    return {**found, "f1": read_share(data["f1"])} if "f1" in data else found


def _mean_of(pool: PoolSummary) -> PoolMean:
    found: PoolMean = {"n": pool.get("n", 0), "mean": pool.get("mean", 0.0)}
    return {**found, "f1": pool["f1"]} if "f1" in pool else found
