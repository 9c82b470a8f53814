"""Events as a broker delivers them, and Redis Streams as one such broker: entries with the field `event`."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from .redis.client import RedisClient, raise_refusals, store_errors
from .redis.scripts import Step, run_all

FIELD = b"event"
_POLL = 0.05  # seconds
_FIRST_TIME = 10**12
"""Unix milliseconds of 2001: a smaller number in an id is no time."""


@dataclass(frozen=True, slots=True)
class BrokerEvent:
    """An event as a broker delivered it.

    partition  the stream, queue or topic partition that it was read from: events of one partition are in order
    id         names it within its partition
    body       a structured CloudEvent in JSON, at most 64 KB; None: the broker's message has no event in it
    broker     the name of the broker, see `Broker`
    at         Unix seconds at which the broker took it, None where it does not say
    """

    partition: str
    id: str
    body: bytes | None
    broker: str
    at: float | None = None


@dataclass(frozen=True, slots=True)
class Extent:
    """The extent of a stream. added: entries that were ever added; length: entries that it has now; last: id of the
    last one."""

    added: int
    length: int
    last: str


def _taken_at(id: bytes) -> float | None:
    """When Redis took an entry: its id begins with the milliseconds, unless its producer chose another one."""
    ms = int(id.partition(b"-")[0])
    return ms / 1000 if ms > _FIRST_TIME else None


def parse_entries(rows: Sequence[Any]) -> list[tuple[bytes, dict[bytes, bytes]]]:
    """The entries of a stream (id and fields) from the reply to XRANGE or XREAD."""
    return [(id, dict(zip(words[::2], words[1::2], strict=True))) for id, words in rows]


class StreamReader:
    """A reader of some Redis Streams. Every method raises StoreUnavailable when Redis is away. The caller closes it."""

    def __init__(self, redis: RedisClient, *, block: float = 1.0) -> None:
        """block: seconds that a read waits for an event."""
        self._redis = redis
        self._extent = redis.script("stream_extent")
        self._block_ms = math.ceil(block * 1000)
        # A dedicated connection, whose timeout is longer than the wait.
        self._reader: Redis = redis.dedicated(timeout=block + 2.0)
        self._generation = redis.generation

    async def read(self, positions: Mapping[str, str], *, count: int) -> dict[str, list[BrokerEvent]]:
        """At most `count` events of each stream after its position; empty when none came while it waited."""
        with store_errors("reading events"):
            answer = await (self._poll if self._redis.cluster else self._wait)(positions, count)
        read: dict[str, list[BrokerEvent]] = {}
        for name, rows in answer or ():
            stream = name.decode()
            read[stream] = [
                BrokerEvent(stream, id.decode(), fields.get(FIELD), "redis", _taken_at(id))
                for id, fields in rows
                if fields is not None
            ]
        return read

    async def extents(self, streams: Iterable[str]) -> dict[str, Extent]:
        """The extents of these streams, in one round trip, without streams that do not exist. Empty when the server is
        older than Redis 7, which does not count added entries."""
        names = list(streams)
        found = await run_all(self._redis, [Step(self._extent, [name], ()) for name in names])
        return {
            name: Extent(int(answer[0]), int(answer[1]), answer[2].decode())
            for name, answer in zip(names, found, strict=True)
            if answer
        }

    async def _wait(self, positions: Mapping[str, str], count: int) -> Any:
        reader: Any = self._reader  # redis-py types xread's keys too narrowly
        if self._generation != self._redis.generation:
            self._generation = self._redis.generation
            await reader.connection_pool.disconnect()
        return await reader.xread(dict(positions), count=count, block=self._block_ms)

    async def _poll(self, positions: Mapping[str, str], count: int) -> Any:
        """Poll the streams, because in a cluster no command can wait for streams in several slots."""
        deadline = time.monotonic() + self._block_ms / 1000
        commands = [("XREAD", "COUNT", count, "STREAMS", *each) for each in positions.items()]
        while True:
            answers = raise_refusals(await self._redis.batch(commands))
            found = [(name, parse_entries(rows)) for answer in answers for name, rows in answer or ()]
            if found or time.monotonic() > deadline:
                return found
            await asyncio.sleep(_POLL)

    async def close(self) -> None:
        await self._reader.aclose()
