"""The encoders that versions were made with: whether every machine has them, and whether names give what they gave."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from backend.base_model.former import describe_cure, describe_lack, live_digest
from backend.doctor.verdict import Verdict, fail, ok, warn
from backend.settings.settings import Settings
from backend.store.stores import Stores
from backend.store.work.known_encoders import CHANGED, REMEDY


def check_encoders(settings: Settings, stores: Stores, projects: Sequence[int]) -> Iterator[Verdict]:
    """Raises StoreUnavailable."""
    name, known = "encoder's files", stores.versions.encoders
    changed = known.changed()
    for line in changed:
        yield warn(name, f"{CHANGED}: {line}", REMEDY)
    if not changed:
        yield ok(name, "every name gives what it gave when it was used first")
    for line in known.unusable():
        yield fail("base model in use", line, "set BASE_MODEL there to what can be used (docs/encoders.md), start anew")
    for project, version in stores.versions.live_of(projects).items():
        digest = live_digest(settings, project, version)
        if digest and (hosts := known.missing_on(digest)):
            source = known.find(digest)
            seen = describe_lack(hosts, digest, source)
            yield fail(f"project {project}: encoder", seen, describe_cure(project, source))
