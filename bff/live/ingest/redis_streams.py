"""Redis Streams as a bus: every partition is a stream, read in order from a place kept in the gateway's Redis.

A place is the last event's id and how many the stream had been given by then: so it is noticed when a stream was
trimmed past its reader, or deleted and made again, whose events are then read from the first. A server older than
Redis 7 does not count, and there it is not noticed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...stores.dead_letters import REPLAYED
from ...stores.events import BrokerEvent, Extent, StreamReader
from ...stores.progress import Positions
from ...stores.redis.client import RedisClient
from .broker import LOOK, Lost, Partition


def stream_names(templates: Sequence[str], partitions: int) -> list[str]:
    """Every stream to read: `{p}` of each template is the partition, counted from 0."""
    names = []
    for template in templates:
        numbers = range(partitions) if "{p}" in template else range(1)
        names += [template.replace("{p}", str(number)) for number in numbers]
    return names


@dataclass(frozen=True, slots=True)
class StreamPosition:
    """id: of the last event dealt with; count: of the entries up to it. Its text is what is kept."""

    id: str = "0-0"
    count: int = 0

    def __str__(self) -> str:
        return f"{self.id} {self.count}"

    @classmethod
    def parse(cls, text: str | None) -> StreamPosition:
        """The first place of all for None."""
        if text is None:
            return cls()
        id, _, count = text.partition(" ")
        return cls(id, int(count or 0))

    def beside(self, extent: Extent) -> tuple[StreamPosition, str]:
        """Where to go on in a stream of this extent, and what was lost before it, nothing for ""."""
        if extent.added < self.count or _numbers(extent.last) < _numbers(self.id):
            return StreamPosition(), "it was made again"
        dropped = extent.added - extent.length
        if dropped > self.count:
            return StreamPosition(self.id, dropped), "it was trimmed past its reader"
        if extent.last == self.id and extent.added > self.count:
            return StreamPosition(self.id, extent.added), "it was trimmed past its reader"
        return self, ""


class RedisStreams:
    """streams: names to read, see `stream_names`; what is replayed from the dead letters is read beside them. block:
    seconds a read waits."""

    name = "redis"

    def __init__(self, redis: RedisClient, streams: Sequence[str], *, block: float = 1.0) -> None:
        self._redis = redis
        self._block = block
        self._streams = [*streams, REPLAYED]
        self._positions = Positions(redis)
        self._reader: StreamReader | None = None
        self._lost: Lost | None = None
        self._places: dict[str, StreamPosition] = {}
        self._portion = Partition(len(self._streams))
        self._next_look = 0.0

    async def begin(self, lost: Lost) -> None:
        self._reader = StreamReader(self._redis, block=self._block)
        self._lost = lost
        kept = await self._positions.load(self._streams)
        self._places = {stream: StreamPosition.parse(text) for stream, text in kept.items()}
        self._portion = Partition(len(self._streams))
        self._next_look = 0.0

    async def read(self) -> Mapping[str, Sequence[BrokerEvent]]:
        if self._reader is None:
            return {}
        now = asyncio.get_running_loop().time()
        if now >= self._next_look:
            await self._look(self._reader)
            self._next_look = now + LOOK
        after = {stream: place.id for stream, place in self._places.items()}
        read = await self._reader.read(after, count=self._portion.count)
        self._portion.saw(read)
        return read

    async def _look(self, reader: StreamReader) -> None:
        for stream, extent in (await reader.extents(self._streams)).items():
            place, why = self._places[stream].beside(extent)
            if why and self._lost is not None:
                await self._lost(f"{stream}: {why}")
                await self._move(stream, place)

    async def done(self, partition: str, events: Sequence[BrokerEvent]) -> None:
        count = self._places[partition].count + len(events)
        await self._move(partition, StreamPosition(events[-1].id, count))

    async def _move(self, stream: str, place: StreamPosition) -> None:
        await self._positions.save(stream, str(place))
        self._places[stream] = place

    async def end(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            await reader.close()


def _numbers(id: str) -> list[int]:
    return [int(part) for part in id.split("-")]
