"""Joins streams: new ones, and those that need their journal again.

Guarantees the order of each join: a stream's channels are confirmed before its slot is taken, and its slot is taken
before its journal is read, so that nothing is lost between the state and the events that follow. Streams that arrive
within 2 ms are joined in one round trip, separately for each node of Redis. A stream whose join fails is joined again
alone until it succeeds, so that neither a client that left nor a node that is away affects other streams. For each node
at most `_BATCHES` batches, and `_JOINS` joins including batches, are in progress at a time.
"""

from __future__ import annotations

import asyncio
import logging
from itertools import islice

from ..stores.journal import Journal, Opened, channel_of
from ..stores.redis.address import NodeAddress
from ..stores.redis.backoff import backoff
from ..stores.redis.client import RedisClient, StoreUnavailable
from ..stores.redis.scripts import run_all
from ..stores.redis.subscriptions import Subscriptions
from ..stores.stream_slots import StreamSlots
from ..stores.values import Values, is_gone, value_channel
from .feeds import Feeds
from .loads import Loads
from .restore import Restorer
from .stream import Stream, StreamListener

log = logging.getLogger("bff.live")

_BATCH = 64
_BATCHES = 4
_JOINS = 24
_PAUSE = 0.002
"""Seconds in which streams are collected into a batch. It is a tiny part of a stream's life and halves the cost of its
join."""


