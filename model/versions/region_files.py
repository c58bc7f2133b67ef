"""Reads a version's heads for questions about marked regions."""

from __future__ import annotations

import json
from pathlib import Path

from model.errors import VersionError
from model.regions.region_head import RegionHead, restore_region_head
from model.versions.directory import HEADS, WEIGHTS, HeadsJson, arrays_under


def read_region_heads(directory: Path) -> dict[str, RegionHead]:
    """Of a verified version; none of one from before there were any. Raises VersionError."""
    from safetensors.numpy import load_file

    try:
        state: HeadsJson = json.loads((directory / HEADS).read_text(encoding="utf-8"))
        entries = state.get("regions", [])
        arrays = load_file(directory / WEIGHTS) if entries else {}
        heads = [
            restore_region_head(entry, arrays_under(arrays, f"region.{index}.")) for index, entry in enumerate(entries)
        ]
        return {head.control: head for head in heads}
    except (OSError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise VersionError(f"{directory.name} cannot be read: {error!r}", version=directory.name) from error
