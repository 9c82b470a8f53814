"""How far every bus has been read. Promises at least once: a place is saved after the effects of what lies before it.

Key: `bff:{ingest:<stream>}:position`, string, the place of the last event dealt with, in the words of its bus; TTL 30
days from the last one.
"""

from __future__ import annotations

from collections.abc import Sequence

from .link import RedisLink, reaching

_TTL = 30 * 86_400


class Positions:
    """How far streams were read. Every method raises StoreUnavailable when Redis is away."""

    def __init__(self, link: RedisLink) -> None:
        self._link = link

    async def of(self, streams: Sequence[str]) -> dict[str, str | None]:
        """What was saved last, None for a stream never read."""
        with reaching("event positions"):
            async with self._link.client.pipeline(transaction=False) as pipe:
                for stream in streams:
                    pipe.get(_key(stream))
                found = await pipe.execute()
        return {
            stream: place.decode() if place else None for stream, place in zip(streams, found, strict=True)
        }

    async def save(self, stream: str, place: str) -> None:
        """Everything up to and including this event has been dealt with."""
        with reaching("saving a position"):
            await self._link.client.set(_key(stream), place, ex=_TTL)


def _key(stream: str) -> str:
    return f"bff:{{ingest:{stream}}}:position"
