"""What people answered to each labelled text, by the keys that its duplicates share; and tables of it in memory.

The learner writes it before it publishes, and a web process reads it before that version answers. Keys lie in BUCKETS
by their first bits, so that a label costs two of them, and whoever keeps a table reads what has changed alone. A table
has 12 bytes a key: /predict looks into it and asks Redis once, for a project that it was not asked for in an hour.
"""

from __future__ import annotations

import json
import threading
import time
from array import array
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple, TypedDict

from backend.errors import StoreUnavailable
from backend.record_json import ControlDuplicates
from backend.redis_access.connection import UNREADABLE, Client, Script, guarded
from backend.redis_access.keys import project_key
from model.labels import LabelledAnswer
from model.spec import Control, Document, TaskSpec
from model.texts import duplicate_keys

BUCKET_BITS = 10
BUCKETS = 1 << BUCKET_BITS

READ_BUCKETS = 128
"""Buckets read in one go: 1.5 MB with 100,000 labels."""

FORGET_SECONDS = 3600.0
"""A table that nobody has asked for so long goes."""

TABLES_KEPT = 200

FACTS = "facts"
"""The field beside the buckets."""

Keys = tuple[str, ...]
Answers = tuple[tuple[Keys, float], ...]

_PUBLISH = """
-- KEYS: duplicates, duplicates:log
-- ARGV: facts, a name for the first time of all, then bucket and its text ("": it is empty now) of each that changed
local number = redis.call('HINCRBY', KEYS[1], 'number', 1)
redis.call('HSETNX', KEYS[1], 'first', ARGV[2])
redis.call('HSET', KEYS[1], 'facts', ARGV[1])
for index = 3, #ARGV, 2 do
  if ARGV[index + 1] == '' then
    redis.call('HDEL', KEYS[1], ARGV[index])
  else
    redis.call('HSET', KEYS[1], ARGV[index], ARGV[index + 1])
  end
  redis.call('ZADD', KEYS[2], number, ARGV[index])
end
return number
"""


class State(NamedTuple):
    """`number`: how often it was published since the `first` time, which is another one when Redis lost its data."""

    first: str = ""
    number: int = 0


class LabelledFacts(TypedDict):
    """`seq`: of the labels that it was made of. Of each control: agreement of exact duplicates and of near ones
    (smoothed), texts that it was seen on, groups of either, whether near ones take over a label, and tasks whose
    duplicates have another label."""

    seq: int
    at: float
    controls: list[str]
    exact: list[float]
    near: list[float]
    exact_texts: list[int]
    near_texts: list[int]
    exact_groups: list[int]
    near_groups: list[int]
    carries_near: list[bool]
    disagreeing: list[int]


class TextAnswer(NamedTuple):
    """Of one control, by its place in the facts. `against`: tasks whose own people answered otherwise; `task`: one
    whose people gave the first answer, which tables do not keep (0)."""

    control: int
    answers: Answers
    against: tuple[int, ...] = ()
    task: int = 0


Entry = tuple[TextAnswer, ...]
"""What is kept under one key."""

_NONE = array("Q"), array("i")


class LabelledTextStore:
    """All methods raise StoreUnavailable when Redis does not answer or refuses."""

    def __init__(self, client: Client) -> None:
        self._redis = client
        self._script = Script(client, _PUBLISH)

    @guarded
    def publish(self, project: int, facts: LabelledFacts, changed: Mapping[int, Mapping[int, Entry]]) -> None:
        """`changed`: bucket -> all that is in it now, by key."""
        arguments: list[object] = [json.dumps(facts), str(time.time_ns())]
        for bucket, entries in changed.items():
            arguments += [str(bucket), write_bucket(entries) if entries else ""]
        keys = [project_key(project, "duplicates"), project_key(project, "duplicates:log")]
        self._script(keys=keys, args=arguments)

    @guarded
    def task_of(self, project: int, key: int, control: int) -> int:
        """The labelled task that is named under a key; 0 for none."""
        text = self._redis.hget(project_key(project, "duplicates"), str(bucket_of(key)))
        return next((own.task for own in read_bucket(text or "", tasks=True).get(key, ()) if own.control == control), 0)

    @guarded
    def facts(self, project: int) -> LabelledFacts | None:
        """None before the first labels, and for what cannot be read: it is made anew."""
        try:
            text = self._redis.hget(project_key(project, "duplicates"), FACTS)
            return _facts(json.loads(text)) if text else None
        except UNREADABLE:
            return None

    def counts(self, project: int) -> dict[str, ControlDuplicates]:
        """By control, what is told of the labelled texts that are there again; empty before the first. Raises
        StoreUnavailable."""
        facts = self.facts(project)
        if facts is None:
            return {}
        return {
            name: {
                "exact_groups": facts["exact_groups"][place],
                "near_groups": facts["near_groups"][place],
                "disagreeing": facts["disagreeing"][place],
                "exact": facts["exact"][place],
                "near": facts["near"][place],
                "carries_near": facts["carries_near"][place],
            }
            for place, name in enumerate(facts["controls"])
        }

    @guarded
    def states(self, projects: Sequence[int]) -> list[State]:
        """Of each how far it is."""
        pipeline = self._redis.pipeline(transaction=False)
        for project in projects:
            pipeline.hmget(project_key(project, "duplicates"), ["first", "number"])
        return [State(first or "", int(number or 0)) for first, number in pipeline.execute()] if projects else []

    @guarded
    def buckets(self, project: int, since: int = 0) -> dict[int, str]:
        """Those that changed after `since`, as `write_bucket` wrote them; "" for an empty one."""
        names = self._redis.zrangebyscore(project_key(project, "duplicates:log"), f"({since}", "+inf")
        found: dict[int, str] = {}
        for start in range(0, len(names), READ_BUCKETS):
            some = names[start : start + READ_BUCKETS]
            texts = self._redis.hmget(project_key(project, "duplicates"), some)
            found.update((int(name), text or "") for name, text in zip(some, texts, strict=True))
        return found


