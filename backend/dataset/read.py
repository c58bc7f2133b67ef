"""A project's rows, read from the store portion by portion."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from backend.dataset.agreed import by_task
from backend.dataset.answers import RowMaker
from backend.dataset.known import read_known
from backend.dataset.pseudonyms import Namer
from backend.dataset.row import ControlJson, DatasetEnd, DatasetHeader, DatasetRow
from backend.dataset.task_index import TaskIndex
from backend.dataset.wording import Wording
from backend.errors import NotFound
from backend.labelstudio.label_display import spec_of
from backend.labelstudio.records import ExampleRecord
from backend.rules.consensus import Known, Tally, reach_consensus
from backend.store.stores import Stores
from model.spec import Control, TaskSpec

PORTION_TASKS = 250
"""Tasks in memory at a time."""

Line = DatasetHeader | DatasetRow | DatasetEnd


def read_dataset(stores: Stores, project: int, test_share: float, name: Namer) -> Iterator[Line]:
    """A header, the rows by task id, and an end with their number. What is answered while it is read may be in it or
    not. Raises NotFound for a project whose label config is not known.

    In memory: two numbers for each annotation, what all together say of the annotators (`Tally`), and PORTION_TASKS
    tasks. Those that several people have answered are read twice: only all of them say how reliable each is."""
    spec = spec_of(stores.projects.config(project))
    if spec is None:
        raise NotFound(f"project {project}: its label config is not known, or holds nothing to learn")
    return _Reader(stores, project, spec).read(test_share, name)


@dataclass
class _Reader:
    stores: Stores
    project: int
    spec: TaskSpec
    damaged: set[int] = field(default_factory=set)

    def read(self, test_share: float, name: Namer) -> Iterator[Line]:
        seq = self.stores.examples.seq(self.project)
        tasks = TaskIndex.build(np.frombuffer(self.stores.examples.task_pairs(self.project), np.int64))
        known = self._tally(tasks)
        wording = Wording(known.spec)
        yield DatasetHeader(
            project=self.project,
            title=self.stores.projects.title(self.project),
            annotations=len(tasks),
            seq=seq,
            controls=[
                *(_describe(control, wording) for control in known.spec.questions),
                *(_describe(control, wording, of_regions=True) for control in known.spec.regions),
            ],
            relations=self.spec.relations is not None,
        )
        maker = RowMaker(wording, read_known(self.stores, self.project), test_share, name)
        written = 0
        for records in self._portions(tasks):
            found = by_task(reach_consensus(self.spec, records, known))
            for task, own in _group(records).items():
                if task in found:
                    written += 1
                    yield maker.make(task, own, found[task])
        yield DatasetEnd(end=written, damaged=len(self.damaged))

    def _tally(self, tasks: TaskIndex) -> Known:
        tally = Tally(self.spec)
        for records in self._portions(tasks, shared=tally.of_shared):
            tally.add(records)
        return tally.finish()

    def _portions(self, tasks: TaskIndex, *, shared: bool = False) -> Iterator[list[ExampleRecord]]:
        """The records of PORTION_TASKS tasks at a time, by task; `shared`: of those with several annotations."""
        for ids in tasks.portions(PORTION_TASKS, shared=shared):
            records, damaged = self.stores.examples.read_many(self.project, ids)
            self.damaged.update(damaged)
            yield records


def _group(records: Sequence[ExampleRecord]) -> dict[int, list[ExampleRecord]]:
    found: dict[int, list[ExampleRecord]] = {}
    for record in records:
        found.setdefault(record.task, []).append(record)
    return found


def _describe(control: Control, wording: Wording, *, of_regions: bool = False) -> ControlJson:
    return ControlJson(
        name=control.name,
        kind=control.kind.value,
        inputs=[wording.input(name) for name in control.inputs],
        labels=[control.show(key) for key in control.keys()],  # noqa: SIM118 (no mapping)
        several=control.multilabel,
        of_regions=of_regions,
    )
