"""What is known of each project besides its labels: label config, unlabelled pool, dirty flag, last reconciliation."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence

from backend.errors import BadRequest, UnsupportedConfig
from backend.labelstudio.asked_since import Asked
from backend.labelstudio.span_answers import RELATIONS
from backend.labelstudio.task_spec import parse_label_config
from backend.record_json import Summary, SyncRecord
from backend.redaction import hide_in
from backend.redis_access.connection import Client, Script, guarded
from backend.redis_access.keys import PROJECTS, project_key
from model.spec import Document, JsonObject

SPANS_SHOW = "spans_show"

REDIS_BATCH_TEXTS = 500
"""Pool texts read or written in one go."""

TITLE_CHARACTERS = 200
"""Of a project's name; Label Studio allows 50."""

_NOTE_SYNC = """
-- KEYS: meta    ARGV: entry, marks that are covered ("" none, "*" all)
redis.call('HSET', KEYS[1], 'sync', ARGV[1])
local marks = redis.call('HGET', KEYS[1], 'dirty_marks') or '0'
if ARGV[2] == '*' or ARGV[2] == marks then redis.call('HDEL', KEYS[1], 'dirty') end
return 1
"""


class ProjectStore:
    """All methods raise StoreUnavailable when Redis does not answer or refuses."""

    def __init__(self, client: Client) -> None:
        self._redis = client
        self._note_sync = Script(client, _NOTE_SYNC)

    @guarded
    def save_config(self, project: int, label_config: str) -> bool:
        """Remember the label config; whether it is another one than before (False for the first)."""
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.hget(project_key(project, "cfg"), "label_config")
        pipeline.hset(project_key(project, "cfg"), "label_config", label_config)
        pipeline.sadd(PROJECTS, project)
        before = pipeline.execute()[0]
        return before is not None and before != label_config

    @guarded
    def config(self, project: int) -> str | None:
        """The label config last seen; None for an unknown project."""
        found = self._redis.hget(project_key(project, "cfg"), "label_config")
        return None if found is None else str(found)

    @guarded
    def follow_questions(self, project: int, earlier: Iterable[str] | None, names: Iterable[str], moment: int) -> None:
        """A label config with these questions came at `moment`. `earlier`: those of the one before, for a store that
        did not keep this yet."""
        key, asking = project_key(project, "cfg"), list(names)

        def follow(pipeline: Client) -> None:
            known = Asked.from_json(json.loads(pipeline.hget(key, "asked") or "{}"))
            if not known.spans and earlier is not None:
                known = known.follow(earlier, 0)
            pipeline.multi()
            pipeline.hset(key, "asked", json.dumps(known.follow(asking, moment).to_json()))

        self._redis.transaction(follow, key)

    @guarded
    def asked(self, project: int) -> Asked:
        """Since when each question of the project is asked."""
        return Asked.from_json(json.loads(self._redis.hget(project_key(project, "cfg"), "asked") or "{}"))

    @guarded
    def choose_spans_show(self, project: int, aim: str) -> None:
        """What suggested spans of this project are to be good for; "" leaves it to the setting."""
        key = project_key(project, "cfg")
        if aim:
            self._redis.hset(key, SPANS_SHOW, aim)
        else:
            self._redis.hdel(key, SPANS_SHOW)

    @guarded
    def spans_show(self, project: int) -> str:
        """What was chosen for this project; "" where nothing was."""
        return str(self._redis.hget(project_key(project, "cfg"), SPANS_SHOW) or "")

    @guarded
    def all_spans_show(self, projects: Sequence[int]) -> dict[int, str]:
        """The same of those projects that something was chosen for."""
        pipeline = self._redis.pipeline(transaction=False)
        for project in projects:
            pipeline.hget(project_key(project, "cfg"), SPANS_SHOW)
        return {project: str(aim) for project, aim in zip(projects, pipeline.execute(), strict=True) if aim}

    @guarded
    def projects(self) -> list[int]:
        return sorted(int(item) for item in self._redis.smembers(PROJECTS))

    @guarded
    def knows(self, project: int) -> bool:
        """Whether this is a known project."""
        return bool(self._redis.sismember(PROJECTS, project))

    @guarded
    def add_pool(self, project: int, documents: Mapping[int, Document], limit: int) -> int:
        """Add unlabelled tasks up to `limit` in all; how many are new."""
        if not documents:
            return 0
        key = project_key(project, "pool")
        room = limit - int(self._redis.hlen(key))
        if room <= 0:
            return 0
        fresh = list(documents.items())[:room]
        added = 0
        for start in range(0, len(fresh), REDIS_BATCH_TEXTS):
            portion = fresh[start : start + REDIS_BATCH_TEXTS]
            values = {str(task): json.dumps(dict(document), ensure_ascii=True) for task, document in portion}
            added += int(self._redis.hset(key, mapping=values))
        return added

    @guarded
    def pool_tasks(self, project: int) -> set[int]:
        """The ids of the unlabelled tasks."""
        return {int(task) for task in self._redis.hkeys(project_key(project, "pool"))}

    @guarded
    def note_pool_of(self, project: int, total: int) -> None:
        """Of how many unlabelled tasks the pool is a sample, or all."""
        self._redis.hset(project_key(project, "meta"), "pool_of", total)

    @guarded
    def pool_of(self, project: int) -> int:
        """What was noted last; 0 before."""
        return int(self._redis.hget(project_key(project, "meta"), "pool_of") or 0)

    @guarded
    def note_language(self, project: int, report: JsonObject) -> None:
        """What the pool's texts are written in, and what the encoder makes of them."""
        self._redis.hset(project_key(project, "meta"), "language", json.dumps(report))

    @guarded
    def language(self, project: int) -> JsonObject:
        """The same; empty before anybody has looked, and where it cannot be read."""
        try:
            found = json.loads(self._redis.hget(project_key(project, "meta"), "language") or "{}")
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    @guarded
    def sample_pool(self, project: int, most: int) -> list[Document]:
        """Some unlabelled tasks, drawn at random."""
        found = self._redis.hrandfield(project_key(project, "pool"), most, withvalues=True) or []
        return [json.loads(text) for text in found[1::2]]

    @guarded
    def pool(self, project: int) -> dict[int, Document]:
        """The unlabelled tasks: task id -> document. Read by portions, so that Redis answers others in between: a
        million in one reply kept all of them waiting for more than five seconds."""
        values = dict(self._redis.hscan_iter(project_key(project, "pool"), count=REDIS_BATCH_TEXTS))
        return {int(task): json.loads(text) for task, text in sorted(values.items(), key=lambda item: int(item[0]))}

    @guarded
    def document(self, project: int, task: int) -> Document | None:
        """One unlabelled task's document; None for a task that is not in the pool."""
        text = self._redis.hget(project_key(project, "pool"), str(task))
        return None if text is None else json.loads(text)

    @guarded
    def documents(self, project: int, tasks: Sequence[int]) -> dict[int, Document]:
        """Those of some unlabelled tasks, as far as they are in the pool."""
        if not tasks:
            return {}
        texts = self._redis.hmget(project_key(project, "pool"), [str(task) for task in tasks])
        return {task: json.loads(text) for task, text in zip(tasks, texts, strict=True) if text is not None}

    @guarded
    def pool_size(self, project: int) -> int:
        """How many unlabelled tasks are known."""
        return int(self._redis.hlen(project_key(project, "pool")))

    @guarded
    def remove_from_pool(self, project: int, tasks: Iterable[int]) -> None:
        """Forget deleted tasks."""
        names = [str(task) for task in tasks]
        for start in range(0, len(names), REDIS_BATCH_TEXTS):
            self._redis.hdel(project_key(project, "pool"), *names[start : start + REDIS_BATCH_TEXTS])

    @guarded
    def mark_dirty(self, project: int, why: str) -> None:
        """Something may have been missed: reconcile with Label Studio soon."""
        mark_dirty(self._redis, project, why)

    @guarded
    def dirty(self, project: int) -> str:
        """Why a reconciliation is needed, "" when it is not."""
        return str(self._redis.hget(project_key(project, "meta"), "dirty") or "")

    @guarded
    def dirty_marks(self, project: int) -> int:
        """How often it was marked: what is marked while a reconciliation runs is not covered by it."""
        return int(self._redis.hget(project_key(project, "meta"), "dirty_marks") or 0)

    @guarded
    def note_sync(self, project: int, outcome: JsonObject, marks: int | None = None) -> None:
        """A reconciliation ended; a successful one (no `error`) clears the dirty flag, unless there are more than
        `marks` by now. `ok_at`: when the last one succeeded, `drift`: how many annotations it then had to mend."""
        failed = bool(outcome.get("error"))
        now, last = time.time(), self.last_sync(project)
        kept = {name: last[name] for name in ("ok_at", "drift") if name in last} if failed else {"ok_at": now}
        entry = json.dumps({"at": now, **kept, **hide_in(dict(outcome))})
        clears = "" if failed else "*" if marks is None else marks
        self._note_sync(keys=[project_key(project, "meta")], args=[entry, clears])

    @guarded
    def last_sync(self, project: int) -> SyncRecord:
        """The last reconciliation: `at` (epoch seconds) and its outcome, `next`, and of the last successful one `ok_at`
        and `drift`; empty before the first."""
        return json.loads(self._redis.hget(project_key(project, "meta"), "sync") or "{}")

    @guarded
    def note_title(self, project: int, title: str) -> None:
        """The project's name in Label Studio, as it was when it was last reached."""
        self._redis.hset(project_key(project, "meta"), "title", title[:TITLE_CHARACTERS])

    @guarded
    def title(self, project: int) -> str:
        """That; "" before Label Studio was reached."""
        return self._redis.hget(project_key(project, "meta"), "title") or ""

    @guarded
    def save_summary(self, project: int, summary: Summary) -> None:
        """What the last refit saw: label counts, quarantine, samples and classes per control."""
        self._redis.hset(project_key(project, "meta"), "summary", json.dumps(dict(summary)))

    @guarded
    def summary(self, project: int) -> Summary:
        """What the last refit saw; empty before the first."""
        return json.loads(self._redis.hget(project_key(project, "meta"), "summary") or "{}")


def mark_dirty(client: Client, project: int, why: str) -> None:
    """As the method, for the other stores."""
    pipeline = client.pipeline(transaction=True)
    pipeline.hset(project_key(project, "meta"), "dirty", why)
    pipeline.hincrby(project_key(project, "meta"), "dirty_marks", 1)
    pipeline.sadd(PROJECTS, project)
    pipeline.execute()


def note_questions(
    projects: ProjectStore, project: int, before: str | None, config: str, moment: int | None = None
) -> None:
    """Another label config than `before` has come at `moment` (microseconds since 1970; now if not given): call it
    before it is stored. Raises StoreUnavailable."""
    names = _questions(config)
    if names is None or before == config:
        return
    earlier = _questions(before) if before else None  # of a store that did not keep this yet
    projects.follow_questions(project, earlier, names, time.time_ns() // 1000 if moment is None else moment)


def _questions(config: str) -> list[str] | None:
    """Names of the controls that are learned; None for a config that cannot be read."""
    try:
        spec = parse_label_config(config)
        names = [control.name for control in (*spec.questions, *spec.regions)]
        return names if spec.relations is None else [*names, RELATIONS]
    except UnsupportedConfig:
        return []
    except BadRequest:
        return None
