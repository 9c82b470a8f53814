"""Both ends of the streams in `test_interleavings`: the gateway, put together as by the hub, and browsers.

Promises that a browser looks at each frame as a client does, and remembers what should not have come.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from bff.live.catchup import Recovery
from bff.live.feeds import Feeds
from bff.live.frames import HELLO
from bff.live.restore import Restorer
from bff.live.scheduler import StreamScheduler
from bff.live.stream import Stream
from bff.stores.journal import Position, channel_of
from bff.stores.redis.client import StoreUnavailable
from bff.stores.values import value_channel

from .fakes import (
    ADA,
    NAMES,
    World,
    WorldChannels,
    WorldClock,
    WorldJournal,
    WorldSeats,
    WorldValues,
)


class Gateway:
    """What a hub is to its streams, without its timer's turns. restoring: there are services to ask."""

    def __init__(self, world: World, group: asyncio.TaskGroup, *, restoring: bool) -> None:
        clock = asyncio.get_running_loop().time
        self._world = world
        self._group = group
        # Fakes stand for the stores, whose types they only resemble.
        journal: Any = WorldJournal(world)
        values: Any = WorldValues(world)
        seats: Any = WorldSeats(world)
        server_clock: Any = WorldClock()
        channels: Any = WorldChannels(world)
        self._journal, self._values, self._channels = journal, values, channels
        self._clock = clock
        self._timer = StreamScheduler(15.0, clock, clock)
        self.feeds = Feeds(channels, lambda stream: self.catchup.behind(stream), lambda channel, seat: None)
        self.catchup = Recovery(
            *(journal, values, seats, server_clock, channels, self.feeds, ()),
            Restorer(journal, world.restore, clock=clock) if restoring else None,
            cap=16,
            evicted=lambda channel, seat: None,
            vacate=lambda stream: None,
            waits=lambda stream: stream.say(HELLO),
        )
        self.streams: dict[Stream, Browser] = {}
        group.create_task(self.catchup.run(group, self.open_ones))

    def open_ones(self) -> list[Stream]:
        return [stream for stream in self.streams if not stream.ended]

    def admit(self) -> None:
        chance, top = self._world.chance, self._world.top
        after = chance.choice([None, None, "not ours", f"{top.epoch}-{chance.randint(0, top.offset)}"])
        browser = Browser(self._world, after, queued=chance.random() < 0.33)
        stream = Stream(
            *(ADA, after, NAMES, browser, self._spilled),
            queue=chance.choice([2, 4, 8, 64]),
            ends_at=1e9,
            why="age",
        )
        self.streams[stream] = browser
        self._group.create_task(self._welcome(stream))

    async def _welcome(self, stream: Stream) -> None:
        """The order of `Joins`, which asks all of it in one round trip."""
        stream.opening = True
        await self._world.turns()
        if stream.ended:
            return
        feeds, era = self.feeds, self.feeds.era
        feeds.add(stream)
        try:
            try:
                await self._channels.wait_confirmed()
                opened = await self._journal.open(stream.owner, stream.position)
                unknown = feeds.unknown(stream.names)
                feeds.learn(unknown, await self._values.get(unknown), era)
            finally:
                stream.opening = False
        except StoreUnavailable:
            self.catchup.apart(stream)
            return
        stream.seated = True
        if not self.catchup.begin(stream, opened):
            self.catchup.apart(stream)

    def _spilled(self, stream: Stream) -> None:
        stream.since = self._clock()
        self._group.create_task(self._pump(stream))

    async def _pump(self, stream: Stream) -> None:
        if await self._timer.pump(stream):
            self.catchup.behind(stream)

    def leave(self, stream: Stream) -> None:
        """Its client closes the connection."""
        self.streams[stream].abort()
        stream.close()
        self.catchup.forget(stream)
        self.feeds.remove(stream)

    def hear(self, *, lost: bool = False) -> None:
        """The oldest of what was published arrives; or it was lost, and that is noticed."""
        if not self._world.published:
            return
        channel, data = self._world.published.popleft()
        if lost:
            self.doubt(channel)
        elif channel in self._channels.hearing:
            self._channels.hearing[channel](channel, data)

    def doubt(self, *channels: str) -> None:
        """Something may have gone unheard."""
        channels = channels or (channel_of(ADA.id), *map(value_channel, NAMES))
        self.feeds.doubt(channels)
        self.catchup.check_these(channels)


class Browser:
    """An outlet, and what the client at its other end makes of it. after: its cursor; queued: nothing is
    taken in one step, as by any server but uvicorn. wrong: what it was told that must not be, in words."""

    def __init__(self, world: World, after: str | None, *, queued: bool) -> None:
        self._world = world
        self._queued = queued
        self._likes = world.chance.choice([100, 3000, 60_000])
        self._moved = asyncio.Event()
        self.position = None if after is None else Position.parse(after)
        self.versions: dict[str, int] = {}
        self.wrong: list[str] = []
        self.reading = True
        self.paused = self.bye = self.cut = False
        self.unsent = 0

    def write(self, chunk: bytes, *, last: bool = False) -> bool:
        taken = not (self._queued or self.paused)
        if taken:
            self._take(chunk, last)
        return taken

    async def send(self, chunk: bytes, *, last: bool = False) -> None:
        if not chunk and not last:
            # As the real ones: nothing is written, and so nothing is waited for.
            return
        while not self.cut and (not self.reading if self._queued else self.paused):
            self._moved.clear()
            await self._moved.wait()
        if self._queued:
            await self._world.turns()
        if self.cut:
            raise OSError("the client is gone")
        self._take(chunk, last)

    async def drain(self) -> None:
        while not self.cut and self.paused:
            self._moved.clear()
            await self._moved.wait()

    def abort(self) -> None:
        self.cut = True
        self._moved.set()

    def read(self) -> None:
        """Some of what was sent arrives."""
        if self.reading:
            self.unsent = max(0, self.unsent - self._world.chance.choice([50, 5000, 100_000]))
            self.paused = self.paused and self.unsent > self._likes // 4
            self._moved.set()

    def _take(self, chunk: bytes, last: bool) -> None:
        if self.bye and chunk:
            self.wrong.append("something after bye")
        self.unsent += len(chunk)
        self.paused = not self._queued and self.unsent > self._likes
        # No frame is ever cut in two.
        for frame in chunk.decode().split("\n\n")[:-1]:
            lines = dict(line.split(": ", 1) for line in frame.splitlines())
            self._told(lines.get("event"), Position.parse(lines.get("id", "")), lines.get("data", ""))
        if last is not self.bye:
            self.wrong.append("the last frame is not bye")

    def _told(self, event: str | None, position: Position | None, data: str) -> None:
        if self.bye:
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
            # At no position: true by its version.
            data.encode() in entries
            for entries in self._world.journals.values()
        ):
            self.wrong.append("a saga that never was")
        self.bye = self.bye or event == "bye"

    def _learn(self, value: dict[str, object]) -> None:
        name, version = str(value["name"]), int(str(value["version"]))
        if version < self.versions.get(name, 0):
            self.wrong.append(f"{name} {version} after {self.versions[name]}")
        self.versions[name] = version
