"""What a version says about itself: `manifest.json` in its directory."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, timezone
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from model.errors import VersionError

if TYPE_CHECKING:
    from model.evidence.gate import VerdictJson
    from model.spec import SpecJson

LIBRARIES = ("torch", "transformers", "numpy", "scikit-learn", "safetensors")


class FileFacts(TypedDict):
    """What a file of a version must be."""

    sha256: str
    size: int


@dataclass(frozen=True)
class Manifest:
    """Everything known about a version besides its weights. `files` maps names to sha256 and size."""

    version: str
    project: int
    parent: str | None
    kind: str  # head | finetune
    snapshot_seq: int
    spec: SpecJson
    spec_digest: str
    encoder_digest: str
    labels_seen: Mapping[str, int] = field(default_factory=dict)
    finetuned: str | None = None  # the version whose directory holds the encoder weights
    status: str = "published"  # published | challenger
    reason: str = ""
    metrics: Mapping[str, Mapping[str, float] | int] = field(default_factory=dict)
    """Of each control; and `pool`, how many unlabelled tasks a refit read."""
    incumbent_metrics: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    gate: Mapping[str, VerdictJson] | None = None
    seed: int = 0
    created_at: str = ""
    libraries: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, FileFacts] = field(default_factory=dict)

    @property
    def pool(self) -> int:
        """Unlabelled tasks that a refit read; 0 where that is not said."""
        count = self.metrics.get("pool", 0)
        return count if isinstance(count, int) else 0

    def to_json(self) -> str:
        """The text of manifest.json."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=True)


def read_manifest(directory: Path) -> Manifest:
    """The manifest of a version directory. Raises VersionError."""
    try:
        data = json.loads((directory / "manifest.json").read_text(encoding="utf-8"))
        known = {item.name for item in fields(Manifest)}
        return Manifest(**{key: value for key, value in data.items() if key in known})
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise VersionError(f"{directory.name}: the manifest cannot be read: {error}", version=directory.name) from error


def library_versions() -> dict[str, str]:
    """Installed versions that a result may depend on."""
    return {"python": platform.python_version(), **{name: installed(name) for name in LIBRARIES}}


def now() -> str:
    """UTC, ISO 8601, seconds."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
