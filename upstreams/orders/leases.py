"""Which orders processes live, as they say it in Redis. Guarantees that a lease ends by itself when its holder does not
renew it. Refuses to be needed for correctness: two holders at once only do the same work twice.

Keys: `orders:exec:<executor id>`, one for each living process, and `orders:recovery`, whose value is the executor
that recovers the sagas of the others. Each lives for the lease's time.
"""

from __future__ import annotations

from collections.abc import Iterable

from bff_service import redis_client

RECOVERY = "orders:recovery"

# Take the lease, or renew it when it is mine; 1 when it is mine now.
_TAKE = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""


class Leases:
    """This process's leases. Every method raises `RedisError` or `OSError` when Redis does not answer within 1 s."""

    def __init__(self, redis_url: str, executor_id: str, *, seconds: float) -> None:
        self._redis = redis_client(redis_url, connections=4)
        self._executor_id = executor_id
        self._milliseconds = int(seconds * 1000)
        self._take = self._redis.register_script(_TAKE)

    async def renew(self) -> None:
        """Say that this process lives."""
        await self._redis.set(_lease_of(self._executor_id), 1, px=self._milliseconds)

    async def recovers(self) -> bool:
        """Whether this process is the one that recovers the sagas of dead ones."""
        return bool(await self._take(keys=[RECOVERY], args=[self._executor_id, self._milliseconds]))

    async def living(self, executor_ids: Iterable[str]) -> set[str]:
        """Those of the executors that hold their lease."""
        asked = sorted(executor_ids)
        if not asked:
            return set()
        found = await self._redis.mget([_lease_of(executor_id) for executor_id in asked])
        return {executor_id for executor_id, lease in zip(asked, found, strict=True) if lease is not None}

    async def release(self) -> None:
        """Say that this process ends: its sagas may be adopted at once."""
        await self._redis.delete(_lease_of(self._executor_id))

    async def close(self) -> None:
        await self._redis.aclose()


def _lease_of(executor_id: str) -> str:
    return f"orders:exec:{executor_id}"
