"""Which deliveries of webhooks were carried out. Key: `bff:{hook:<sha256>}`, string; TTL as the caller says."""

from __future__ import annotations

import hashlib

from .redis.client import RedisClient, reaching


class Deliveries:
    """Every method raises StoreUnavailable when Redis is away."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis

    async def told(self, source: str, id: str) -> bool:
        """Whether this one was carried out before."""
        with reaching("deliveries"):
            return bool(await self._redis.call("EXISTS", _key(source, id)))

    async def tell(self, source: str, id: str, seconds: float) -> None:
        """It was carried out; remember that for so long."""
        with reaching("deliveries"):
            await self._redis.call("SET", _key(source, id), b"1", "PX", int(seconds * 1000))


def _key(source: str, id: str) -> str:
    return f"bff:{{hook:{hashlib.sha256(f'{source} {id}'.encode()).hexdigest()}}}"
