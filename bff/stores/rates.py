"""Rate limits counted in Redis by `limits.aio`, a sliding window counter, through a small warm pool of its own.

Keys: `bff:rate:{LIMITER/<route>/<hash of who>/<amount>/<multiples>/<granularity>}` and the same with `/-1` for the
window before; TTL two windows. Nothing here waits longer than `timeout` seconds, and every failure is StoreUnavailable:
slowapi's own storage is synchronous and stopped the whole event loop for 5 s when Redis froze.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from limits import RateLimitItem
from limits.aio.storage import RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from redis.asyncio import Redis

from .client import pool_of
from .link import StoreUnavailable, reaching


@dataclass(frozen=True, slots=True)
class Hit:
    """allowed, and the two windows behind it: their counts, and for how many seconds each stays what it is."""

    allowed: bool
    previous: int
    previous_left: float
    current: int
    current_left: float


class RateStore:
    """timeout: seconds for one whole decision (default 0.05); connections: kept open (default 8)."""

    def __init__(self, url: str, *, timeout: float = 0.05, connections: int = 8) -> None:
        self._timeout = timeout
        self._connections = connections
        self._pool = pool_of(url, connections=connections, timeout=timeout)
        self._client: Any = Redis(connection_pool=self._pool)  # redis-py types answers for both its clients
        options: dict[str, Any] = {"connection_pool": self._pool}  # limits types its options as plain values
        self._storage = RedisStorage(
            f"async+{url}", implementation="redispy", key_prefix="bff:rate", **options
        )
        self._limiter = SlidingWindowCounterRateLimiter(self._storage)

    async def spend(self, items: Sequence[RateLimitItem], *who: str) -> list[Hit]:
        """Count one request against every item. Raises StoreUnavailable.

        All or nothing as far as one call for each item can be: with several, all are asked before any is spent, so
        only requests at the very same moment can spend one window and be refused by another.
        """
        with reaching("rate limit"):
            try:
                async with asyncio.timeout(self._timeout):
                    return await self._spend(items, who)
            except TimeoutError as error:
                raise StoreUnavailable(f"rate limit: no answer within {self._timeout} s") from error

    async def warm(self) -> None:
        """Open all of the pool's connections, or find out that they cannot be. Raises StoreUnavailable."""
        with reaching("rate limit"):
            try:
                async with asyncio.timeout(max(1.0, self._timeout)):
                    await asyncio.gather(*(self._client.ping() for _ in range(self._connections)))
            except TimeoutError as error:
                raise StoreUnavailable("rate limit: no answer to a ping") from error

    async def close(self) -> None:
        await self._pool.disconnect()

    async def _spend(self, items: Sequence[RateLimitItem], who: tuple[str, ...]) -> list[Hit]:
        if len(items) > 1:
            open_ = [await self._limiter.test(item, *who) for item in items]
            if not all(open_):
                return [await self._state(item, who, ok) for item, ok in zip(items, open_, strict=True)]
        spent = []
        for item in items:
            ok = await self._limiter.hit(item, *who)
            spent.append(await self._state(item, who, ok))
        return spent

    async def _state(self, item: RateLimitItem, who: tuple[str, ...], ok: bool) -> Hit:
        # Not `get_window_stats`: within a window's first millisecond it says that the window is over.
        window = item.get_expiry()
        previous, previous_left, current, lifetime = await self._storage.get_sliding_window(
            item.key_for(*who), window
        )
        return Hit(ok, previous, previous_left, current, max(0.0, lifetime - window))
