"""Work that all gateways share: leases (which process does it), positions (how far it is), and handled deliveries.

A lease only saves work. Correctness must not depend on it, because a frozen holder does not know that it lost its
lease. Delivery is at least once: a position is saved after the effects of all events up to it.

Keys (after the prefix of keys.py):

    {lease:<name>}               string, the holder's id; TTL: the lease itself
    {ingest:<stream>}:position   string, the last handled event's position in its broker's own format; TTL 30 days
    {hook:<sha256>}              string, marks a handled webhook delivery; TTL from the caller
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from functools import lru_cache

from .keys import redis_key
from .redis.client import RedisClient, StoreUnavailable, store_errors

_POSITION_TTL = 30 * 86_400


class Leases:
    """Every method raises StoreUnavailable when Redis is away."""

    def __init__(self, redis: RedisClient) -> None:
        self._lease = redis.script("lease")

    async def hold(self, name: str, holder: str, seconds: float) -> bool:
        """Acquire or renew the lease. Returns False while another holder has it."""
        return bool(await self._lease([_lease_key(name)], [holder, int(seconds * 1000)]))

    async def release(self, name: str, holder: str) -> bool:
        """End the lease early, so that others need not wait. Returns False when another holder has it."""
        return bool(await self._lease([_lease_key(name)], [holder, 0]))


class Positions:
    """The positions up to which event streams were read. Every method raises StoreUnavailable when Redis is away."""

    def __init__(self, redis: RedisClient) -> None:
        self._read = redis.script("position")
        self._save = redis.script("position_save")
        self._replication_ids: dict[str, bytes] = {}

    async def load(self, streams: Sequence[str]) -> dict[str, str | None]:
        """The saved position of each stream; None for a stream that was never read."""
        rows = await asyncio.gather(*(self._read([_position_key(stream)]) for stream in streams))
        found = dict(zip(streams, rows, strict=True))
        self._replication_ids |= {stream: id for stream, (_, id) in found.items()}
        return {stream: position.decode() if position else None for stream, (position, _) in found.items()}

    async def save(self, stream: str, position: str) -> None:
        """Record that everything up to and including this event was handled. Raises StoreUnavailable also when Redis
        may have lost data since the last `load` of this stream: call `load` again."""
        known = self._replication_ids.get(stream, b"")
        if not await self._save([_position_key(stream)], [known, position, _POSITION_TTL]):
            raise StoreUnavailable(f"Redis may have lost the effects of events of {stream}")


class Deliveries:
    """Webhook deliveries that were handled. Every method raises StoreUnavailable when Redis is away."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis

    async def is_recorded(self, source: str, id: str) -> bool:
        """Whether this delivery was handled before."""
        with store_errors("deliveries"):
            return bool(await self._redis.call("EXISTS", _delivery_key(source, id)))

    async def record(self, source: str, id: str, seconds: float) -> None:
        """Remember for `seconds` that this delivery was handled."""
        with store_errors("deliveries"):
            await self._redis.call("SET", _delivery_key(source, id), b"1", "PX", int(seconds * 1000))


def _lease_key(name: str) -> str:
    return redis_key(f"lease:{name}")


@lru_cache(1024)
def _position_key(stream: str) -> str:
    return redis_key(f"ingest:{stream}", "position")


def _delivery_key(source: str, id: str) -> str:
    return redis_key(f"hook:{hashlib.sha256(f'{source} {id}'.encode()).hexdigest()}")
