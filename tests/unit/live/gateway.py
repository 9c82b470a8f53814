"""Both ends of the streams in `test_interleavings`: the gateway, composed like the hub, and browsers.

A browser reads each frame as a client does, and records frames that must not come.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from bff.edge.http.outlet import SseOutlet
from bff.live.feeds import Feeds
from bff.live.joins import Joins
from bff.live.loads import Loads
from bff.live.recovery import Recovery
from bff.live.restore import Restorer
from bff.live.scheduler import StreamScheduler
from bff.live.stream import Stream
from bff.stores.journal import Position, channel_of
from bff.stores.values import value_channel

from .fakes import (
    ADA,
    NAMES,
    World,
    WorldClock,
    WorldJournal,
    WorldRedis,
    WorldSlots,
    WorldSubscriptions,
    WorldValues,
)


class Gateway:
    """The parts of a hub without the scheduler's timer. restoring: True when services can restore journals."""

    def __init__(self, world: World, group: asyncio.TaskGroup, *, restoring: bool) -> None:
        clock = asyncio.get_running_loop().time
        self._world = world
        self._group = group
        self._clock = clock
        # Fakes replace the stores; they have only the methods that are used here.
        redis: Any = WorldRedis(world)
        journal: Any = WorldJournal(world)
        values: Any = WorldValues(world)
        slots: Any = WorldSlots(world)
        server_clock: Any = WorldClock()
        subscriptions: Any = WorldSubscriptions(world)
        self._subscriptions = subscriptions
        self._scheduler = StreamScheduler(15.0, clock, clock)
        self.feeds = Feeds(subscriptions, self)
        loads = Loads(values, (), self.feeds)
        self._restorer = Restorer(journal, world.restore, self, clock=clock) if restoring else None
        self.joins = Joins(
            *(redis, journal, values, slots, subscriptions, self.feeds, loads, self._restorer, self),
            cap=16,
        )
        self.recovery = Recovery(
            *(journal, values, slots, server_clock, self.feeds, self._restorer, self), cap=16
        )
        self.streams: dict[Stream, Browser] = {}
        for part in (self.joins, self.recovery, loads, self._restorer):
            if part is not None:
                group.create_task(part.run())

    def open_streams(self) -> list[Stream]:
        return [stream for stream in self.streams if not stream.ended]

    def admit(self) -> None:
        chance, head = self._world.chance, self._world.head
        after = chance.choice([None, None, "not ours", f"{head.epoch}-{chance.randint(0, head.offset)}"])
        queue = chance.choice([2, 4, 8, 64])
        browser = Browser(self._world, after, queued=chance.random() < 0.33, queue=queue)
        stream = Stream(ADA, after, NAMES, browser, self, queue=queue, ends_at=1e9, end_reason="age")
        self.streams[stream] = browser
        self.joins.want(stream)

    # ---- the listener --------------------------------------------------------------------------------------------

    def on_buffering(self, stream: Stream) -> None:
        stream.progress_at = self._clock()
        self._group.create_task(self._flush(stream))

    async def _flush(self, stream: Stream) -> None:
        if await self._scheduler.flush(stream):
            self.joins.want(stream)

    def on_joined(self, stream: Stream, reset: str | None) -> None:
        """Nothing to do: joins are not counted here."""

    def on_current(self, stream: Stream) -> None:
        """Nothing to do: the lag is not measured here."""

    def on_lagging(self, stream: Stream) -> None:
        self.joins.want(stream)

    def on_restored(self, stream: Stream) -> None:
        if stream.state != "live":
            self.joins.want(stream)

    def on_waiting(self, stream: Stream) -> None:
        stream.hello()

    def on_evicted(self, channel: str, slot: str) -> None:
        raise AssertionError("there is always a free slot")

    def on_slot_unused(self, stream: Stream) -> None:
        """Nothing to do: slots are not counted here."""

    def on_slots_expired(self) -> None:
        """Nothing to do: slots are not counted here."""

    # ---- events --------------------------------------------------------------------------------------------------

    def leave(self, stream: Stream) -> None:
        """The client of a stream closes the connection."""
        self.streams[stream].abort()
        stream.close()
        self.joins.forget(stream)
        if self._restorer is not None:
            self._restorer.forget(stream)
        self.feeds.remove(stream)

    def deliver(self, *, lost: bool = False) -> None:
        """Deliver the oldest published message. lost: it is lost, and the loss is noticed."""
        if not self._world.published:
            return
        channel, data = self._world.published.popleft()
        if lost:
            self.resubscribe(channel)
        elif channel in self._subscriptions.listeners:
            self._subscriptions.listeners[channel](channel, data)

    def resubscribe(self, *channels: str) -> None:
        """Messages of these channels, or of all, may have been missed."""
        channels = channels or (channel_of(ADA.id), *map(value_channel, NAMES))
        self.feeds.invalidate(channels)
        self.recovery.check(channels)


