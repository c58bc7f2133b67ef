"""How far each project is on its way from a former encoder to the one that BASE_MODEL names, and what people want."""

from __future__ import annotations

import json
import time
from enum import StrEnum
from typing import TypedDict

from backend.redis_access.connection import Client, guarded
from backend.redis_access.keys import project_key

FIELD, WISH = "encoder", "encoder_wish"
"""In the project's hash `cfg`."""

RETRY_GROWTH, RETRY_LABELS = 1.25, 16
"""A refused encoder is compared again on so many times the labels, and so many more."""


class Wish(StrEnum):
    """What people decided: the new encoder whatever the comparison says, the old one, or what is better."""

    TAKE, KEEP, COMPARE = "take", "keep", "compare"


class EncoderChangeJson(TypedDict, total=False):
    """`state`: encoding, refused or taken; `digest`: of the encoder that is gone to; `left`: texts to be encoded;
    `labels`: when it was compared; `reason`: what the comparison said; `gains`: points of accuracy that each control
    gained in it (F1 of marked text), on labels held out; `cost`: the work of a text, as a multiple of the former's."""

    state: str
    digest: str
    left: int
    labels: int
    reason: str
    gains: dict[str, float]
    cost: float
    at: float


class EncoderChanges:
    """Over one Redis. Raises StoreUnavailable."""

    def __init__(self, client: Client) -> None:
        self._redis = client

    @guarded
    def save(self, project: int, change: EncoderChangeJson) -> None:
        """Where it stands now."""
        self._redis.hset(project_key(project, "cfg"), FIELD, json.dumps({**change, "at": time.time()}))

    @guarded
    def read(self, project: int) -> EncoderChangeJson:
        """{} where no encoder was ever changed."""
        found: EncoderChangeJson = json.loads(self._redis.hget(project_key(project, "cfg"), FIELD) or "{}")
        return found

    @guarded
    def choose(self, project: int, wish: Wish) -> None:
        """What is to be done from now on."""
        self._redis.hset(project_key(project, "cfg"), WISH, wish.value)

    @guarded
    def wish(self, project: int) -> Wish:
        """COMPARE unless people have said something else."""
        return Wish(str(self._redis.hget(project_key(project, "cfg"), WISH) or Wish.COMPARE))


def describe_change(changes: EncoderChanges, project: int) -> dict[str, str]:
    """What is told of a project that does not answer by BASE_MODEL's encoder yet: {} where it does. Raises as above."""
    change = changes.read(project)
    if change.get("state") in ("encoding", "refused") and changes.wish(project) is Wish.KEEP:
        return {"encoder of BASE_MODEL": "not taken, as people decided; the former one goes on"}
    if change.get("state") == "encoding":
        words = f"{change.get('left', 0)} labelled texts are still to be encoded; the former one answers until then"
        return {"encoder of BASE_MODEL": words}
    if change.get("state") == "refused":
        how = f"compared again on more labels, or say `understudy encoder {project} --take`"
        words = f"not taken, the former one goes on: {change.get('reason', '')}; {how}"
        return {"encoder of BASE_MODEL": words}
    return {}