def _facts(data: LabelledFacts) -> LabelledFacts:
    """Raises KeyError, TypeError or ValueError on foreign data."""
    size = len(data["controls"])
    found: LabelledFacts = {
        "seq": int(data["seq"]),
        "at": float(data["at"]),
        "controls": [str(name) for name in data["controls"]],
        "exact": [float(share) for share in data["exact"]],
        "near": [float(share) for share in data["near"]],
        "exact_texts": [int(count) for count in data["exact_texts"]],
        "near_texts": [int(count) for count in data["near_texts"]],
        "exact_groups": [int(count) for count in data["exact_groups"]],
        "near_groups": [int(count) for count in data["near_groups"]],
        "carries_near": [bool(own) for own in data["carries_near"]],
        "disagreeing": [int(count) for count in data["disagreeing"]],
    }
    if any(len(own) != size for own in found.values() if isinstance(own, list)):
        raise ValueError("facts of other controls")
    return found


def bucket_of(key: int) -> int:
    return key >> (64 - BUCKET_BITS)


def write_bucket(entries: Mapping[int, Entry]) -> str:
    """By key, so that the same entries give the same text."""
    rows = {
        f"{key:016x}": [[own.control, own.answers, own.against, own.task] for own in entries[key]]
        for key in sorted(entries)
    }
    return json.dumps(rows, separators=(",", ":"))


def read_bucket(text: str, known: dict[str, Entry] | None = None, *, tasks: bool = False) -> dict[int, Entry]:
    """Inverse of `write_bucket`; empty for what cannot be read. `known`: what was read before, to be added to: few
    answers are given to many texts. Without `tasks` those that are named are left out, so that such texts are alike."""
    before = known if known is not None else {}
    try:
        found: dict[int, Entry] = {}
        for name, whole in json.loads(text or "{}").items():
            rows = whole if tasks else [own[:3] for own in whole]
            entry = before.get(said := str(rows))
            if entry is None:
                entry = before[said] = tuple(_answer(*own) for own in rows)
            found[int(name, 16)] = entry
        return found
    except UNREADABLE:
        return {}


def _answer(
    control: int, answers: Sequence[tuple[Sequence[str], float]], against: Sequence[int], task: int = 0
) -> TextAnswer:
    pairs = tuple((tuple(str(key) for key in keys), float(share)) for keys, share in answers)
    return TextAnswer(int(control), pairs, tuple(int(one) for one in against), int(task))


