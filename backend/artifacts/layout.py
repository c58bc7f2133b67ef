"""Where things lie in the object store, and what a manifest there may say.

versions/<project>/<version>/manifest.json          written last, once, as it lies on disk
versions/<project>/<version>/<sha256>/<file>        what it lists: two writers never overwrite one another's
runs/<job>/index.json, runs/<job>/<sha256>/<file>   how far a training is
exports/<project>/<export>/…                        finished exports (backend/export/archive/stored.py)
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from model.errors import DamagedArtifact

VERSIONS, RUNS, EXPORTS, CLOCK = "versions", "runs", "exports", "clock"

MANIFEST = "manifest.json"

VERSION_NAME = re.compile(r"v[0-9]{1,9}(\.[0-9]{1,9})?")
"""That of model/versions/directory.py, which takes a second to import."""

SHA256 = re.compile(r"[0-9a-f]{64}")

FILE_NAME = re.compile(r"(?:[A-Za-z0-9_-][A-Za-z0-9._-]*/)?[A-Za-z0-9_-][A-Za-z0-9._-]*")
"""A version's files lie in its directory, or in the one folder of an encoder; none begins with a dot."""


@dataclass(frozen=True)
class Body:
    """A file of a version: `size` in bytes."""

    name: str
    sha256: str
    size: int


@dataclass(frozen=True)
class Listing:
    """What a manifest says of files. `text`: the manifest itself, byte for byte. `owner`: the version that holds its
    encoder, where that is another one."""

    text: bytes
    bodies: tuple[Body, ...]
    owner: str | None = None


def prefix_of(project: int, version: str) -> str:
    """Of all keys of a version."""
    return f"{VERSIONS}/{int(project)}/{version}"


def manifest_key(project: int, version: str) -> str:
    return f"{prefix_of(project, version)}/{MANIFEST}"


def body_key(prefix: str, body: Body) -> str:
    return f"{prefix}/{body.sha256}/{body.name}"


def read_listing(text: bytes, project: int, version: str) -> Listing:
    """What the manifest of `version` lists. Raises DamagedArtifact; also for one of another version, and for names that
    would lead out of its directory."""
    try:
        data = json.loads(text)
        if (data["version"], data["project"]) != (version, project):
            raise ValueError("it is another version's")
        owner = data.get("finetuned")
        if owner is not None and not VERSION_NAME.fullmatch(owner):
            raise ValueError("the name of its encoder's version is none")
        bodies = read_bodies(data["files"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedArtifact(
            f"{version}: the manifest in the object store cannot be used: {error}", version=version
        ) from error
    return Listing(text, bodies, owner if owner != version else None)


def read_bodies(files: Mapping[str, Mapping[str, object]]) -> tuple[Body, ...]:
    """Raises ValueError, KeyError or TypeError for what is no list of files."""
    found = []
    for name, facts in files.items():
        sha256, size = facts["sha256"], facts["size"]
        if not FILE_NAME.fullmatch(name) or name == MANIFEST:
            raise ValueError(f"{name!r} is no file of a version")
        if not isinstance(sha256, str) or not SHA256.fullmatch(sha256) or not isinstance(size, int) or size < 0:
            raise ValueError(f"{name} has no digest or no size")
        found.append(Body(name, sha256, size))
    return tuple(found)


def order_of(version: str) -> tuple[int, int]:
    """Sort key: (fine-tune, refit)."""
    tuned, _, refit = version.removeprefix("v").partition(".")
    return int(tuned), int(refit or 0)
