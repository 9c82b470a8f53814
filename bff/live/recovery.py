"""Compares streams with Redis: their positions with the journals, values with their newest versions, slots with the
cap.

Guarantees that every lost message is noticed: all streams are compared every 20–30 s, and those whose channels may have
missed a message at once. A stream that lags is reported to the listener, values that Redis has lost are written again,
and slots are renewed. While Redis is away the comparison is repeated with growing pauses.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Iterable

from ..stores.journal import Head, Journal, channel_of
from ..stores.redis.backoff import backoff
from ..stores.redis.client import StoreUnavailable
from ..stores.redis.clock import ServerClock
from ..stores.stream_slots import StreamSlots
from ..stores.values import Values
from .feeds import Feeds
from .restore import Restorer
from .stream import Stream, StreamListener

log = logging.getLogger("bff.live")

_BATCH = 500


class Recovery:
    """The hub runs `run()`. cap: slots of one owner."""

    def __init__(
        self,
        journal: Journal,
        values: Values,
        slots: StreamSlots,
        clock: ServerClock,
        feeds: Feeds,
        restorer: Restorer | None,
        listener: StreamListener,
        *,
        cap: int,
    ) -> None:
        self._journal = journal
        self._values = values
        self._slots = slots
        self._clock = clock
        self._feeds = feeds
        self._restorer = restorer
        self._listener = listener
        self._cap = cap
        self._all = False
        self._channels: dict[str, None] = {}
        self._wake = asyncio.Event()

    def check_soon(self) -> None:
        """Messages may have been missed: compare all streams now."""
        self._all = True
        self._wake.set()

    def check(self, channels: Iterable[str]) -> None:
        """Messages of these channels may have been missed: compare their streams and values now."""
        self._channels.update(dict.fromkeys(channels))
        self._wake.set()

    async def run(self) -> None:
        """Compare, for ever."""
        failures = 0
        next_check = 0.0
        loop = asyncio.get_running_loop()
        while True:
            try:
                async with asyncio.timeout(max(0.0, next_check - loop.time())):
                    await self._wake.wait()
            except TimeoutError:
                self._all = True
            self._wake.clear()
            try:
                # This comes before the comparison of all streams, which fails while one node of a cluster is away.
                await self._compare_channels()
                if self._all:
                    await self._compare_all()
                    next_check = loop.time() + random.uniform(20, 30)  # noqa: S311 - jitter
                failures = 0
            except StoreUnavailable as error:
                failures += 1
                log.debug("streams cannot be compared with Redis: %s", error)
                await asyncio.sleep(backoff(failures, 0.05, 1.0))
                self._wake.set()

    async def _compare_channels(self) -> None:
        channels, self._channels = self._channels, {}
        try:
            await self._compare(self._feeds.streams(channels), self._feeds.names(channels))
        except BaseException:
            self._channels = channels | self._channels
            raise

    async def _compare_all(self) -> None:
        # Set before the comparison, so that a message missed meanwhile starts another one.
        self._all = False
        try:
            await self._clock.synchronise()
            await self._compare(self._feeds.streams(), self._feeds.names())
        except BaseException:
            self._all = True
            raise

    async def _compare(self, streams: list[Stream], names: list[str]) -> None:
        by_owner: dict[str, list[Stream]] = {}
        for stream in streams:
            by_owner.setdefault(stream.owner, []).append(stream)
        owners = list(by_owner)
        for start in range(0, len(owners), _BATCH):
            batch = owners[start : start + _BATCH]
            for owner, head in (await self._journal.heads(batch)).items():
                for stream in by_owner[owner]:
                    self._compare_position(stream, head)
            await self._renew_slots({owner: by_owner[owner] for owner in batch})
        for start in range(0, len(names), _BATCH):
            await self._compare_values(names[start : start + _BATCH])

    def _compare_position(self, stream: Stream, head: Head) -> None:
        if stream.state == "joining" or (stream.state == "live" and not stream.at(head.position)):
            self._listener.on_lagging(stream)
        elif stream.state == "live" and not head.complete:
            if self._restorer is None:
                self._listener.on_lagging(stream)
            else:
                # Only the services know what Redis has lost. The stream continues in the meantime.
                self._restorer.want(stream, spread=True)

    async def _renew_slots(self, by_owner: dict[str, list[Stream]]) -> None:
        held = {
            owner: slots
            for owner, streams in by_owner.items()
            if (slots := [stream.slot for stream in streams if stream.has_slot])
        }
        for owner, taken in await self._slots.renew(held):
            if taken > self._cap:
                for slot in await self._slots.hold(owner, self._cap, held[owner]):
                    self._listener.on_evicted(channel_of(owner), slot)

    async def _compare_values(self, names: list[str]) -> None:
        generation = self._feeds.generation
        found = await self._values.get(names)
        self._feeds.on_read(names, found, generation)
        # Services assign the versions, so a version that Redis has lost is still valid.
        for name, value in self._feeds.newer(names, found).items():
            await self._values.put_payload(name, value)
