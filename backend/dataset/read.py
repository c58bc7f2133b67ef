"""A project's rows, read from the store portion by portion."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
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
from backend.rules.consensus import SLIP_SHARE, reach_consensus
from backend.store.stores import Stores
from model.spec import Control, Kind, TaskSpec

PORTION_TASKS = 250
"""Tasks in memory at a time."""

Line = DatasetHeader | DatasetRow | DatasetEnd


def read_dataset(stores: Stores, project: int, test_share: float, name: Namer) -> Iterator[Line]:
    """A header, the rows by task id, and an end with their number. What is answered while it is read may be in it or
    not. Raises NotFound for a project whose label config is not known.

    In memory: a number for each annotation, the tasks that several people have answered (only all of them say how
    reliable each is), and PORTION_TASKS others."""
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
        several = self._find_sets(tasks)
        shared = tasks.shared
        together = reach_consensus(self.spec, (one for part in self._portions(shared) for one in part), several)
        wording = Wording(together.spec)
        yield DatasetHeader(
            project=self.project,
            title=self.stores.projects.title(self.project),
            annotations=len(tasks),
            seq=seq,
            controls=[
                *(_describe(control, wording, several) for control in self.spec.questions),
                *(_describe(control, wording, several, of_regions=True) for control in self.spec.regions),
            ],
            relations=self.spec.relations is not None,
        )
        maker = RowMaker(wording, read_known(self.stores, self.project), test_share, name)
        agreed, written = by_task(together), 0
        for records in self._portions(tasks):
            alone = [record for record in records if not shared.holds(record.task)]
            found = {**agreed, **by_task(reach_consensus(self.spec, alone, several))}
            for task, own in _group(records).items():
                if task in found:
                    written += 1
                    yield maker.make(task, own, found[task])
        yield DatasetEnd(end=written, damaged=len(self.damaged))

    def _find_sets(self, tasks: TaskIndex) -> dict[str, bool]:
        """Taxonomy -> whether it is answered with sets: all answers say that together, a slip in hundreds does not."""
        trees = [control for control in self.spec.questions if control.kind is Kind.TAXONOMY]
        answers: Counter[str] = Counter()
        sets: Counter[str] = Counter()
        for records in self._portions(tasks) if trees else ():
            for record in records:
                for control in trees:
                    paths = record.targets.get(control.name, ())
                    answers[control.name] += 1
                    sets[control.name] += not isinstance(paths, int) and len(paths) > 1
        return {
            control.name: control.most != 1 and sets[control.name] >= max(1.0, SLIP_SHARE * answers[control.name])
            for control in trees
        }

    def _portions(self, tasks: TaskIndex) -> Iterator[list[ExampleRecord]]:
        """The records of PORTION_TASKS tasks at a time, by task."""
        for ids in tasks.portions(PORTION_TASKS):
            records, damaged = self.stores.examples.read_many(self.project, ids)
            self.damaged.update(damaged)
            yield records


def _group(records: Sequence[ExampleRecord]) -> dict[int, list[ExampleRecord]]:
    found: dict[int, list[ExampleRecord]] = {}
    for record in records:
        found.setdefault(record.task, []).append(record)
    return found


def _describe(
    control: Control, wording: Wording, several: Mapping[str, bool], *, of_regions: bool = False
) -> ControlJson:
    return ControlJson(
        name=control.name,
        kind=control.kind.value,
        inputs=[wording.input(name) for name in control.inputs],
        labels=[control.show(key) for key in control.keys()],  # noqa: SIM118 (no mapping)
        several=control.multilabel or several.get(control.name, False),
        of_regions=of_regions,
    )
