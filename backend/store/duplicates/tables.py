"""What people answered to the duplicates of a text, from tables in memory: 12 bytes a key.

/predict looks into a table and asks Redis once, for a project that it was not asked for in an hour.
"""

from __future__ import annotations

import threading
import time
from array import array
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress

from backend.errors import StoreUnavailable
from backend.store.duplicates.buckets import Entry, bucket_of, read_bucket
from backend.store.duplicates.facts import LabelledFacts
from backend.store.duplicates.labelled_texts import LabelledTextStore, State
from model.labels import LabelledAnswer
from model.spec import Control, Document, TaskSpec
from model.texts import duplicate_keys

FORGET_SECONDS = 3600.0
"""A table that nobody has asked for so long goes."""

TABLES_KEPT = 200

_NONE = array("Q"), array("i")


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
            if control.name not in self.facts.places or not all(name in document for name in inputs):
                continue
            if inputs not in read:
                exact, near = duplicate_keys(inputs, control.text_of(document))
                read[inputs] = self.get(exact), self.get(near) if near is not None else ()
            answer = self._answer_of(self.facts.places[control.name], task, *read[inputs])
            if answer is not None:
                found[control.name] = answer
        return found

    def trace(self, control: Control, document: Document) -> tuple[int, bool] | None:
        """The key under which `find` sees what people answered to duplicates, and whether those are near ones."""
        place = self.facts.places[control.name]
        exact, near = duplicate_keys(control.inputs, control.text_of(document))
        if any(own.control == place for own in self.get(exact)):
            return exact, False
        return (near, True) if near is not None and any(own.control == place for own in self.get(near)) else None

    def _answer_of(self, control: int, task: int | None, exact: Entry, near: Entry) -> LabelledAnswer | None:
        for own in exact:
            if own.control == control:
                return None if task in own.against else LabelledAnswer(own.answers, self.facts.controls[control].exact)
        if not self.facts.controls[control].carries_near:
            return None
        for own in near:
            if own.control == control:
                agreement = self.facts.controls[control].near
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
        if table is None or state.first != table.state.first or list(table.facts.places) != list(facts.places):
            table = LabelledTable(facts)
        changed = self._store.buckets(project, table.state.number)
        after = self._store.facts(project)
        if after is None or list(after.places) != list(facts.places):
            return
        known: dict[str, Entry] = {}
        for bucket, text in changed.items():
            table.put(bucket, read_bucket(text, known))
        table.facts, table.state = facts, state
        self._tables[project] = table
