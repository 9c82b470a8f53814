"""Leases: who does the work just now. They save work; correctness must not hang on them (a holder may be frozen and
not know that it lost one).

Key: `bff:{lease:<name>}`, string, the holder's id; TTL is the lease itself.
"""

from __future__ import annotations

from .redis.client import RedisClient


class Leases:
    """Every method raises StoreUnavailable when Redis is away."""

    def __init__(self, redis: RedisClient) -> None:
        self._lease = redis.script("lease")

    async def hold(self, name: str, holder: str, seconds: float) -> bool:
        """Take the lease or renew it; False while it is another's."""
        return bool(await self._lease([f"bff:{{lease:{name}}}"], [holder, int(seconds * 1000)]))

    async def release(self, name: str, holder: str) -> bool:
        """Give it back so that another need not wait; False when it was not this holder's."""
        return bool(await self._lease([f"bff:{{lease:{name}}}"], [holder, 0]))
