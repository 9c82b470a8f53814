"""Redis Streams as a bus: every partition is a stream, read in order from a position kept in the gateway's Redis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...stores.events import REPLAYED, BusEvent, Positions, StreamReader
from ...stores.link import RedisLink

COUNT = 100
"""Events read at once of each stream."""


def stream_names(templates: Sequence[str], partitions: int) -> list[str]:
    """Every stream to read: `{p}` of each template is the partition, counted from 0."""
    names = []
    for template in templates:
        numbers = range(partitions) if "{p}" in template else range(1)
        names += [template.replace("{p}", str(number)) for number in numbers]
    return names


class RedisStreams:
    """streams: names to read, see `stream_names`; what is replayed from the dead letters is read beside them. block:
    seconds a read waits."""

    name = "redis"

    def __init__(self, link: RedisLink, streams: Sequence[str], *, block: float = 1.0) -> None:
        self._link = link
        self._block = block
        self._streams = [*streams, REPLAYED]
        self._positions = Positions(link)
        self._reader: StreamReader | None = None
        self._read_to: dict[str, str] = {}

    async def begin(self) -> None:
        self._reader = StreamReader(self._link, block=self._block)
        kept = await self._positions.of(self._streams)
        self._read_to = {stream: id or "0-0" for stream, id in kept.items()}

    async def read(self) -> Mapping[str, Sequence[BusEvent]]:
        return {} if self._reader is None else await self._reader.read(self._read_to, count=COUNT)

    async def done(self, partition: str, events: Sequence[BusEvent]) -> None:
        await self._positions.save(partition, events[-1].id)
        self._read_to[partition] = events[-1].id

    async def end(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            await reader.close()
