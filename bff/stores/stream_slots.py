"""Seats: how many streams one owner has open, counted exactly over all processes.

Promises that at no moment more than the cap hold a seat: whoever comes when all are taken gets the one held longest,
in one step, and its stream is told to end on the owner's channel (`end <seat>`). Before anybody gives way the processes
that hold seats are looked at: what a dead one (`processes.py`) held is free at once. One that was only away takes its
seats again when it finds out, and whoever opened first gives way. Refuses nobody.

Keys: `bff:{t}:seats`, `{t}` as in the journal: sorted set of `<opened>-<process>-<id>` (`opened` in Unix milliseconds,
13 digits) by the millisecond at which the seat is free in any case; TTL `LEASE` from the last renewal.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .journal import channel_of, owner_tag
from .processes import Processes
from .redis.client import RedisClient, raise_refusals, store_errors
from .redis.connection import Packable
from .redis.scripts import Step

LEASE = 90.0
"""Seconds; renewed at least every 40."""


class StreamSlots:
    """One process's way to them. clock: Unix seconds, the same in all processes; processes: who else there is, and this
    one's id. Every method raises StoreUnavailable when Redis is away."""

    def __init__(
        self,
        redis: RedisClient,
        clock: Callable[[], float] = time.time,
        *,
        processes: Processes | None = None,
    ) -> None:
        self.processes = processes or Processes(redis)
        self._redis = redis
        self._clock = clock
        self._hold = redis.script("seats_hold")
        self._process = self.processes.id
        self._number = 0

    def new_slot(self, opened: float) -> str:
        """A new seat's name. opened: Unix seconds; whoever opened first gives way first, and of those that this process
        opened in the same millisecond the one named first."""
        self._number += 1
        return f"{int(opened * 1000):013d}-{self._process}-{self._number % 2**24:06x}"

    async def hold(self, owner: str, cap: int, seats: Sequence[str]) -> list[str]:
        """Take or renew these seats of `cap`; the seats that gave way, of this process or of another."""
        done, told = self.parse_hold(await self._take(self.hold_step(owner, cap, seats)))
        if not done:
            dead = await self.processes.dead(told)
            _, told = self.parse_hold(await self._take(self.hold_step(owner, cap, seats, dead=dead)))
        return told

    def hold_step(
        self, owner: str, cap: int, seats: Sequence[str], *, dead: Sequence[str] | None = None
    ) -> Step:
        """`hold` as a step among others. dead: processes known to be; None while nobody has looked."""
        args: list[str | int] = [
            cap,
            int(LEASE * 1000),
            channel_of(owner),
            self._redis.publish_command,
            self._process,
        ]
        args += [""] if dead is None else [len(dead), *dead]
        return Step(self._hold, [_key(owner)], [*args, *seats])

    @staticmethod
    def parse_hold(answer: tuple[int, Sequence[bytes]]) -> tuple[bool, list[str]]:
        """What `holding` answered: whether the seats are taken, and those that gave way; or, where they are not, the
        processes to look at before anybody gives way."""
        done, told = answer
        return bool(done), [one.decode() for one in told]

    @staticmethod
    async def _take(step: Step) -> Any:
        return await step.script(step.keys, step.args)

    async def renew(self, held: Mapping[str, Sequence[str]]) -> list[tuple[str, int]]:
        """Renew these seats by owner, taking those again that were lost, in one round trip. The owners, and how many
        seats each has taken in all: for more than there are, `hold` decides who gives way."""
        until = int((self._clock() + LEASE) * 1000)
        asked: list[tuple[Packable, ...]] = []
        for owner, seats in held.items():
            key = _key(owner)
            scored = (word for seat in seats for word in (until, seat))
            asked += [("ZADD", key, *scored), ("PEXPIRE", key, int(LEASE * 1000)), ("ZCARD", key)]
        with store_errors("seats"):
            answers = raise_refusals(await self._redis.batch(asked))
        return list(zip(held, answers[2::3], strict=True))

    async def release(self, left: Mapping[str, Sequence[str]]) -> None:
        """Free these seats by owner, in one round trip."""
        with store_errors("seats"):
            raise_refusals(
                await self._redis.batch([("ZREM", _key(owner), *seats) for owner, seats in left.items()])
            )


def _key(owner: str) -> str:
    return f"bff:{{{owner_tag(owner)}}}:seats"
