"""The object store of ARTIFACTS_URL: it takes what it is given, gives it back, and has every live version."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping

from backend.artifacts.artifacts import Artifacts, open_artifacts
from backend.doctor.verdict import Verdict, fail, ok, warn
from backend.errors import ArtifactsUnavailable, MissingPackage
from backend.settings.settings import Settings

SLOW_SECONDS = 0.5
"""Of writing, reading and deleting a small object: a label becomes a version within about three times that."""

PROBES = "probe"


def check_object_store(settings: Settings, live: Mapping[int, str | None]) -> Iterator[Verdict]:
    """Nothing where ARTIFACTS_URL is not set. `live`: the live version of each project, as Redis has it."""
    artifacts = open_artifacts(settings, frozenset)
    if artifacts is None:
        return
    verdict = check_round_trip(artifacts)
    yield verdict
    if verdict.state != "fail":
        yield check_live(artifacts, live)


def check_round_trip(artifacts: Artifacts) -> Verdict:
    """Writes, reads and deletes an object of its own."""
    name, url, store = "object store", artifacts.store.url, artifacts.store
    key, data = f"{PROBES}/{secrets.token_hex(8)}", secrets.token_bytes(64)
    began = time.monotonic()
    try:
        store.put_new(key, data)
        same = store.get_many([key]).get(key) == data
        store.delete([key])
    except MissingPackage as error:
        return fail(name, error.message, "install it in the environment, or the image, that understudy runs in")
    except ArtifactsUnavailable as error:
        remedy = (
            "check ARTIFACTS_URL, that the bucket exists, the endpoint and the credentials (AWS_ENDPOINT_URL, "
            "AWS_ACCESS_KEY_ID, …), and that they may read, write, list and delete"
        )
        return fail(name, error.message, remedy)
    seconds = time.monotonic() - began
    if not same:
        return fail(name, f"{url} gave back other bytes than it was given", "use a store that can be relied on")
    seen = f"{url} writes, reads and deletes in {seconds:.2f} s"
    if seconds > SLOW_SECONDS:
        return warn(name, seen, "use a store, or a region, that is nearer: every label waits for it")
    return ok(name, seen)


def check_live(artifacts: Artifacts, live: Mapping[int, str | None]) -> Verdict:
    """Machines that start get what is live from the store."""
    name = "versions in the object store"
    known = {project: version for project, version in live.items() if version}
    try:
        missing = [f"{p} {version}" for p, version in known.items() if not artifacts.versions.exists(p, version)]
    except ArtifactsUnavailable as error:
        return fail(name, error.message, "see the object store above")
    if missing:
        remedy = "start a scheduler where its files are: it hands them over within ten minutes; or retrain the project"
        return fail(name, f"it lacks live versions: {', '.join(missing[:5])}", remedy)
    return ok(name, f"it has the live versions of {len(known)} projects")
