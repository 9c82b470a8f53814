"""Orphan recovery: the sagas of a dead orders process are finished by the living.

Guarantees that sagas of an executor without a lease are adopted some two leases after its death, by one process at a
time. Refuses to adopt anything while Redis is away, and to trust a single look: after an outage of Redis nobody has a
lease for a moment, and nobody is dead. An executor taken for dead that lives does no harm: the engine lets one of two
runs of a saga record each step, and the other one ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from upstreams.orders.engine import EngineAway
from upstreams.orders.leases import Leases

_log = logging.getLogger(__name__)
_AWAY = (RedisError, SQLAlchemyError, EngineAway, OSError, TimeoutError)


class Sagas(Protocol):
    """What orphan recovery needs of the engine."""

    async def owed(self) -> dict[str, list[str]]:
        """The sagas under way at other executors, by executor id."""

    async def adopt(self, order_ids: list[str]) -> None:
        """Let any living process go on with these."""


class Absences:
    """Since when each executor that owes sagas is seen without a lease; dead after `grace` seconds of that."""

    def __init__(self, grace: float) -> None:
        self._grace = grace
        self._since: dict[str, float] = {}

    def dead(self, owing: Iterable[str], living: set[str], now: float) -> set[str]:
        self._since = {one: self._since.get(one, now) for one in owing if one not in living}
        return {one for one, since in self._since.items() if now - since >= self._grace}

    def forget(self) -> None:
        """Start anew: what was seen before says nothing any more."""
        self._since = {}


class OrphanRecovery:
    """Renews this process's lease, and adopts the sagas of dead processes while it holds the lease of recovery.

    `begin` starts the orders that were accepted and never started. Both loops turn three times a lease.
    """

    def __init__(
        self,
        sagas: Sagas,
        leases: Leases,
        begin: Callable[[], Awaitable[None]],
        *,
        lease_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sagas = sagas
        self._leases = leases
        self._begin = begin
        self._period = lease_seconds / 3
        self._absences = Absences(lease_seconds * 2 / 3)
        self._clock = clock

    async def announce(self) -> None:
        """The first lease, before the engine takes up what this process left behind; no matter if Redis is away."""
        with contextlib.suppress(RedisError, OSError, TimeoutError):
            await self._leases.renew()

    async def renew(self) -> None:
        """Renew the lease for ever."""
        while True:
            await self.announce()
            await asyncio.sleep(self._period)

    async def recover(self) -> None:
        """Recover orphans for ever."""
        while True:
            try:
                await self.recover_once()
            except _AWAY as error:
                self._absences.forget()
                _log.warning("orphans cannot be looked for", extra={"reason": repr(error)})
            await asyncio.sleep(self._period)

    async def recover_once(self) -> list[str]:
        """One turn; answers the ids of the sagas adopted. Raises when Redis or a database does not answer."""
        if not await self._leases.recovers():
            self._absences.forget()
            return []
        await self._begin()
        owed = await self._sagas.owed()
        dead = self._absences.dead(owed, await self._leases.living(owed), self._clock())
        # Asked once more: one that has just come back takes its sagas up by itself.
        dead -= await self._leases.living(dead)
        adopted = [order_id for executor_id in sorted(dead) for order_id in owed[executor_id]]
        if adopted:
            _log.warning("adopting", extra={"executors": sorted(dead), "sagas": len(adopted)})
            await self._sagas.adopt(adopted)
        return adopted

    async def close(self) -> None:
        with contextlib.suppress(RedisError, OSError, TimeoutError):
            await self._leases.release()
        await self._leases.close()
