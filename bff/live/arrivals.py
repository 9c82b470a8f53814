"""Streams that come: all that do within a moment are joined in one round trip.

Promises the order of `Recovery`: a stream's channels are confirmed before its seat is taken, and its seat before its
journal is read. Those whose owners lie on one node of Redis are joined together, next to those of the other nodes, and
one that cannot be joined with the others is left to be joined apart: nobody's absence, and no node's, is the others'
trouble.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from ..stores.journal import Journal, channel_of
from ..stores.redis.address import NodeAddress
from ..stores.redis.client import RedisClient, StoreUnavailable
from ..stores.redis.scripts import run_all
from ..stores.redis.subscriptions import Subscriptions
from ..stores.stream_slots import StreamSlots
from ..stores.values import Values, value_channel
from .catchup import Recovery
from .feeds import Feeds
from .stream import Stream

log = logging.getLogger("bff.live")

_TOGETHER = 64
_BATCHES = 4
"""Batches that one node is asked for at a time."""
# Seconds in which those that come gather: hardly any of a stream's life, and half of what its join costs.
_PAUSE = 0.002


class Joins:
    """Owned by the hub, which runs `run()`. cap, evicted, vacate: see `Recovery`; make: owners without a journal get
    one, for there is nowhere to restore it from."""

    def __init__(
        self,
        redis: RedisClient,
        journal: Journal,
        values: Values,
        seats: StreamSlots,
        channels: Subscriptions,
        feeds: Feeds,
        catchup: Recovery,
        *,
        cap: int,
        make: bool,
        evicted: Callable[[str, str], None],
        vacate: Callable[[Stream], None],
    ) -> None:
        self._redis = redis
        self._journal = journal
        self._values = values
        self._seats = seats
        self._channels = channels
        self._feeds = feeds
        self._catchup = catchup
        self._cap = cap
        self._make = make
        self._evicted = evicted
        self._vacate = vacate
        self._coming: list[Stream] = []
        # What each node is asked now.
        self._asked: dict[NodeAddress | None, asyncio.Semaphore] = {}
        self._came = asyncio.Event()

    def welcome(self, stream: Stream) -> None:
        """Join a new stream, or leave it for later when Redis is away."""
        stream.opening = True
        self._coming.append(stream)
        self._came.set()

    async def run(self, group: asyncio.TaskGroup) -> None:
        """Join those that come, for ever; group owns the joins."""
        while True:
            await self._came.wait()
            if len(self._coming) < _TOGETHER:
                await asyncio.sleep(_PAUSE)
            self._begin(group)

    def _begin(self, group: asyncio.TaskGroup) -> None:
        """Join those that came, together for each node. Not in `run`, whose variables would hold on to the last ones
        until others come."""
        homes: dict[NodeAddress | None, list[Stream]] = {}
        for stream in self._coming[:_TOGETHER]:
            if not stream.ended:
                homes.setdefault(self._channels.node_of(channel_of(stream.owner)), []).append(stream)
        del self._coming[:_TOGETHER]
        if not self._coming:
            self._came.clear()
        for home, streams in homes.items():
            asked = self._asked.setdefault(home, asyncio.Semaphore(_BATCHES))
            group.create_task(self._join_batch(asked, streams))

    async def _join_batch(self, asked: asyncio.Semaphore, streams: list[Stream]) -> None:
        async with asked:
            streams = [stream for stream in streams if not stream.ended]
            try:
                await self._join_these(streams)
            except Exception as error:
                # One that left, or whose value's node is away, must not be the others' trouble.
                log.debug("streams are joined one by one: %s", error)
                for stream in streams:
                    self._catchup.apart(stream)
            # Nobody may come for long: those that have left by then are not kept here.
            streams.clear()

    async def _join_these(self, streams: list[Stream]) -> None:
        feeds, era = self._feeds, self._feeds.era
        for stream in streams:
            feeds.add(stream)
        try:
            if not self._channels.connected:
                raise StoreUnavailable("no pub/sub connection")
            channels = [channel_of(stream.owner) for stream in streams]
            names = dict.fromkeys(name for stream in streams for name in stream.names)
            await self._channels.wait_confirmed(*channels, *map(value_channel, names))
            # Not before the channels are confirmed: whoever takes a seat later says so there.
            steps = []
            for stream in streams:
                steps.append(self._seats.hold_step(stream.owner, self._cap, [stream.seat]))
                steps.append(self._journal.open_step(stream.owner, stream.position, make=self._make))
            answers = await run_all(self._redis, steps)
            unknown = feeds.unknown(names)
            feeds.learn(unknown, await self._values.get(unknown), era)
        finally:
            for stream in streams:
                stream.opening = False
        for stream, channel, seats, found in zip(streams, channels, answers[::2], answers[1::2], strict=True):
            done, told = self._seats.parse_hold(seats)
            if not done:
                # More than there are seats: who is to give way is looked into without keeping the others waiting.
                self._catchup.apart(stream)
                continue
            stream.seated = True
            for gone in told:
                self._evicted(channel, gone)
            if stream.state == "closed":
                self._vacate(stream)
            if not self._catchup.begin(stream, self._journal.parse_opened(found)):
                self._catchup.apart(stream)
