"""Reads one broker: one process at a time dispatches its events, as long as it holds the lease.

Guarantees at-least-once delivery in the order of each partition: events are acknowledged after their effects, and the
journal drops a repeat. The lease only saves work; correctness does not depend on it. While Redis or the broker is away
the ingester tries again, with growing pauses of up to 2 s.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Callable, Mapping, Sequence

from ...stores.background import Background
from ...stores.events import BrokerEvent
from ...stores.progress import Leases
from ...stores.redis.backoff import backoff
from ...stores.redis.client import RedisClient, StoreUnavailable
from .broker import Broker, BrokerUnavailable
from .dispatcher import EventDispatcher

log = logging.getLogger("bff.live")

QUIET = 5.0
"""Seconds that a read may take with nothing to read; after that the broker counts as one that cannot be read."""


class Ingester(Background):
    """Use `async with ingester:`, or `start()` and `stop()`. lease: seconds after which another process takes over from
    a process that died (default 2)."""

    def __init__(
        self,
        redis: RedisClient,
        dispatcher: EventDispatcher,
        broker: Broker,
        *,
        lease: float = 2.0,
        new_id: Callable[[], str] = lambda: secrets.token_hex(8),
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(f"ingest {broker.name}", "reading events has stopped")
        self._dispatcher = dispatcher
        self._broker = broker
        self.name = broker.name
        self._lease = lease
        self._holder = new_id()
        self._leases = Leases(redis)
        self._lease_name = f"ingest-{self.name}"
        self._clock = clock
        # Unix seconds since which something may be unread; None: another process reads, or did last.
        self._unread_since: float | None = None
        self._is_at_end = False

    @property
    def oldest_unread(self) -> float | None:
        """Seconds for which the oldest unread event has waited, as far as this process knows; None: it is not the
        reader. 0 while everything is read. While the broker cannot be read, it is the time since it was last read to
        its end: the most that it can be."""
        since = self._unread_since
        if since is None:
            return None
        age = max(0.0, self._clock() - since)
        return 0.0 if self._is_at_end and age < QUIET else age

    async def stop(self) -> None:
        """Stop reading and release the lease."""
        started = self._main is not None
        await super().stop()
        if started:
            with contextlib.suppress(StoreUnavailable):
                await self._leases.release(self._lease_name, self._holder)

    async def _run(self, started: asyncio.Event) -> None:
        started.set()
        failures = 0
        while True:
            try:
                if await self._leases.hold(self._lease_name, self._holder, self._lease):
                    if self._unread_since is None:
                        self._unread_since, self._is_at_end = self._clock(), True
                    await self._broker.open(self._record_loss)
                    failures = 0
                    await self._work()
                else:
                    self._unread_since = None
                # Held events of other brokers have to be released, too.
                await self._dispatcher.settle()
                await asyncio.sleep(self._lease / 4)
            except (StoreUnavailable, BrokerUnavailable) as error:
                if (task := asyncio.current_task()) is not None and task.cancelling():
                    # A client that uses `asyncio.wait_for` loses a cancellation in Python 3.11.
                    raise asyncio.CancelledError from error
                failures += 1
                # The Redis client logs that Redis is away; a broker that is away is logged once.
                quiet = failures > 1 or isinstance(error, StoreUnavailable)
                log.log(
                    logging.DEBUG if quiet else logging.WARNING,
                    *("events of %s cannot be read: %s", self.name, error),
                )
                await asyncio.sleep(backoff(failures, 0.1, 2.0))
            finally:
                await self._broker.close()

    async def _work(self) -> None:
        """Read as long as this process holds the lease."""
        renewing = asyncio.create_task(self._renew())
        reading = asyncio.create_task(self._read())
        try:
            done, _ = await asyncio.wait([renewing, reading], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (renewing, reading):
                task.cancel()
            results = await asyncio.gather(renewing, reading, return_exceptions=True)
        for task, result in zip((renewing, reading), results, strict=True):
            if task in done and isinstance(result, Exception):
                raise result

    async def _renew(self) -> None:
        while True:
            if not await self._leases.hold(self._lease_name, self._holder, self._lease):
                log.info("another process now reads the events of %s", self.name)
                self._unread_since = None
                return
            await asyncio.sleep(self._lease / 4)

    async def _read(self) -> None:
        while True:
            read = await self._broker.read()
            self._note(read)
            unavailable: BaseExceptionGroup[StoreUnavailable | BrokerUnavailable] | None = None
            try:
                async with asyncio.TaskGroup() as group:
                    for partition, events in read.items():
                        group.create_task(self._dispatch(partition, events))
            except* (StoreUnavailable, BrokerUnavailable) as found:
                unavailable = found
            if unavailable is not None:
                # Outside `except*`, which would raise it as a group.
                raise StoreUnavailable(str(unavailable.exceptions[0]))
            await self._dispatcher.settle()

    def _note(self, read: Mapping[str, Sequence[BrokerEvent]]) -> None:
        """The first event of each partition is the oldest one that was not acknowledged; without events everything
        is read."""
        now = self._clock()
        first = [events[0].at for events in read.values() if events]
        self._is_at_end = not first
        self._unread_since = min((now if at is None else at for at in first), default=now)

    async def _record_loss(self, why: str) -> None:
        await self._dispatcher.record_loss(self.name, why)

    async def _dispatch(self, partition: str, events: Sequence[BrokerEvent]) -> None:
        for event in events:
            await self._dispatcher.dispatch(event)
        if events:
            await self._broker.ack(partition, events)