class LabelledTable:
    """One project's in memory. Read by many threads, written by one: a bucket is replaced as a whole."""

    def __init__(self, facts: LabelledFacts) -> None:
        self.facts, self.state = facts, State()
        self._buckets: dict[int, tuple[array[int], array[int]]] = {}
        self._entries: list[Entry] = []
        self._places: dict[Entry, int] = {}

    def put(self, bucket: int, entries: Mapping[int, Entry]) -> None:
        """All that is in a bucket now."""
        order = sorted(entries)
        self._buckets[bucket] = array("Q", order), array("i", [self._place(entries[key]) for key in order])

    def get(self, key: int) -> Entry:
        """() for an unknown one."""
        keys, places = self._buckets.get(bucket_of(key), _NONE)
        at = bisect_left(keys, key)
        return self._entries[places[at]] if at < len(keys) and keys[at] == key else ()

    def find(self, task: int | None, spec: TaskSpec, document: Document) -> dict[str, LabelledAnswer]:
        """Control -> what people answered to the text's duplicates: to exact ones, else to near ones where their labels
        agree. Nothing against the people who answered this very task."""
        found: dict[str, LabelledAnswer] = {}
        read: dict[tuple[str, ...], tuple[Entry, Entry]] = {}
        for control in spec.controls:
            inputs = control.inputs
            if control.name not in self.facts["controls"] or not all(name in document for name in inputs):
                continue
            if inputs not in read:
                exact, near = duplicate_keys(inputs, control.text_of(document))
                read[inputs] = self.get(exact), self.get(near) if near is not None else ()
            answer = self._answer_of(self.facts["controls"].index(control.name), task, *read[inputs])
            if answer is not None:
                found[control.name] = answer
        return found

    def trace(self, control: Control, document: Document) -> tuple[int, bool] | None:
        """The key under which `find` sees what people answered to duplicates, and whether those are near ones."""
        place = self.facts["controls"].index(control.name)
        exact, near = duplicate_keys(control.inputs, control.text_of(document))
        if any(own.control == place for own in self.get(exact)):
            return exact, False
        return (near, True) if near is not None and any(own.control == place for own in self.get(near)) else None

    def _answer_of(self, control: int, task: int | None, exact: Entry, near: Entry) -> LabelledAnswer | None:
        for own in exact:
            if own.control == control:
                return None if task in own.against else LabelledAnswer(own.answers, self.facts["exact"][control])
        if not self.facts["carries_near"][control]:
            return None
        for own in near:
            if own.control == control:
                agreement = self.facts["near"][control]
                return None if task in own.against else LabelledAnswer(own.answers, agreement, near=True)
        return None

    def _place(self, entry: Entry) -> int:
        """Few answers are given to many texts: each is kept once."""
        place = self._places.setdefault(entry, len(self._entries))
        if place == len(self._entries):
            self._entries.append(entry)
        return place


class LabelledTables:
    """Those of the projects that this process was asked for. `find` never waits: a thread in the background calls
    `refresh`, and whoever is about to answer with another version `renew`."""

    def __init__(self, store: LabelledTextStore) -> None:
        self._store = store
        self._tables: dict[int, LabelledTable] = {}
        self._asked: OrderedDict[int, float] = OrderedDict()
        self._reading = threading.Lock()

    def find(self, project: int, task: int | None, spec: TaskSpec, document: Document) -> dict[str, LabelledAnswer]:
        """As that of the table; nothing as long as it was not read."""
        table = self._tables.get(project)
        return table.find(task, spec, document) if table is not None else {}

    def table(self, project: int) -> LabelledTable | None:
        """As it was read last."""
        return self._tables.get(project)

    def want(self, project: int) -> bool:
        """Keep this project's from now on; whether there are labelled texts of it. Reads them where nobody has asked
        for a while: Label Studio would keep an answer without them."""
        is_new = project not in self._asked
        self._asked[project] = time.monotonic()
        if is_new:
            with suppress(StoreUnavailable):
                self._refresh([project])
        return project in self._tables

    def expect(self, projects: Sequence[int]) -> None:
        """Keep these from the next `refresh` on."""
        for project in projects:
            self._asked.setdefault(project, time.monotonic())

    def renew(self, project: int) -> None:
        """Read what has changed of this one, if it is kept or few are. Raises StoreUnavailable."""
        if project in self._asked or len(self._asked) < TABLES_KEPT:
            self.expect([project])
            self._refresh([project])

    def refresh(self) -> None:
        """Read what has changed. Raises StoreUnavailable."""
        now = time.monotonic()
        for project, asked in sorted(self._asked.copy().items(), key=lambda item: -item[1])[TABLES_KEPT:]:
            if now - asked > FORGET_SECONDS:
                self._asked.pop(project, None)
                self._tables.pop(project, None)
        self._refresh(list(self._asked.copy()))

    def read(self, project: int) -> LabelledTable | None:
        """That of one project as it is now; None before any label. Raises StoreUnavailable."""
        self._asked[project] = time.monotonic()
        self.refresh()
        return self._tables.get(project)

    def _refresh(self, projects: Sequence[int]) -> None:
        for project, state in zip(projects, self._store.states(projects), strict=True):
            if state != self._state_of(project):
                with self._reading:
                    self._read(project)

    def _state_of(self, project: int) -> State:
        table = self._tables.get(project)
        return table.state if table is not None else State()

    def _read(self, project: int) -> None:
        """What has changed by now. Where the controls change meanwhile all stays until the next time."""
        [state], table = self._store.states([project]), self._tables.get(project)
        facts = self._store.facts(project)
        if facts is None:
            self._tables.pop(project, None)
            return
        if table is None or state.first != table.state.first or table.facts["controls"] != facts["controls"]:
            table = LabelledTable(facts)
        changed = self._store.buckets(project, table.state.number)
        after = self._store.facts(project)
        if after is None or after["controls"] != facts["controls"]:
            return
        known: dict[str, Entry] = {}
        for bucket, text in changed.items():
            table.put(bucket, read_bucket(text, known))
        table.facts, table.state = facts, state
        self._tables[project] = table