class Browser(SseOutlet):
    """An outlet and its client. after: the client's cursor; queued: True when `write` never accepts a chunk at once, as
    with servers other than uvicorn; wrong: descriptions of frames that must not come."""

    paused = False
    unsent = 0

    def __init__(self, world: World, after: str | None, *, queued: bool, queue: int) -> None:
        super().__init__(queue)
        self._world = world
        self._queued = queued
        self._high_water = world.chance.choice([100, 3000, 60_000])
        self._moved = asyncio.Event()
        self.position = None if after is None else Position.parse(after)
        self.versions: dict[str, int] = {}
        self.wrong: list[str] = []
        self.reading = True
        self.said_bye = self.cut = False

    def write(self, chunk: bytes, *, last: bool = False) -> bool:
        taken = not (self._queued or self.paused)
        if taken:
            self._take(chunk, last)
        return taken

    async def send(self, chunk: bytes, *, last: bool = False) -> None:
        if not chunk:
            await self._unpaused()
            return
        while not self.cut and (not self.reading if self._queued else self.paused):
            self._moved.clear()
            await self._moved.wait()
        if self._queued:
            await self._world.turns()
        if self.cut:
            raise OSError("the client is gone")
        self._take(chunk, last)

    async def _unpaused(self) -> None:
        while not self.cut and self.paused:
            self._moved.clear()
            await self._moved.wait()

    def abort(self) -> None:
        self.cut = True
        self._moved.set()

    def read(self) -> None:
        """The client reads some of the sent bytes."""
        if self.reading:
            self.unsent = max(0, self.unsent - self._world.chance.choice([50, 5000, 100_000]))
            self.paused = self.paused and self.unsent > self._high_water // 4
            self._moved.set()

    def _take(self, chunk: bytes, last: bool) -> None:
        if self.said_bye and chunk:
            self.wrong.append("something after bye")
        self.unsent += len(chunk)
        self.paused = not self._queued and self.unsent > self._high_water
        # A chunk contains only whole frames.
        for frame in chunk.decode().split("\n\n")[:-1]:
            lines = dict(line.split(": ", 1) for line in frame.splitlines())
            self._receive(lines.get("event"), Position.parse(lines.get("id", "")), lines.get("data", ""))
        if last is not self.said_bye:
            self.wrong.append("the last frame is not bye")

    def _receive(self, event: str | None, position: Position | None, data: str) -> None:
        if self.said_bye:
            self.wrong.append(f"{event} after bye")
        if event in ("snapshot", "reset"):
            self.position = position
            for value in json.loads(data)["values"]:
                self._learn(value)
        elif event == "value":
            self._learn(json.loads(data))
        elif event == "saga" and position is not None:
            if self.position != Position(position.epoch, position.offset - 1):
                self.wrong.append(f"{position} follows {self.position}")
            elif self._world.journals[position.epoch][position.offset - 1].decode() != data:
                self.wrong.append(f"{position} is another event")
            self.position = position
        elif event == "saga" and not any(
            # Events without a position: their versions say which is newer.
            data.encode() in entries
            for entries in self._world.journals.values()
        ):
            self.wrong.append("a saga that was never published")
        self.said_bye = self.said_bye or event == "bye"

    def _learn(self, value: dict[str, object]) -> None:
        name, version = str(value["name"]), int(str(value["version"]))
        if version < self.versions.get(name, 0):
            self.wrong.append(f"{name} {version} after {self.versions[name]}")
        self.versions[name] = version

    @property
    def waiting_bytes(self) -> int:
        """Bytes of the messages in the buffer."""
        return self._buffer.size if self._buffer else 0
