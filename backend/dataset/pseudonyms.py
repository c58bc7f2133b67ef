"""Names for annotators that say who is the same person, and not who it is."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from enum import Enum


class People(str, Enum):
    """What stands for an annotator: a pseudonym, Label Studio's own id, or nothing."""

    PSEUDONYMS = "pseudonyms"
    IDS = "ids"
    NONE = "none"


Namer = Callable[[int | None], str]


def name_people(people: People, secret: str, project: int) -> Namer:
    """Annotator's id -> name; "" for one whom Label Studio does not name.

    Pseudonyms are the same in every export of a project, others in the next one, and cannot be told without the
    installation's `secret`: ids are small numbers, so that a plain hash would be looked up in a minute."""
    if people is People.NONE:
        return lambda annotator: ""
    if people is People.IDS:
        return lambda annotator: "" if annotator is None else str(annotator)
    key = hmac.digest(secret.encode(), f"annotators of {project}".encode(), "sha256")

    def pseudonym(annotator: int | None) -> str:
        if annotator is None:
            return ""
        return f"annotator-{hmac.digest(key, str(annotator).encode(), 'sha256').hex()[:8]}"

    return pseudonym
