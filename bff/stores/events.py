"""How far every bus has been read, Redis Streams as one such bus, and what had to be set aside.

Promises at least once: a position is saved after the effects of what lies before it. Keys:

    bff:{ingest:<stream>}:position   string, the id of the last event dealt with; TTL 30 days from the last one
    bff:dead                         stream of events nobody could use: bus, stream, id, why, body; about 10,000; TTL 30
                                     days
    bff:replayed                     stream of events of other buses that are tried again; about 10,000; TTL 30 days
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from .link import RedisLink, StoreUnavailable, reaching

DEAD = "bff:dead"
# Where an event is put back that came by a bus one cannot write to from here: every gateway that reads events reads it.
REPLAYED = "bff:replayed"
_DEAD_LENGTH = 10_000
_TTL = 30 * 86_400
_FIELD = b"event"
_POLL = 0.05  # seconds


@dataclass(frozen=True, slots=True)
class BusEvent:
    """stream, id: where it stood; body: its bytes, None when the entry has no field `event`; bus: what carried it."""

    stream: str
    id: str
    body: bytes | None
    bus: str = "redis"


class Positions:
    """How far streams were read. Every method raises StoreUnavailable when Redis is away."""

    def __init__(self, link: RedisLink) -> None:
        self._read = link.script("position")
        self._save = link.script("position_save")
        self._lives: dict[str, bytes] = {}

    async def of(self, streams: Sequence[str]) -> dict[str, str | None]:
        """The id of the last event dealt with, None for a stream never read."""
        found = await asyncio.gather(*(self._read([_position_key(stream)]) for stream in streams))
        self._lives |= {stream: life for stream, (_, life) in zip(streams, found, strict=True)}
        return {stream: id.decode() if id else None for stream, (id, _) in zip(streams, found, strict=True)}

    async def save(self, stream: str, id: str) -> None:
        """Everything up to and including this event has been dealt with. Raises StoreUnavailable as well when Redis may
        have lost some of that since `of` was asked, which is to be asked again."""
        if not await self._save([_position_key(stream)], [self._lives.get(stream, b""), id, _TTL]):
            raise StoreUnavailable(f"Redis may have lost what was read of {stream}")


class StreamReader:
    """A reader of some Redis Streams. Raises StoreUnavailable when Redis is away. Close it."""

    def __init__(self, link: RedisLink, *, block: float = 1.0) -> None:
        """block: seconds a read waits for something to come."""
        self._link = link
        self._block_ms = math.ceil(block * 1000)
        # A connection of its own, whose timeout leaves room for the wait.
        self._reader: Redis = link.dedicated(timeout=block + 2.0)

    async def read(self, positions: Mapping[str, str], *, count: int) -> dict[str, list[BusEvent]]:
        """At most `count` events of each stream after its position; empty when none came within the wait."""
        with reaching("reading events"):
            answer = await (self._polled if self._link.cluster else self._waited)(positions, count)
        read: dict[str, list[BusEvent]] = {}
        for name, rows in answer or ():
            stream = name.decode()
            read[stream] = [
                BusEvent(stream, id.decode(), fields.get(_FIELD)) for id, fields in rows if fields is not None
            ]
        return read

    async def _waited(self, positions: Mapping[str, str], count: int) -> Any:
        reader: Any = self._reader  # redis-py types xread's keys too narrowly
        return await reader.xread(dict(positions), count=count, block=self._block_ms)

    async def _polled(self, positions: Mapping[str, str], count: int) -> Any:
        """In a cluster no command waits for streams of several slots: they are asked now and then."""
        over = time.monotonic() + self._block_ms / 1000
        async with self._link.client.pipeline(transaction=False) as pipe:
            while True:
                for stream, position in positions.items():
                    pipe.xread({stream: position}, count=count)
                found = [row for rows in await pipe.execute() for row in rows or ()]
                if found or time.monotonic() > over:
                    return found
                await asyncio.sleep(_POLL)

    async def close(self) -> None:
        await self._reader.aclose()


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """id: its place among the dead letters; event: as it was read; why: what was wrong with it."""

    id: str
    event: BusEvent
    why: str


class DeadLetters:
    """What was set aside, oldest first. Every method raises StoreUnavailable when Redis is away."""

    def __init__(self, link: RedisLink) -> None:
        self._link = link

    async def bury(self, event: BusEvent, why: str) -> None:
        """Set an event aside for a person to look at. At most 64 KB of its body is kept."""
        fields: Any = {
            "bus": event.bus,
            "stream": event.stream,
            "id": event.id,
            "why": why[:500],
            "body": (event.body or b"")[:65_536],
        }
        with reaching("dead letter"):
            async with self._link.client.pipeline(transaction=True) as pipe:
                pipe.xadd(DEAD, fields, maxlen=_DEAD_LENGTH, approximate=True)
                pipe.expire(DEAD, _TTL)
                await pipe.execute()

    async def listed(self, count: int, *, after: str = "-") -> list[DeadLetter]:
        """At most `count`, beginning behind `after` (an id, or "-" for the oldest)."""
        with reaching("dead letters"):
            client: Any = self._link.client
            rows = await client.xrange(DEAD, "-" if after == "-" else f"({after}", "+", count=count)
        return [_dead(id, fields) for id, fields in rows]

    async def replay(self, id: str) -> bool:
        """Put one back at the end of its stream, of `bff:replayed` when it came by another bus; False when there is
        none of that id.

        The stream comes first, its place here is cleared after: a crash between repeats the event, which the journal
        drops.
        """
        with reaching("replaying a dead letter"):
            client: Any = self._link.client
            rows = await client.xrange(DEAD, id, id)
            if not rows:
                return False
            letter = _dead(*rows[0])
            event = letter.event
            body = {_FIELD: event.body or b""}
            if event.bus == "redis":
                await client.xadd(event.stream, body)
            else:
                await client.xadd(REPLAYED, body, maxlen=_DEAD_LENGTH, approximate=True)
                await client.expire(REPLAYED, _TTL)
            await client.xdel(DEAD, id)
        return True


def _dead(id: bytes, fields: Mapping[bytes, bytes]) -> DeadLetter:
    bus = fields.get(b"bus", b"redis").decode()
    event = BusEvent(fields[b"stream"].decode(), fields[b"id"].decode(), fields[b"body"], bus)
    return DeadLetter(id.decode(), event, fields[b"why"].decode())


def _position_key(stream: str) -> str:
    return f"bff:{{ingest:{stream}}}:position"