class Joins:
    """The hub runs `run()`. cap: slots of one owner. restorer: None when there are no services to restore a journal
    from; owners without a journal then get an empty one."""

    def __init__(
        self,
        redis: RedisClient,
        journal: Journal,
        values: Values,
        slots: StreamSlots,
        subscriptions: Subscriptions,
        feeds: Feeds,
        loads: Loads,
        restorer: Restorer | None,
        listener: StreamListener,
        *,
        cap: int,
    ) -> None:
        self._redis = redis
        self._journal = journal
        self._values = values
        self._slots = slots
        self._subscriptions = subscriptions
        self._feeds = feeds
        self._loads = loads
        self._restorer = restorer
        self._listener = listener
        self._cap = cap
        # Streams to join, and whether each must be joined alone.
        self._queue: dict[Stream, bool] = {}
        self._wake = asyncio.Event()
        self._batches: dict[NodeAddress | None, asyncio.Semaphore] = {}
        self._gates: dict[NodeAddress | None, asyncio.Semaphore] = {}
        # How often in a row each stream could not be joined although Redis was not away.
        self._failures: dict[Stream, int] = {}

    def want(self, stream: Stream, *, alone: bool = False) -> None:
        """Join this stream soon, or when Redis is back. alone: not in a batch."""
        if stream.ended:
            return
        if stream.state == "live":
            stream.rejoin()
        if stream.joining_now:
            stream.join_again = True
            return
        self._queue[stream] = alone or self._queue.get(stream, False)
        self._wake.set()
        if stream.new and not self._subscriptions.connected:
            self._postpone(stream)

    def forget(self, stream: Stream) -> None:
        """Forget a stream whose client has left."""
        self._queue.pop(stream, None)
        self._failures.pop(stream, None)

    async def read(self, owner: str) -> Opened:
        """Read this owner's state. Raises StoreUnavailable."""
        async with self._gate(owner):
            return await self._journal.open(owner, None, make=self._restorer is None)

    def _gate(self, owner: str) -> asyncio.Semaphore:
        # Bounds the joins in progress at the node of this owner's journal.
        node = self._node_of(owner)
        if node not in self._gates:
            self._gates[node] = asyncio.Semaphore(_JOINS)
        return self._gates[node]

    def _node_of(self, owner: str) -> NodeAddress | None:
        return self._subscriptions.node_of(channel_of(owner))

    def _postpone(self, stream: Stream) -> None:
        if stream.new:
            stream.new = False
            self._feeds.add(stream)
            self._listener.on_waiting(stream)

    # ---- batches -------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Join the streams in the queue, for ever."""
        failures = 0
        async with asyncio.TaskGroup() as group:
            while True:
                await self._wake.wait()
                if not self._subscriptions.connected:
                    failures += 1
                    await asyncio.sleep(backoff(failures, 0.05, 1.0))
                    continue
                failures = 0
                if len(self._queue) < _BATCH:
                    await asyncio.sleep(_PAUSE)
                self._start(group)

    def _start(self, group: asyncio.TaskGroup) -> None:
        """Start the next joins. A method of its own, because the variables of `run` would keep the last streams alive
        until others come."""
        batches: dict[NodeAddress | None, list[Stream]] = {}
        for stream in list(islice(self._queue, _BATCH)):
            stream.joining_now = True
            if self._queue.pop(stream):
                group.create_task(self._join_one(stream))
            else:
                batches.setdefault(self._node_of(stream.owner), []).append(stream)
        if not self._queue:
            self._wake.clear()
        for node, batch in batches.items():
            if len(batch) == 1:
                group.create_task(self._join_one(batch[0]))
            else:
                gate = self._batches.setdefault(node, asyncio.Semaphore(_BATCHES))
                group.create_task(self._join_batch(gate, batch))

    async def _join_batch(self, gate: asyncio.Semaphore, batch: list[Stream]) -> None:
        async with gate:
            try:
                await self.join(batch)
            except Exception as error:
                # A stream that left, or whose value's node is away, must not affect the others.
                log.debug("streams are joined one by one: %s", error)
                for stream in batch:
                    self.want(stream, alone=self._subscriptions.connected)

    async def _join_one(self, stream: Stream) -> None:
        try:
            await self.join([stream])
            self._failures.pop(stream, None)
        except StoreUnavailable as error:
            if stream.ended:
                # Its channels are unsubscribed already, so the error means nothing.
                return
            log.debug("a stream waits for Redis: %s", error)
            self._postpone(stream)
            if self._subscriptions.connected:
                # Its node is away or slow. Other streams do not wait for it.
                failures = self._failures[stream] = self._failures.get(stream, 0) + 1
                await asyncio.sleep(backoff(failures, 0.05, 1.0))
            if stream.state != "live":
                self.want(stream, alone=self._subscriptions.connected)
        except Exception:
            log.exception("a stream could not be joined")
            stream.abort()

    # ---- a join --------------------------------------------------------------------------------------------------

    async def join(self, batch: list[Stream]) -> None:
        """Give each of these streams its journal and values, whether it is new or was joined before. All owners are on
        one node. Raises StoreUnavailable; then each stream has to be joined alone."""
        streams = [stream for stream in batch if not stream.ended]
        for stream in streams:
            stream.joining_now, stream.join_again = True, False
            self._feeds.add(stream)
        try:
            unfinished = await self._join(streams) if streams else {}
        finally:
            for stream in batch:
                stream.joining_now = False
        for stream in streams:
            if stream in unfinished or stream.join_again:
                self.want(stream, alone=unfinished.get(stream, False))

    async def _join(self, streams: list[Stream]) -> dict[Stream, bool]:
        """Join these streams. Returns those that have to be joined again, and whether alone."""
        feeds, generation = self._feeds, self._feeds.generation
        if not self._subscriptions.connected:
            raise StoreUnavailable("no pub/sub connection")
        names = dict.fromkeys(name for stream in streams for name in stream.names)
        channels = [channel_of(stream.owner) for stream in streams]
        await self._subscriptions.wait_confirmed(*channels, *map(value_channel, names))
        unfinished: dict[Stream, bool] = {}
        async with self._gate(streams[0].owner):
            if unknown := feeds.unknown(names):
                feeds.on_read(unknown, await self._values.get(unknown), generation)
            for stream, channel, slot, found in await self._read(streams, channels):
                if slot is not None:
                    taken, evicted = slot
                    if not taken and len(streams) > 1:
                        # More streams than slots. Finding the one to evict must not delay the others.
                        unfinished[stream] = True
                        continue
                    if not taken:
                        evicted = await self._slots.hold(stream.owner, self._cap, [stream.slot])
                    stream.has_slot = True
                    for old in evicted:
                        self._listener.on_evicted(channel, old)
                    if stream.state == "closed":
                        self._listener.on_slot_unused(stream)
                stream.new = False
                if not self._begin(stream, found):
                    unfinished[stream] = False
        return unfinished

    async def _read(
        self, streams: list[Stream], channels: list[str]
    ) -> list[tuple[Stream, str, tuple[bool, list[str]] | None, Opened]]:
        """Take slots and read journals, in this order and after the channels are confirmed: a process that evicts
        one of these slots later publishes that on the owner's channel."""
        restoring = [stream for stream in streams if stream.state == "awaiting_restore"]
        steps, without = [], [not stream.has_slot for stream in streams]
        for stream, no_slot in zip(streams, without, strict=True):
            # From now on events are held back, so that its position stays the one from which the journal is read.
            stream.rejoin()
            if no_slot:
                steps.append(self._slots.hold_step(stream.owner, self._cap, [stream.slot]))
            steps.append(self._journal.open_step(stream.owner, stream.position, make=self._restorer is None))
        try:
            answers = iter(await run_all(self._redis, steps))
        except StoreUnavailable:
            for stream in restoring:
                # Its client gets values in the meantime.
                stream.await_restore(())
            raise
        return [
            (
                stream,
                channel,
                self._slots.parse_hold(next(answers)) if no_slot else None,
                self._journal.parse_opened(next(answers)),
            )
            for stream, channel, no_slot in zip(streams, channels, without, strict=True)
        ]

    def _begin(self, stream: Stream, opened: Opened) -> bool:
        """Give a stream the content of its journal. False: the journal has to be read again."""
        if stream.state != "joining":
            # It has ended, or its client does not read; in that case it is joined when the client reads again.
            return True
        newest = self._feeds.payloads(stream.names)
        restorer = None if opened.complete else self._restorer
        follows = opened.kind == "history"
        if restorer is None or follows:
            # Events that follow its position exactly are correct, even if the journal is incomplete.
            done = stream.join(opened, list(newest.values()))
            self._listener.on_current(stream)
        else:
            done = stream.await_restore(list(newest.values()), opened)
        if not done:
            return False
        if restorer is not None and not stream.ended:
            restorer.want(stream, spread=follows)
        # A value that was gone may be back.
        self._loads.begin([name for name in stream.names if name not in newest or is_gone(newest[name])])
        return True
