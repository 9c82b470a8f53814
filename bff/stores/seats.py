"""Seats: how many streams one owner has open, counted exactly over all processes.

Promises that at no moment more than the cap hold a seat: whoever comes when all are taken gets the one held longest,
in one step, and its stream is told to end on the owner's channel (`end <seat>`). Before anybody gives way the processes
that hold seats are looked at: what a dead one held is free at once. A process is dead when Redis has no subscription of
its for `BACK` seconds (a killed one's connections end with it) or no word of its for `ALIVE` seconds (its machine is
gone, or it is frozen). One that was only away takes its seats again when it finds out, and whoever opened first gives
way; who cannot be asked about counts as living. Refuses nobody.

Keys: `bff:{t}:seats`, `{t}` as in the journal: sorted set of `<opened>-<process>-<id>` (`opened` in Unix milliseconds,
13 digits) by the millisecond at which the seat is free in any case; TTL `LEASE` from the last renewal.
`bff:{process:<process>}:alive`: that process lives; TTL `ALIVE`. It listens to `bff:{process:<process>}:channel`, where
nobody says anything.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .journal import channel_of, owner_tag
from .redis.link import RedisLink, StoreUnavailable, granted, reaching
from .redis.scripts import Step
from .redis.wire import Packable

log = logging.getLogger("bff.stores")

LEASE = 90.0
"""Seconds; renewed at least every 40."""
ALIVE = 10.0
"""Seconds for which a process's word that it lives holds."""
BACK = 0.3
"""Seconds in which a process that lost a connection has another."""


class Seats:
    """One process's way to them. clock: Unix seconds, the same in all processes; process:
    letters and digits. Every method raises StoreUnavailable when Redis is away.

    channel  what this process must listen to, for the others to know that it is there
    """

    def __init__(
        self, link: RedisLink, clock: Callable[[], float] = time.time, *, process: str | None = None
    ) -> None:
        self._link = link
        self._clock = clock
        self._hold = link.script("seats_hold")
        self._process = process or secrets.token_hex(6)
        self._number = 0
        self.channel = _channel(self._process)

    def seat(self, opened: float) -> str:
        """A new seat's name. opened: Unix seconds; whoever opened first gives way first, and of those that this process
        opened in the same millisecond the one named first."""
        self._number += 1
        return f"{int(opened * 1000):013d}-{self._process}-{self._number % 2**24:06x}"

    async def live(self) -> bool:
        """Say that this process lives. False: it had not said so lately, and others may have its seats."""
        with reaching("seats"):
            return (
                await self._link.call("SET", _alive(self._process), "1", "PX", int(ALIVE * 1000), "GET")
                is not None
            )

    async def hold(self, owner: str, cap: int, seats: Sequence[str]) -> list[str]:
        """Take or renew these seats of `cap`; the seats that gave way, of this process or of another."""
        done, told = self.held(await self._take(self.holding(owner, cap, seats)))
        if not done:
            dead = await self._dead(told)
            _, told = self.held(await self._take(self.holding(owner, cap, seats, dead=dead)))
        return told

    def holding(
        self, owner: str, cap: int, seats: Sequence[str], *, dead: Sequence[str] | None = None
    ) -> Step:
        """`hold` as a step among others. dead: processes known to be; None while nobody has looked."""
        args: list[str | int] = [cap, int(LEASE * 1000), channel_of(owner), self._link.publish, self._process]
        args += [""] if dead is None else [len(dead), *dead]
        return Step(self._hold, [_key(owner)], [*args, *seats])

    @staticmethod
    def held(answer: tuple[int, Sequence[bytes]]) -> tuple[bool, list[str]]:
        """What `holding` answered: whether the seats are taken, and those that gave way; or, where they are not, the
        processes to look at before anybody gives way."""
        done, told = answer
        return bool(done), [one.decode() for one in told]

    @staticmethod
    async def _take(step: Step) -> Any:
        return await step.script(step.keys, step.args)

    async def _dead(self, processes: Sequence[str]) -> list[str]:
        silent, deaf = await self._looked_at(processes)
        if deaf:
            # One that has only lost that connection makes another first of all.
            await asyncio.sleep(BACK)
            still = await self._looked_at(deaf)
            silent += still[0] + still[1]
        return silent

    async def _looked_at(self, processes: Sequence[str]) -> tuple[list[str], list[str]]:
        """Those without a word, and those with one that nevertheless do not listen."""
        count = "SHARDNUMSUB" if self._link.cluster else "NUMSUB"
        asked: list[tuple[str, ...]] = []
        for one in processes:
            asked += [("EXISTS", _alive(one)), ("PUBSUB", count, _channel(one))]
        try:
            told = await self._link.batch(asked)
        except StoreUnavailable as error:
            log.debug("which processes live cannot be asked: %s", error)
            return [], []
        silent, deaf = [], []
        for process, word, listening in zip(processes, told[::2], told[1::2], strict=True):
            if word == 0:
                silent.append(process)
            elif isinstance(listening, list) and not listening[1]:
                deaf.append(process)
        return silent, deaf

    async def renew(self, held: Mapping[str, Sequence[str]]) -> list[tuple[str, int]]:
        """Renew these seats by owner, taking those again that were lost, in one round trip. The owners, and how many
        seats each has taken in all: for more than there are, `hold` decides who gives way."""
        until = int((self._clock() + LEASE) * 1000)
        asked: list[tuple[Packable, ...]] = []
        for owner, seats in held.items():
            key = _key(owner)
            scored = (word for seat in seats for word in (until, seat))
            asked += [("ZADD", key, *scored), ("PEXPIRE", key, int(LEASE * 1000)), ("ZCARD", key)]
        with reaching("seats"):
            answers = granted(await self._link.batch(asked))
        return list(zip(held, answers[2::3], strict=True))

    async def leave(self, left: Mapping[str, Sequence[str]]) -> None:
        """Free these seats by owner, in one round trip."""
        with reaching("seats"):
            granted(await self._link.batch([("ZREM", _key(owner), *seats) for owner, seats in left.items()]))


def _key(owner: str) -> str:
    return f"bff:{{{owner_tag(owner)}}}:seats"


def _alive(process: str) -> str:
    return f"bff:{{process:{process}}}:alive"


def _channel(process: str) -> str:
    return f"bff:{{process:{process}}}:channel"
