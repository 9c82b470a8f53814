"""How far every bus has been read. Promises at least once: a place is saved after the effects of what lies before it.

Key: `bff:{ingest:<stream>}:position`, string, the place of the last event dealt with, in the words of its bus; TTL 30
days from the last one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from .redis.client import RedisClient, StoreUnavailable

_TTL = 30 * 86_400


class Positions:
    """How far streams were read. Every method raises StoreUnavailable when Redis is away."""

    def __init__(self, redis: RedisClient) -> None:
        self._read = redis.script("position")
        self._save = redis.script("position_save")
        self._lives: dict[str, bytes] = {}

    async def of(self, streams: Sequence[str]) -> dict[str, str | None]:
        """What was saved last, None for a stream never read."""
        found = await asyncio.gather(*(self._read([_key(stream)]) for stream in streams))
        self._lives |= {stream: life for stream, (_, life) in zip(streams, found, strict=True)}
        return {
            stream: place.decode() if place else None
            for stream, (place, _) in zip(streams, found, strict=True)
        }

    async def save(self, stream: str, place: str) -> None:
        """Everything up to and including this event has been dealt with. Raises StoreUnavailable as well when Redis may
        have lost some of that since `of` was asked, which is to be asked again."""
        if not await self._save([_key(stream)], [self._lives.get(stream, b""), place, _TTL]):
            raise StoreUnavailable(f"Redis may have lost what was read of {stream}")


def _key(stream: str) -> str:
    return f"bff:{{ingest:{stream}}}:position"
