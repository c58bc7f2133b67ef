"""What annotators are called in Label Studio: for the page of people and its twin, and for nothing else."""

from __future__ import annotations

from collections.abc import Mapping

from backend.redis_access.connection import Client, guarded
from backend.redis_access.keys import PEOPLE, PEOPLE_ASKED

NAME_CHARACTERS = 80


class PeopleStore:
    """Number -> name of the users of Label Studio. All methods raise StoreUnavailable when Redis does not answer or
    refuses."""

    def __init__(self, client: Client) -> None:
        self._redis = client

    @guarded
    def claim(self, seconds: int) -> bool:
        """Whether nobody has asked for the names within the last `seconds`: then the caller does."""
        return bool(self._redis.set(PEOPLE_ASKED, "1", nx=True, ex=seconds))

    @guarded
    def replace(self, names: Mapping[int, str]) -> None:
        """In place of all that were known."""
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.delete(PEOPLE)
        if names:
            pipeline.hset(PEOPLE, mapping={str(number): name[:NAME_CHARACTERS] for number, name in names.items()})
        pipeline.execute()

    @guarded
    def forget(self) -> None:
        """Nobody is called anything; the next one may ask at once."""
        self._redis.delete(PEOPLE, PEOPLE_ASKED)

    @guarded
    def names(self) -> dict[int, str]:
        """Of those that are known."""
        return {int(number): name for number, name in self._redis.hgetall(PEOPLE).items()}
