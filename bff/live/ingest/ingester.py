"""The reader of a bus: one process at a time carries each event to its place, for as long as it holds the lease.

Promises at least once, in each partition's order: a bus is told `done` after the effects, a repeat is dropped by the
journal. The lease saves work; correctness does not hang on it. Redis or the bus away is waited for, with growing
pauses.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable, Sequence

from ...stores.background import Background
from ...stores.events import BrokerEvent
from ...stores.progress import Leases
from ...stores.redis.backoff import backoff
from ...stores.redis.client import RedisClient, StoreUnavailable
from .broker import Broker, BrokerUnavailable
from .dispatcher import EventDispatcher

log = logging.getLogger("bff.live")


class Ingester(Background):
    """`async with ingester:`, or `start()` and `stop()`. lease: seconds after which another process takes over from one
    that died (default 2)."""

    def __init__(
        self,
        redis: RedisClient,
        intake: EventDispatcher,
        bus: Broker,
        *,
        lease: float = 2.0,
        new_id: Callable[[], str] = lambda: secrets.token_hex(8),
    ) -> None:
        self._intake = intake
        super().__init__(f"ingest {bus.name}", "reading events has stopped")
        self._bus = bus
        self.name = bus.name
        self._lease = lease
        self._holder = new_id()
        self._leases = Leases(redis)
        self._lease_name = f"ingest-{self.name}"

    async def stop(self) -> None:
        """Stop and give the lease back."""
        begun = self._main is not None
        await super().stop()
        if begun:
            with contextlib.suppress(StoreUnavailable):
                await self._leases.release(self._lease_name, self._holder)

    async def _run(self, started: asyncio.Event) -> None:
        started.set()
        failures = 0
        while True:
            try:
                if await self._leases.hold(self._lease_name, self._holder, self._lease):
                    await self._bus.begin(self._lost)
                    failures = 0
                    await self._work()
                # What came here by another way than this bus may wait, too.
                await self._intake.settle()
                await asyncio.sleep(self._lease / 4)
            except (StoreUnavailable, BrokerUnavailable) as error:
                failures += 1
                # That Redis is away the log says elsewhere; a bus of its own is told of once.
                quiet = failures > 1 or isinstance(error, StoreUnavailable)
                log.log(
                    logging.DEBUG if quiet else logging.WARNING,
                    *("reading events of %s waits: %s", self.name, error),
                )
                await asyncio.sleep(backoff(failures, 0.1, 2.0))
            finally:
                await self._bus.end()

    async def _work(self) -> None:
        """Read for as long as the lease is ours."""
        renewing = asyncio.create_task(self._renew())
        reading = asyncio.create_task(self._read())
        try:
            done, _ = await asyncio.wait([renewing, reading], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (renewing, reading):
                task.cancel()
            ends = await asyncio.gather(renewing, reading, return_exceptions=True)
        for task, end in zip((renewing, reading), ends, strict=True):
            if task in done and isinstance(end, Exception):
                raise end

    async def _renew(self) -> None:
        while True:
            if not await self._leases.hold(self._lease_name, self._holder, self._lease):
                log.info("another process reads the events of %s now", self.name)
                return
            await asyncio.sleep(self._lease / 4)

    async def _read(self) -> None:
        while True:
            read = await self._bus.read()
            away: BaseExceptionGroup[StoreUnavailable | BrokerUnavailable] | None = None
            try:
                async with asyncio.TaskGroup() as group:
                    for partition, events in read.items():
                        group.create_task(self._partition(partition, events))
            except* (StoreUnavailable, BrokerUnavailable) as found:
                away = found
            if away is not None:
                # Not inside `except*`: what is raised there is raised as a group.
                raise StoreUnavailable(str(away.exceptions[0]))
            await self._intake.settle()

    async def _lost(self, why: str) -> None:
        await self._intake.lost(self.name, why)

    async def _partition(self, partition: str, events: Sequence[BrokerEvent]) -> None:
        for event in events:
            await self._intake.take(event)
        if events:
            await self._bus.done(partition, events)
