"""All that is learned about marked regions: a head for each question about them, and one for their relations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from model.regions.region_head import RegionHead
from model.regions.relation_head import RelationHead


@dataclass(frozen=True)
class RegionHeads:
    """`questions`: by name; `relations`: None in a project without."""

    questions: Mapping[str, RegionHead] = field(default_factory=dict)
    relations: RelationHead | None = None

    def tensors(self) -> dict[str, NDArray[np.generic]]:
        """Arrays of all, those of questions numbered by their places."""
        found: dict[str, NDArray[np.generic]] = {}
        for index, head in enumerate(self.questions.values()):
            found.update({f"region.{index}.{key}": value for key, value in head.tensors().items()})
        if self.relations is not None:
            found.update({f"relation.{key}": value for key, value in self.relations.tensors().items()})
        return found
