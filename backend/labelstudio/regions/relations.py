"""Relations between marked regions: read from annotations, and written for suggested regions.

Both ends have to be there: with one missing the page stays white. A relation to the left is one to the right from the
other end.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from backend.labelstudio.regions.answers import MarkedRegions
from backend.labelstudio.regions.rows import RegionRow, RelationRow
from backend.labelstudio.spans.control import Foreign, Result
from model.region import Region, ScoredRelation

MOST_RELATIONS = 10_000
"""Relations read of one annotation."""


def read_relations(known: Collection[str], regions: MarkedRegions, result: Sequence[object]) -> list[RelationRow]:
    """The relations of an annotation, each once; those to nothing that was marked are passed over, labels that are not
    `known` too."""
    found: dict[str, RelationRow] = {}
    for item in result[: 100 * MOST_RELATIONS]:
        if not isinstance(item, Mapping) or item.get("type") != "relation" or len(found) >= MOST_RELATIONS:
            continue
        source, target = _end(regions, item.get("from_id")), _end(regions, item.get("to_id"))
        if source is None or target is None or source == target:
            continue
        given = item.get("labels")
        labels = [one for one in given if isinstance(one, str) and one in known] if isinstance(given, list) else []
        row = _row(source, target, item, list(dict.fromkeys(labels)))
        found[repr(row)] = row
    return list(found.values())


def relation_results(relations: Sequence[ScoredRelation], ids: Mapping[Region, str]) -> Result:
    """As results. `ids`: of the regions in the same result."""
    found: Result = []
    for one in relations:
        source, target = ids.get(one.relation.source), ids.get(one.relation.target)
        if source is None or target is None or source == target:
            continue
        direction = "bi" if one.relation.both_ways else "right"
        tie = {"type": "relation", "from_id": source, "to_id": target, "direction": direction}
        found.append({**tie, "labels": list(one.relation.labels)} if one.relation.labels else tie)
    return found


def _row(source: RegionRow, target: RegionRow, item: Foreign, labels: list[str]) -> RelationRow:
    if item.get("direction") == "bi":
        first, second = sorted((source, target), key=lambda row: (row[1], row[2], row))
        return first, second, True, labels
    if item.get("direction") == "left":
        source, target = target, source
    return source, target, False, labels


def _end(regions: MarkedRegions, id_: object) -> RegionRow | None:
    marks = regions.get(id_, ()) if isinstance(id_, str) else ()
    if not marks:
        return None
    control, span = marks[0]
    return control, span.start, span.end, span.label
