"""From stored annotations to the relations of each text: whoever and however many drew them.

Pure. Where a task has ground truths, these alone count. A relation is believed as far as those who marked both its
regions drew it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from backend.labelstudio.records import ExampleRecord
from backend.labelstudio.regions.rows import RelationRow
from model.region import Region, Relation, RelationSample
from model.spec import TaskSpec


def reach_relation_consensus(spec: TaskSpec, by_task: Mapping[int, Sequence[ExampleRecord]]) -> list[RelationSample]:
    """By task, of each text in which anything is marked; none of a config without relations."""
    if spec.relations is None:
        return []
    known, inputs = set(spec.relations), {control.inputs[0]: None for control in spec.spans}
    found = []
    for task in sorted(by_task):
        records = _counted(by_task[task])
        for name in inputs:
            controls = [control.name for control in spec.spans if control.inputs[0] == name]
            if sample := _sample(task, name, controls, known, records):
                found.append(sample)
    return found


def _counted(records: Sequence[ExampleRecord]) -> list[ExampleRecord]:
    """One a person, the newest; ground truths alone where there are some."""
    people: dict[tuple[str, int], ExampleRecord] = {}
    for record in sorted(records, key=lambda one: (one.ground_truth, one.version, one.annotation)):
        if record.relations is not None:
            person = ("annotation", record.annotation) if record.annotator is None else ("person", record.annotator)
            people[person] = record
    sure = [record for record in people.values() if record.ground_truth]
    return sure or list(people.values())


def _sample(
    task: int, name: str, controls: Sequence[str], known: set[str], records: Sequence[ExampleRecord]
) -> RelationSample | None:
    here = [record for record in records if name in record.texts]
    if not here:
        return None
    text = max(here, key=lambda one: one.version).texts[name]
    marked: list[set[Region]] = []
    drawn: Counter[Relation] = Counter()
    for record in (one for one in here if one.texts[name] == text):
        regions = {Region(control, *row) for control in controls for row in record.spans.get(control, ())}
        marked.append({region for region in regions if region.end <= len(text)})
        drawn.update({one for row in record.relations or () if (one := _relation(row, known, marked[-1])) is not None})
    whole = sorted(set().union(*marked))
    if len(whole) < 2:
        return None
    shares = {
        one: count / sum(one.source in own and one.target in own for own in marked) for one, count in drawn.items()
    }
    return RelationSample(task, text, tuple(whole), shares)


def _relation(row: RelationRow, known: set[str], regions: set[Region]) -> Relation | None:
    """None where an end is of another text."""
    source, target = Region(*row[0]), Region(*row[1])
    if source not in regions or target not in regions:
        return None
    return Relation(source, target, tuple(label for label in row[3] if label in known), row[2])
