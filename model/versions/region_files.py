"""A version's heads for what is said about marked regions: written, taken over from another version, read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NotRequired, TypedDict

from model.errors import VersionError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from model.regions.region_head import RegionHeadJson
    from model.regions.region_heads import RegionHeads
    from model.regions.relation_head import RelationHeadJson

    Arrays = Mapping[str, NDArray[np.generic]]


class RegionHeadsJson(TypedDict):
    """What a version's JSON holds of them, as far as there are any."""

    regions: NotRequired[list[RegionHeadJson]]
    relations: NotRequired[RelationHeadJson]


def heads_json(heads: RegionHeads) -> RegionHeadsJson:
    """Their configs."""
    found: RegionHeadsJson = {}
    if heads.questions:
        found["regions"] = [head.config() for head in heads.questions.values()]
    if heads.relations is not None:
        found["relations"] = heads.relations.config()
    return found


def take_over(heads: Path, weights: Path) -> tuple[RegionHeadsJson, Arrays]:
    """The configs and arrays that a version has in these files. Nothing of one that is gone: many come in the hours of
    a training, and the next refit fits what is missing."""
    from safetensors.numpy import load_file

    if not heads.is_file():
        return {}, {}
    known: RegionHeadsJson = json.loads(heads.read_text(encoding="utf-8"))
    found: RegionHeadsJson = {}
    if "regions" in known:
        found["regions"] = known["regions"]
    if "relations" in known:
        found["relations"] = known["relations"]
    own = ("region.", "relation.")
    return found, {name: array for name, array in load_file(weights).items() if name.startswith(own)} if found else {}


def read_region_heads(heads: Path, weights: Path) -> RegionHeads:
    """Of a verified version; none of one from before there were any. Raises VersionError."""
    from model.regions.region_head import restore_region_head
    from model.regions.region_heads import RegionHeads
    from model.regions.relation_head import restore_relation_head

    name = heads.parent.name
    try:
        known, arrays = take_over(heads, weights)
        entries, ties = known.get("regions", []), known.get("relations")
        found = [restore_region_head(entry, _under(arrays, f"region.{at}.")) for at, entry in enumerate(entries)]
        relations = restore_relation_head(ties, _under(arrays, "relation.")) if ties else None
        return RegionHeads({head.control: head for head in found}, relations)
    except (OSError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise VersionError(f"{name} cannot be read: {error!r}", version=name) from error


def _under(arrays: Arrays, prefix: str) -> Arrays:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
