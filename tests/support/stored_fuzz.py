"""What the store holds of marked text, changed past the product: cut off, of another type, of an earlier release; and
who reads it: the learner, the scheduler, the admin's routes, predictions, webhooks and pages.

Nothing of it may end in an exception: a record that cannot be read is left out.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from backend.application.services import Services
from backend.jobs.context import Context
from backend.jobs.learn.refit import learn
from backend.processes.scheduler import Scheduler
from backend.redis_access.keys import project_key
from tests.support.marking_fuzz import LEARNED, LEARNED_ROWS, learned_page
from tests.support.mutations import VALUES, change

ADMIN = {"Authorization": "Bearer admin"}
DIGEST_CHARACTERS = 16

READ_BY: dict[str, tuple[str, ...]] = {
    "ex": ("learn", "examples", "explain", "suspects"),
    "suggested": ("webhook",),
    "marks:3": ("mark",),
    "patterns": ("learn", "patterns", "pattern rows"),
    "patterns:about": ("learn", "tick", "project", "patterns"),
    "evidence": ("learn", "tick", "project", "curve", "advice", "page"),
    "tested": ("learn",),
    "survey": ("learn", "project", "advice", "page"),
    "surveys": ("advice", "page"),
    "suspects": ("learn", "tick", "suspects", "relabel", "page"),
}
"""Key of a project -> what reads it."""

LEARNS = 0.1
"""Share of the changes that the learner reads, of those that it ever does: it takes a second."""

READERS = 2
"""Others that read a change."""


@dataclass(frozen=True)
class Change:
    """`key` of a project in which the value of `field` (of a hash), at a place (of a list) or the whole is another."""

    project: int
    key: str
    field: str | int | None
    value: bytes


def prepare(services: Services, context: Context, client: Any) -> None:
    """Projects of every kind that have learned, with suggestions, marks, patterns and wrong labels, so that there is
    something to read back."""
    for project in LEARNED:
        for first in range(0, LEARNED_ROWS, LEARNED_ROWS // 2):
            pages = [learned_page(project, number) for number in range(first, first + LEARNED_ROWS // 2)]
            _annotate(client, project, pages, first + 1)
            learn(context, project)
    for project, name in LEARNED.items():
        config, data, result = learned_page(project, 2)
        task = {"id": 3, "data": data}
        asked = {"tasks": [task], "project": f"{project}.1", "label_config": config}
        drawn = [item for item in result if item["type"] == "labels"]
        for context_ in (None, {"result": drawn[:1]}):
            client.post("/predict", json={**asked, "params": {"context": context_}})
        if name in ("spans", "regions", "nested"):
            label = drawn[0]["value"]["labels"][0] if drawn else "person"
            rows = {"patterns": [{"label": label, "pattern": "Ann"}, {"label": label, "regex": "[A-Z]{3}"}]}
            client.put(f"/admin/projects/{project}/patterns", json=rows, headers=ADMIN)


def _annotate(client: Any, project: int, pages: Sequence[Any], first: int) -> None:
    for number, (config, data, result) in enumerate(pages, first):
        stamp = f"2026-01-01T00:{number // 60:02d}:{number % 60:02d}Z"
        annotation = {"id": number, "task": number, "result": result, "updated_at": stamp, "lead_time": 2.0}
        head = {"action": "ANNOTATION_CREATED", "project": {"id": project, "label_config": config}}
        body = {**head, "annotation": annotation, "task": {"id": number, "data": data}}
        assert client.post("/webhook", json=body).status_code == 200


class StoredCases:
    """Changes of what `redis` (replies as bytes) holds, by number; each is undone before the next."""

    def __init__(self, redis: Any, seed: int) -> None:
        self._redis, self._seed = redis, seed
        self._places = list(self._find())

    def _find(self) -> Iterator[tuple[int, str, str | int | None]]:
        """(project, key, field) of every value, so that each key has its share."""
        for project in LEARNED:
            for key in READ_BY:
                name = project_key(project, key)
                kind = self._redis.type(name)
                if kind == b"hash":
                    fields: list[str | int | None] = [field.decode() for field in sorted(self._redis.hkeys(name))]
                elif kind == b"list":
                    fields = list(range(self._redis.llen(name)))
                else:
                    fields = [None] if kind == b"string" else []
                yield from ((project, key, field) for field in fields)

    def make(self, number: int) -> Change:
        """Case `number`."""
        chance = random.Random(f"{self._seed}:{number}")
        keys = sorted({(project, key) for project, key, _ in self._places})
        project, key = chance.choice(keys)
        field = chance.choice([place[2] for place in self._places if place[:2] == (project, key)])
        value = self._read(project, key, field)
        return Change(project, key, field, spoil(chance, key, value))

    def _read(self, project: int, key: str, field: str | int | None) -> bytes:
        name = project_key(project, key)
        if isinstance(field, int):
            return bytes(self._redis.lindex(name, field))
        return bytes(self._redis.get(name) if field is None else self._redis.hget(name, field))

    def apply(self, case: Change) -> Callable[[], None]:
        """Writes it; what undoes it."""
        name = project_key(case.project, case.key)
        before = self._redis.dump(name)
        if isinstance(case.field, int):
            self._redis.lset(name, case.field, case.value)
        elif case.field is None:
            self._redis.set(name, case.value)
        else:
            self._redis.hset(name, case.field, case.value)
        return lambda: self._redis.restore(name, 0, before, replace=True)


def spoil(chance: random.Random, key: str, value: bytes) -> bytes:
    """Another value in its place: bytes, JSON of another type, or the same JSON with something else in it."""
    how = chance.random()
    if how < 0.12:
        return value[: chance.randrange(len(value) + 1)]
    if how < 0.2:
        at = chance.randrange(max(1, len(value)))
        return value[:at] + chance.choice((b"\xff", b"\x00", b"\xc3", b'"', b"[", b"\n", b"\t")) + value[at + 1 :]
    before, text = _split(key, value)
    if how < 0.32:
        return _joined(key, before, json.dumps(chance.choice(VALUES)))
    try:
        whole = json.loads(text)
    except ValueError:
        return value[: len(value) // 2]
    return _joined(key, before, json.dumps(change(chance, whole, [whole])))


def _split(key: str, value: bytes) -> tuple[bytes, bytes]:
    """What stands before the JSON of a value, and the JSON: of suggestions that of the last version."""
    if key == "ex":
        return b"", value[DIGEST_CHARACTERS:]
    head, tab, text = value.rpartition(b"\t") if key == "suggested" else (b"", b"", value)
    return head + tab, text


def _joined(key: str, before: bytes, text: str) -> bytes:
    """With the right digest, as another release would have written it."""
    digest = hashlib.sha256(text.encode()).hexdigest()[:DIGEST_CHARACTERS] if key == "ex" else ""
    return digest.encode() + before + text.encode()


def readers_of(chance: random.Random, key: str) -> list[str]:
    """Some of those that read a key; the learner now and then, but always where nobody else does."""
    others = [how for how in READ_BY[key] if how != "learn"]
    found = chance.sample(others, min(len(others), READERS))
    return [*found, "learn"] if "learn" in READ_BY[key] and (not others or chance.random() < LEARNS) else found


class Readers:
    """Everything that reads; each says what went wrong, "" for nothing."""

    def __init__(self, client: Any, context: Context) -> None:
        self._client, self._context = client, context
        self._log_in()
        self._scheduler = Scheduler(context)

    def _log_in(self) -> None:
        """The pages of the model are behind a form."""
        token = re.search(r'name="csrf_token" value="([^"]+)"', self._client.get("/ui/login").text)
        fields = {"csrf_token": token[1] if token else "", "token": "admin"}
        assert self._client.post("/ui/login", data=fields).status_code == 303

    def read(self, how: str, project: int) -> str:
        """One reader's."""
        if how == "learn":
            return self._do(lambda: self._learn(project))
        if how == "tick":
            return self._do(lambda: self._scheduler.schedule(project))
        return self._ask(how, project)

    def _learn(self, project: int) -> None:
        redis = self._context.stores.client
        redis.incr(project_key(project, "seq"))  # as if a label had come
        learn(self._context, project)

    def _do(self, work: Callable[[], object]) -> str:
        try:
            work()
        except Exception as error:
            place = error.__traceback__
            while place is not None and place.tb_next is not None:
                place = place.tb_next
            where = f"{place.tb_frame.f_code.co_filename}:{place.tb_lineno}" if place else ""
            return f"{type(error).__name__}: {str(error)[:200]} at {where}"
        return ""

    def _ask(self, how: str, project: int) -> str:
        config, data, result = learned_page(project, 2)
        home, task = f"/admin/projects/{project}", {"id": 3, "data": data}
        paths = {
            "project": home,
            "examples": f"{home}/examples",
            "curve": f"{home}/curve",
            "suspects": f"{home}/suspects",
            "relabel": f"{home}/relabel",
            "patterns": f"{home}/patterns",
            "pattern rows": f"{home}/patterns?limit=5&control=label",
            "explain": f"{home}/explain?task=3",
            "advice": f"{home}/advice",
            "page": f"/ui/projects/{project}/overview",
        }
        if how == "mark":
            context = {"result": [item for item in result if item["type"] == "labels"][:1]}
            asked = {"tasks": [task], "project": f"{project}.1", "label_config": config, "params": {"context": context}}
            reply = self._client.post("/predict", json=asked)
        elif how == "webhook":
            annotation = {"id": 3, "task": 3, "result": result[:1], "parent_prediction": 1}
            annotation["updated_at"] = "2026-01-02T00:00:00Z"
            head = {"action": "ANNOTATION_UPDATED", "project": {"id": project, "label_config": config}}
            reply = self._client.post("/webhook", json={**head, "annotation": annotation, "task": task})
        else:
            reply = self._client.get(paths[how], headers=ADMIN if how != "page" else {})
        return f"{how}: {reply.status_code} {reply.text[:200]}" if reply.status_code >= 500 else ""
