"""Patterns that people brought for controls that mark text: one lexicon a control, as its canonical JSON."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypedDict

from backend.redis_access.connection import Client, guarded, read_all
from backend.redis_access.keys import project_key

if TYPE_CHECKING:
    from model.spans.patterns.lexicon import Lexicon

FITTED = "patterns_fitted"
"""In a project's `meta`: digests that the last refit has read."""


class StoredPatterns(TypedDict):
    """What is told of one control's without reading them: when they came (epoch seconds), patterns by label."""

    digest: str
    at: float
    counts: Mapping[str, int]
    bytes: int


class PatternStore:
    """All methods raise StoreUnavailable when Redis does not answer or refuses."""

    def __init__(self, client: Client) -> None:
        self._redis = client

    @guarded
    def save(self, project: int, control: str, lexicon: Lexicon) -> None:
        """In place of what was there."""
        about: StoredPatterns = {
            "digest": lexicon.digest,
            "at": time.time(),
            "counts": lexicon.counts(),
            "bytes": len(lexicon.text.encode()),
        }
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.hset(project_key(project, "patterns"), control, lexicon.text)
        pipeline.hset(project_key(project, "patterns:about"), control, json.dumps(about))
        pipeline.execute()

    @guarded
    def remove(self, project: int, control: str) -> bool:
        """Whether there were any."""
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.hdel(project_key(project, "patterns"), control)
        pipeline.hdel(project_key(project, "patterns:about"), control)
        return bool(pipeline.execute()[0])

    @guarded
    def text(self, project: int, control: str) -> str | None:
        """The lexicon of a control; None where there is none."""
        found = self._redis.hget(project_key(project, "patterns"), control)
        return None if found is None else str(found)

    @guarded
    def texts(self, project: int) -> dict[str, str]:
        """Control -> its lexicon."""
        return dict(self._redis.hgetall(project_key(project, "patterns")))

    @guarded
    def about(self, project: int) -> dict[str, StoredPatterns]:
        """Control -> what is told of its patterns, where that can be read."""
        return _about(project, self._redis.hgetall(project_key(project, "patterns:about")))

    def digests(self, project: int) -> dict[str, str]:
        """Control -> digest of its patterns."""
        return {control: own["digest"] for control, own in self.about(project).items()}

    @guarded
    def note_fitted(self, project: int, digests: Mapping[str, str]) -> None:
        """A refit has read these: control -> digest."""
        key = project_key(project, "meta")
        if digests or self._redis.hexists(key, FITTED):
            self._redis.hset(key, FITTED, json.dumps(dict(digests), sort_keys=True))

    @guarded
    def is_pending(self, project: int) -> bool:
        """Whether there are others than the last refit has read."""
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.hgetall(project_key(project, "patterns:about"))
        pipeline.hget(project_key(project, "meta"), FITTED)
        known, fitted = pipeline.execute()
        digests = {control: own["digest"] for control, own in _about(project, known).items()}
        # What was fitted and cannot be read is fitted anew.
        return digests not in read_all([fitted or "{}"], dict, f"digests of fitted patterns of project {project}")


def _about(project: int, texts: Mapping[str, str]) -> dict[str, StoredPatterns]:
    found: dict[str, StoredPatterns] = {}
    for control, text in sorted(texts.items()):
        for own in read_all([text], _stored, f"patterns of project {project}"):
            found[control] = own
    return found


def _stored(data: StoredPatterns) -> StoredPatterns:
    """Raises AttributeError, KeyError, TypeError or ValueError on foreign data."""
    at, counts = float(data["at"]), {str(label): int(count) for label, count in data["counts"].items()}
    if not math.isfinite(at) or min(counts.values(), default=0) < 0:
        raise ValueError("no time, or no number of patterns")
    return {"digest": str(data["digest"]), "at": at, "counts": counts, "bytes": int(data["bytes"])}
