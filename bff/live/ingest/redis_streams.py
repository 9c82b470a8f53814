"""The adapter for Redis Streams: one process at a time reads every partition and carries each event to its place.

Promises at least once, in each partition's order: a position is saved after its effects, a repeat is dropped by the
journal. An event that cannot be used is set aside and blocks nobody. Redis away is waited for, with growing pauses.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import secrets
from collections.abc import Awaitable, Callable, Sequence

from ...stores.events import BusEvent, EventBus
from ...stores.journal import Journal
from ...stores.leases import Leases
from ...stores.link import RedisLink, StoreUnavailable
from ...stores.values import Values
from .events import BadEvent, ChangedEvent, Registry, SagaEvent, ValueEvent

log = logging.getLogger("bff.live")

_COUNT = 100
_HELD = 10_000


def stream_names(templates: Sequence[str], partitions: int) -> list[str]:
    """Every stream to read: `{p}` of each template is the partition, counted from 0."""
    names = []
    for template in templates:
        numbers = range(partitions) if "{p}" in template else range(1)
        names += [template.replace("{p}", str(number)) for number in numbers]
    return names


class Ingester:
    """`async with ingester:`, or `start()` and `stop()`.

    streams  names to read, see `stream_names`
    changed  told what events say has changed, and whose it is (None: everybody's); may raise StoreUnavailable
    lease    seconds after which another process takes over from one that died (default 2)
    block    seconds a read waits (default 1, at most half the lease)
    """

    def __init__(
        self,
        link: RedisLink,
        journal: Journal,
        values: Values,
        registry: Registry,
        streams: Sequence[str],
        *,
        changed: Callable[[Sequence[str], str | None], Awaitable[None]] | None = None,
        name: str = "ingest",
        lease: float = 2.0,
        block: float = 1.0,
        new_id: Callable[[], str] = lambda: secrets.token_hex(8),
    ) -> None:
        self._journal = journal
        self._values = values
        self._registry = registry
        self._changed = changed
        self._streams = list(streams)
        self._name = name
        self._lease = lease
        self._holder = new_id()
        self._leases = Leases(link)
        self._bus = EventBus(link, block=min(block, lease / 2))
        self._held: dict[str, float] = {}
        self._main: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin; does not wait for Redis or the lease."""
        if self._main is None and self._streams:
            self._main = asyncio.create_task(self._run())
            self._main.add_done_callback(_ended)

    @property
    def alive(self) -> bool:
        """False when its work ended though nobody stopped it."""
        return not self._streams or (self._main is not None and not self._main.done())

    async def stop(self) -> None:
        """Stop and give the lease back."""
        main, self._main = self._main, None
        if main is not None:
            main.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await main
            with contextlib.suppress(StoreUnavailable):
                await self._leases.release(self._name, self._holder)
        await self._bus.close()

    async def __aenter__(self) -> Ingester:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    async def _run(self) -> None:
        failures = 0
        while True:
            try:
                if await self._leases.hold(self._name, self._holder, self._lease):
                    failures = 0
                    await self._work()
                await asyncio.sleep(self._lease / 4)
            except StoreUnavailable as error:
                failures += 1
                log.warning("reading events waits for Redis: %s", error)
                await asyncio.sleep(random.uniform(0.5, 1) * min(2.0, 0.1 * 2 ** min(failures, 6)))  # noqa: S311 - jitter

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
            if not await self._leases.hold(self._name, self._holder, self._lease):
                log.info("another process reads the events now")
                return
            await asyncio.sleep(self._lease / 4)

    async def _read(self) -> None:
        positions = await self._bus.positions(self._streams)
        while True:
            read = await self._bus.read(positions, count=_COUNT)
            try:
                async with asyncio.TaskGroup() as group:
                    for stream, events in read.items():
                        group.create_task(self._partition(stream, events))
            except* StoreUnavailable as away:
                raise StoreUnavailable(str(away.exceptions[0])) from None
            for stream, events in read.items():
                if events:
                    positions[stream] = events[-1].id
            await self._let_through()

    async def _partition(self, stream: str, events: list[BusEvent]) -> None:
        for event in events:
            await self._one(event)
        if events:
            await self._bus.save(stream, events[-1].id)

    async def _one(self, event: BusEvent) -> None:
        try:
            meaning = self._registry.meaning(event.body, now_ms=self._journal.now_ms())
        except Exception as error:
            # BadEvent, or a model of the user's that stumbled over it: one event must not stop everybody's.
            why = str(error) if isinstance(error, BadEvent) else f"its model raised {type(error).__name__}"
            log.warning("event %s of %s is set aside: %s", event.id, event.stream, why)
            await self._bus.bury(event, why)
            return
        match meaning:
            case SagaEvent(owner, entry):
                if await self._journal.append(owner, entry) == "held" and len(self._held) < _HELD:
                    due = asyncio.get_running_loop().time() + self._journal.gap
                    self._held.setdefault(owner, due)
            case ValueEvent(name, version, data, at):
                await self._values.put(name, version, data, at)
            case ChangedEvent(tags, owner):
                if self._changed is not None:
                    await self._changed(tags, owner)
            case None:
                log.debug("event %s of %s is of no declared type", event.id, event.stream)

    async def _let_through(self) -> None:
        """Owners whose events have waited for a gap long enough."""
        now = asyncio.get_running_loop().time()
        for owner in [owner for owner, due in self._held.items() if due <= now]:
            if await self._journal.settle(owner):
                self._held[owner] = now + self._journal.gap
            else:
                del self._held[owner]


def _ended(main: asyncio.Task[None]) -> None:
    if not main.cancelled() and main.exception() is not None:
        log.critical("reading events has stopped until a restart", exc_info=main.exception())
