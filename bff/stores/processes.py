"""Gateways' processes: which of them are dead, known in less than a second.

A process listens to a channel of its own, where nobody says anything, and says every few seconds that it lives. A
killed one's connections end with it, so Redis knows that nobody listens to its channel; one whose machine is gone, or
that is frozen, says nothing any more for `ALIVE` seconds. Refuses to call a process dead that cannot be asked about, or
that has only lost a connection and made another within `BACK` seconds.

Keys: `bff:{process:<id>}:alive`: that process lives; TTL `ALIVE`. Channel: `bff:{process:<id>}:channel`.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Iterable, Sequence

from .redis.client import RedisClient, StoreUnavailable, store_errors

log = logging.getLogger("bff.stores")

ALIVE = 10.0
"""Seconds for which a process's word that it lives holds."""
BACK = 0.3
"""Seconds in which a process that lost a connection has another."""


class Processes:
    """id: of this process, letters and digits; channel: what it must listen to, for the others to know that it is
    there."""

    def __init__(self, redis: RedisClient, *, process: str | None = None) -> None:
        self._redis = redis
        self.id = process or secrets.token_hex(6)
        self.channel = _channel(self.id)

    async def heartbeat(self) -> bool:
        """Say that this process lives. False: it had not said so lately, and others may have taken what it held. Raises
        StoreUnavailable."""
        with store_errors("processes"):
            said = await self._redis.call("SET", _alive(self.id), "1", "PX", int(ALIVE * 1000), "GET")
        return said is not None

    async def dead(self, processes: Sequence[str]) -> list[str]:
        """Those that are silent, or have ended. Never raises."""
        silent, deaf = await self._looked_at(processes)
        if deaf:
            # One that has only lost that connection makes another first of all.
            await asyncio.sleep(BACK)
            still = await self._looked_at(deaf)
            silent += still[0] + still[1]
        return silent

    async def ended(self, process: str) -> bool:
        """Whether this one has ended, as far as its connections tell. One that is only silent may be at work: Redis
        may have lost its word. Never raises."""
        for last in (False, True):
            _, deaf = await self._looked_at([process], silent=False)
            if not deaf:
                return False
            if not last:
                await asyncio.sleep(BACK)
        return True

    async def _looked_at(
        self, processes: Iterable[str], *, silent: bool = True
    ) -> tuple[list[str], list[str]]:
        """Those without a word, and those with one that nevertheless do not listen. silent: whether the word counts."""
        names = list(processes)
        count = "SHARDNUMSUB" if self._redis.cluster else "NUMSUB"
        asked: list[tuple[str, ...]] = []
        for one in names:
            asked += [("EXISTS", _alive(one)), ("PUBSUB", count, _channel(one))]
        try:
            told = await self._redis.batch(asked)
        except StoreUnavailable as error:
            log.debug("which processes live cannot be asked: %s", error)
            return [], []
        without, deaf = [], []
        for process, word, listening in zip(names, told[::2], told[1::2], strict=True):
            if silent and word == 0:
                without.append(process)
            elif isinstance(listening, list) and not listening[1]:
                deaf.append(process)
        return without, deaf


def _alive(process: str) -> str:
    return f"bff:{{process:{process}}}:alive"


def _channel(process: str) -> str:
    return f"bff:{{process:{process}}}:channel"
