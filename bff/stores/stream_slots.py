"""Stream slots: the number of open streams of one owner, counted exactly over all processes.

Guarantees that an owner never has more slots than the cap. When all are taken, a new stream gets the slot of the stream
that opened first, in one step, and that stream is ended by a message on the owner's channel (`end <slot>`). Before a
stream is evicted, the slots of dead processes (`processes.py`) become free. A process that was only away takes its
slots again when it notices that, and the streams that opened first are evicted. No new stream is refused.

Key (after the prefix of keys.py): `{t}:slots`, `{t}` as in the journal: sorted set of `<opened>-<process>-<id>`
(`opened` in Unix milliseconds, 13 digits) by the millisecond at which the slot becomes free; TTL `LEASE` from the last
renewal.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .journal import channel_of
from .keys import owner_tag, redis_key
from .processes import Processes
from .redis.client import RedisClient, raise_refusals, store_errors
from .redis.connection import Packable
from .redis.scripts import Step

LEASE = 90.0
"""Seconds for which a slot is taken; it is renewed at least every 40 s."""


class StreamSlots:
    """The slots that one process uses. clock: Unix seconds, the same in all processes; processes: knows which gateway
    processes are dead. Every method raises StoreUnavailable when Redis is away."""

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
        self._hold = redis.script("slots_hold")
        self._process = self.processes.id
        self._number = 0

    def new_slot(self, opened: float) -> str:
        """The name of a new slot. opened: Unix seconds. The stream that opened first is evicted first; of those that
        this process opened in the same millisecond, the one with the earlier name."""
        self._number += 1
        return f"{int(opened * 1000):013d}-{self._process}-{self._number % 2**24:06x}"

    async def hold(self, owner: str, cap: int, slots: Sequence[str]) -> list[str]:
        """Take or renew these slots, at most `cap` for the owner. Returns the evicted slots, of any process."""
        done, names = self.parse_hold(await self._run(self.hold_step(owner, cap, slots)))
        if not done:
            dead = await self.processes.dead(names)
            _, names = self.parse_hold(await self._run(self.hold_step(owner, cap, slots, dead=dead)))
        return names

    def hold_step(
        self, owner: str, cap: int, slots: Sequence[str], *, dead: Sequence[str] | None = None
    ) -> Step:
        """`hold` as a step to be sent with others. dead: the dead processes; None when they are not known yet."""
        args: list[str | int] = [
            cap,
            int(LEASE * 1000),
            channel_of(owner),
            self._redis.publish_command,
            self._process,
        ]
        args += [""] if dead is None else [len(dead), *dead]
        return Step(self._hold, [slots_key(owner)], [*args, *slots])

    @staticmethod
    def parse_hold(answer: tuple[int, Sequence[bytes]]) -> tuple[bool, list[str]]:
        """The result of `hold_step`: True and the evicted slots; or False, and the processes to check before a stream
        is evicted."""
        done, names = answer
        return bool(done), [name.decode() for name in names]

    @staticmethod
    async def _run(step: Step) -> Any:
        return await step.script(step.keys, step.args)

    async def renew(self, held: Mapping[str, Sequence[str]]) -> list[tuple[str, int]]:
        """Renew these slots by owner in one round trip; lost ones are taken again. Returns each owner with the number
        of slots taken in all: when that is above the cap, `hold` evicts."""
        until = int((self._clock() + LEASE) * 1000)
        commands: list[tuple[Packable, ...]] = []
        for owner, slots in held.items():
            key = slots_key(owner)
            scored = (word for slot in slots for word in (until, slot))
            commands += [("ZADD", key, *scored), ("PEXPIRE", key, int(LEASE * 1000)), ("ZCARD", key)]
        with store_errors("stream slots"):
            answers = raise_refusals(await self._redis.batch(commands))
        return list(zip(held, answers[2::3], strict=True))

    async def release(self, left: Mapping[str, Sequence[str]]) -> None:
        """Free these slots by owner, in one round trip."""
        with store_errors("stream slots"):
            raise_refusals(
                await self._redis.batch([("ZREM", slots_key(owner), *slots) for owner, slots in left.items()])
            )


def slots_key(owner: str) -> str:
    """The key of this owner's slots, for scripts that use it together with another key."""
    return redis_key(owner_tag(owner), "slots")
