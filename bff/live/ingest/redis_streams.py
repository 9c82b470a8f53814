"""Redis Streams as a broker: every partition is a stream, read in order from a position stored in the gateway's Redis.

A position is the id of the last event and the number of events that the stream had received by then. So the adapter
notices when a stream was trimmed past its reader, or was deleted and recreated; a recreated stream is read from its
first event. A server older than Redis 7 does not count events, so there the adapter cannot notice that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...stores.dead_letters import REPLAYED
from ...stores.events import BrokerEvent, Extent, StreamReader
from ...stores.progress import Positions
from ...stores.redis.client import RedisClient
from .broker import CHECK_INTERVAL, BatchSize, OnLoss


def stream_names(templates: Sequence[str], partitions: int) -> list[str]:
    """Every stream to read: `{p}` of each template is the partition, counted from 0."""
    names = []
    for template in templates:
        numbers = range(partitions) if "{p}" in template else range(1)
        names += [template.replace("{p}", str(number)) for number in numbers]
    return names


@dataclass(frozen=True, slots=True)
class StreamPosition:
    """id: of the last acknowledged event; count: events up to it. `str(position)` is what is stored."""

    id: str = "0-0"
    count: int = 0

    def __str__(self) -> str:
        return f"{self.id} {self.count}"

    @classmethod
    def parse(cls, text: str | None) -> StreamPosition:
        """The position in a stored text; for None the position before the first event."""
        if text is None:
            return cls()
        id, _, count = text.partition(" ")
        return cls(id, int(count or 0))

    def compared_with(self, extent: Extent) -> tuple[StreamPosition, str]:
        """The position to continue from in a stream of this extent, and why events before it are lost; "" when none
        are."""
        if extent.added < self.count or _numbers(extent.last) < _numbers(self.id):
            return StreamPosition(), "it was recreated"
        dropped = extent.added - extent.length
        if dropped > self.count:
            return StreamPosition(self.id, dropped), "it was trimmed past its reader"
        if extent.last == self.id and extent.added > self.count:
            return StreamPosition(self.id, extent.added), "it was trimmed past its reader"
        return self, ""


class RedisStreams:
    """Reads some streams, and the stream of replayed dead letters.

    streams  their names, see `stream_names`
    block    seconds that a read waits for events
    """

    name = "redis"

    def __init__(self, redis: RedisClient, streams: Sequence[str], *, block: float = 1.0) -> None:
        self._redis = redis
        self._block = block
        self._streams = [*streams, REPLAYED]
        self._store = Positions(redis)
        self._reader: StreamReader | None = None
        self._on_loss: OnLoss | None = None
        self._positions: dict[str, StreamPosition] = {}
        self._batch_size = BatchSize(len(self._streams))
        self._next_check = 0.0

    async def open(self, on_loss: OnLoss) -> None:
        self._reader = StreamReader(self._redis, block=self._block)
        self._on_loss = on_loss
        saved = await self._store.load(self._streams)
        self._positions = {stream: StreamPosition.parse(text) for stream, text in saved.items()}
        self._batch_size = BatchSize(len(self._streams))
        self._next_check = 0.0

    async def read(self) -> Mapping[str, Sequence[BrokerEvent]]:
        if self._reader is None:
            return {}
        now = asyncio.get_running_loop().time()
        if now >= self._next_check:
            await self._check(self._reader)
            self._next_check = now + CHECK_INTERVAL
        after = {stream: position.id for stream, position in self._positions.items()}
        read = await self._reader.read(after, count=self._batch_size.count)
        self._batch_size.record(read)
        return read

    async def _check(self, reader: StreamReader) -> None:
        for stream, extent in (await reader.extents(self._streams)).items():
            position, why = self._positions[stream].compared_with(extent)
            if why and self._on_loss is not None:
                await self._on_loss(f"{stream}: {why}")
                await self._save(stream, position)

    async def ack(self, partition: str, events: Sequence[BrokerEvent]) -> None:
        count = self._positions[partition].count + len(events)
        await self._save(partition, StreamPosition(events[-1].id, count))

    async def _save(self, stream: str, position: StreamPosition) -> None:
        await self._store.save(stream, str(position))
        self._positions[stream] = position

    async def close(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            await reader.close()


def _numbers(id: str) -> list[int]:
    return [int(part) for part in id.split("-")]
