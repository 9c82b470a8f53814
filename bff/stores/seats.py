"""Seats: how many streams one owner has open, counted exactly over all processes.

Promises that at no moment more than the cap hold a seat: whoever comes when all are taken gets the one held longest,
in one step, and its stream is told to end on the owner's channel (`end <seat>`). A process that died keeps its seats
for `LEASE` seconds at most. Refuses nobody.

Key: `bff:{t}:seats`, `{t}` as in the journal: sorted set of `<opened>-<id>` (`opened` in Unix milliseconds, 13 digits)
by the millisecond at which the seat is free again; TTL `LEASE` from the last renewal.
"""

from __future__ import annotations

import itertools
import secrets
import time
from collections.abc import Callable, Mapping, Sequence

from .journal import channel_of, owner_tag
from .link import RedisLink, reaching
from .scripts import Step

LEASE = 90.0
"""Seconds; renewed at least every 40."""

_named = itertools.count()


def seat(opened: float) -> str:
    """A new seat's name. opened: Unix seconds by Redis; whoever opened first gives way first, and of those that this
    process opened in the same millisecond the one named first."""
    return f"{int(opened * 1000):013d}-{next(_named) % 2**24:06x}{secrets.token_hex(6)}"


class Seats:
    """clock: Unix seconds, the same in all processes. Every method raises StoreUnavailable when Redis is away."""

    def __init__(self, link: RedisLink, clock: Callable[[], float] = time.time) -> None:
        self._link = link
        self._clock = clock
        self._hold = link.script("seats_hold")

    async def hold(self, owner: str, cap: int, seats: Sequence[str]) -> list[str]:
        """Take or renew these seats of `cap`; the seats that gave way, of this process or of another."""
        step = self.holding(owner, cap, seats)
        return self.gave_way(await step.script(step.keys, step.args))

    def holding(self, owner: str, cap: int, seats: Sequence[str]) -> Step:
        """`hold` as a step among others."""
        args: list[str | int] = [cap, int(LEASE * 1000), channel_of(owner), self._link.publish, *seats]
        return Step(self._hold, [_key(owner)], args)

    @staticmethod
    def gave_way(answer: Sequence[bytes]) -> list[str]:
        """What `holding` answered."""
        return [one.decode() for one in answer]

    async def renew(self, held: Mapping[str, Sequence[str]]) -> list[tuple[str, int]]:
        """Renew these seats by owner, taking those again that were lost, in one round trip. The owners, and how many
        seats each has taken in all: for more than there are, `hold` decides who gives way."""
        until = int((self._clock() + LEASE) * 1000)
        with reaching("seats"):
            async with self._link.client.pipeline(transaction=False) as pipe:
                for owner, seats in held.items():
                    key = _key(owner)
                    pipe.zadd(key, dict.fromkeys(seats, until))
                    pipe.pexpire(key, int(LEASE * 1000))
                    pipe.zcard(key)
                answers = await pipe.execute()
        return list(zip(held, answers[2::3], strict=True))

    async def leave(self, left: Mapping[str, Sequence[str]]) -> None:
        """Free these seats by owner, in one round trip."""
        with reaching("seats"):
            async with self._link.client.pipeline(transaction=False) as pipe:
                for owner, seats in left.items():
                    pipe.zrem(_key(owner), *seats)
                await pipe.execute()


def _key(owner: str) -> str:
    return f"bff:{{{owner_tag(owner)}}}:seats"
