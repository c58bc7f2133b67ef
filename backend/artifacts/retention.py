"""What is deleted from the object store: old versions, and half of versions. Never what is in use, or may come to be.

All ages are by the store's own clock. A version's manifest goes first; then it is asked once more whether somebody has
pinned it meanwhile, who gets it back; then its files go. Who pins looks for the manifest after pinning, so that one of
the two sees the other (decision 0069).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass

from backend.artifacts.layout import (
    CLOCK,
    RUNS,
    VERSION_NAME,
    VERSIONS,
    Listing,
    body_key,
    manifest_key,
    order_of,
    prefix_of,
    read_listing,
)
from backend.artifacts.object_store import ObjectExists, ObjectFacts
from backend.artifacts.stored_versions import StoredVersions
from model.errors import DamagedArtifact
from model.failpoints import failpoint

log = logging.getLogger(__name__)

YOUNG_SECONDS = 3600.0
"""For so long everything stays: it may be being written, announced or loaded."""

Objects = Mapping[str, ObjectFacts]


@dataclass(frozen=True)
class Swept:
    """Versions deleted because they were old, and names of which half-written or foreign files were deleted."""

    deleted: tuple[str, ...] = ()
    halves: tuple[str, ...] = ()


class Retention:
    """One project at a time. All methods raise ArtifactsUnavailable, and what `in_use` raises: then nothing more is
    deleted."""

    def __init__(self, versions: StoredVersions, newest: int) -> None:
        """`newest`: so many last versions of a project stay."""
        self.versions, self.store, self.newest = versions, versions.store, newest
        self._listings: dict[tuple[int, str], Listing | None] = {}

    def now(self) -> float:
        """The store's time."""
        self.store.put_many({CLOCK: b""})
        facts = self.store.facts(CLOCK)
        return facts.modified if facts else float("-inf")

    def kept(self, names: Collection[str], used: Collection[str], project: int) -> set[str]:
        """Of `names` those that stay whatever their age: `used`, the newest, and the encoders of both. All fine-tunes
        stay where a manifest of them cannot be read."""
        return self._with_encoders({*used, *sorted(names, key=order_of)[-self.newest :]}, names, project)

    def _with_encoders(self, chosen: Collection[str], names: Collection[str], project: int) -> set[str]:
        found = set(chosen)
        for name in sorted(set(chosen) & set(names)):
            listing = self._listing(project, name)
            if listing is None:
                found |= {other for other in names if "." not in other}
            elif listing.owner:
                found.add(listing.owner)
        return found

    def sweep(self, project: int, in_use: Callable[[], Collection[str]]) -> Swept:
        """Delete what is due. `in_use`: versions that are live, were so lately, or are pinned or read by somebody,
        asked for anew before each deletion."""
        now = self.now()
        objects = self.store.walk(f"{VERSIONS}/{int(project)}")
        groups = _by_version(objects, project)
        whole = [name for name in groups if manifest_key(project, name) in objects]
        used = in_use()
        kept = self.kept(whole, used, project)
        halves = [name for name, own in groups.items() if self._drop_strays(project, name, own, now)]
        deleted = []
        for name in whole:
            age = now - max(facts.modified for facts in groups[name].values())
            if name not in kept and age > YOUNG_SECONDS and self._retire(project, name, in_use):
                deleted.append(name)
        return Swept(tuple(deleted), tuple(halves))

    def _retire(self, project: int, name: str, in_use: Callable[[], Collection[str]]) -> bool:
        text = self.versions.manifest(project, name)
        if text is None:
            return False
        self.store.delete([manifest_key(project, name)])
        failpoint("artifacts.retire", project)
        used = in_use()
        if name in self._with_encoders(used, [*used, name], project):
            with suppress(ObjectExists):
                self.store.put_new(manifest_key(project, name), text)
            return False
        self.versions.delete_bodies(project, name)
        self._listings.pop((project, name), None)
        return True

    def _drop_strays(self, project: int, name: str, own: Objects, now: float) -> bool:
        """Old files that no manifest lists: of a push that was cut off, or of the loser of two; whether any went."""
        key = manifest_key(project, name)
        listed: set[str] = set()
        if key in own:
            listing = self._listing(project, name)
            if listing is None:
                return False
            listed = {key} | {body_key(prefix_of(project, name), body) for body in listing.bodies}
        strays = [one for one, facts in own.items() if one not in listed and now - facts.modified > YOUNG_SECONDS]
        if key not in own and (len(strays) < len(own) or self.versions.exists(project, name)):
            return False  # somebody is writing it
        self.store.delete(strays)
        return bool(strays)

    def _listing(self, project: int, name: str) -> Listing | None:
        """None where it cannot be read."""
        if (project, name) not in self._listings:
            text = self.versions.manifest(project, name)
            if text is None:
                return None
            try:
                self._listings[(project, name)] = read_listing(text, project, name)
            except DamagedArtifact as error:
                log.warning("project=%s: %s", project, error.message)
                return None
        return self._listings[(project, name)]

    def sweep_runs(self, is_over: Callable[[str], bool]) -> list[str]:
        """Delete checkpoints of trainings that are over, when they are not young; their ids."""
        now, found = self.now(), []
        for job in self.store.names(RUNS):
            objects = self.store.walk(f"{RUNS}/{job}")
            if objects and now - max(facts.modified for facts in objects.values()) > YOUNG_SECONDS and is_over(job):
                self.store.delete(sorted(objects, key=lambda key: "index" not in key))
                found.append(job)
        return found


def _by_version(objects: Objects, project: int) -> dict[str, dict[str, ObjectFacts]]:
    """The objects of each version, oldest name first."""
    groups: dict[str, dict[str, ObjectFacts]] = {}
    start = f"{VERSIONS}/{int(project)}/"
    for key, facts in objects.items():
        name = key.removeprefix(start).partition("/")[0]
        if VERSION_NAME.fullmatch(name):
            groups.setdefault(name, {})[key] = facts
    return {name: groups[name] for name in sorted(groups, key=order_of)}
