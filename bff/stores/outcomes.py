"""Outcomes that are being timed: since when a command has waited for the event that settles its saga, for SLOs.

The gateway that takes a command writes when it arrived. The gateway that writes the settling event to a stream, which
may be another one, removes the entry and learns how long it took; so each outcome is counted once, however many streams
and gateways get the event. All times are Redis' own, so the clocks of gateways need not agree. An entry that nobody has
removed when its time is over is removed by the gateway that wrote it, which learns in the same step whether its owner
has an open stream on any gateway. (The slots of a gateway that was killed count as open streams for up to 90 s.)

Key (after the prefix of keys.py): `{t}:outcome:<hash>`, `{t}` as in the journal: string, `<arrival in Unix ms>
<command>`; TTL from the caller.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from .keys import owner_tag, redis_key
from .redis.client import RedisClient
from .redis.scripts import Step, run_all
from .stream_slots import slots_key


class PendingOutcomes:
    """Makes the steps, and runs several of them in one write. mutation: the command's idempotency key."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis
        self._begin = redis.script("outcome_begin")
        self._take = redis.script("outcome_take")
        self._due = redis.script("outcome_due")

    def begin(self, owner: str, mutation: str, command: str, age: float, ttl: float) -> Step:
        """Time this outcome. command: names it; age: seconds since it arrived; ttl: seconds."""
        return Step(self._begin, [_key(owner, mutation)], [command, int(age * 1000), int(ttl * 1000)])

    def take(self, owner: str, mutations: Sequence[str], since: float) -> Step:
        """The event that settles these was written `since` seconds ago; see `parse_taken`."""
        return Step(self._take, [_key(owner, mutation) for mutation in mutations], [int(since * 1000)])

    def due(self, owner: str, mutation: str) -> Step:
        """Give this outcome up. Answers -1 when it was settled, otherwise how many streams its owner has open."""
        return Step(self._due, [_key(owner, mutation), slots_key(owner)], [])

    @staticmethod
    def parse_taken(answer: Sequence[Any]) -> list[tuple[str, float]]:
        """The result of `take`: each command that was waiting, and the seconds from its arrival to the event."""
        return [
            (answer[at].decode("utf-8", "replace"), int(answer[at + 1]) / 1000)
            for at in range(0, len(answer), 2)
        ]

    async def run(self, steps: Sequence[Step]) -> list[Any]:
        """Run these steps in this order, in one write. Raises StoreUnavailable."""
        return await run_all(self._redis, steps)


def _key(owner: str, mutation: str) -> str:
    hashed = hashlib.sha256(mutation.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return redis_key(owner_tag(owner), f"outcome:{hashed}")
