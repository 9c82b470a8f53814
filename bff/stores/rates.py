"""Rate limits counted in Redis by all gateways together: one script spends all buckets of a request, or none.

Key: `bff:{<tag>}:rate:<hash>`, string, the bucket's theoretical arrival time (Unix ms); TTL until then. The tag is the
owner's (`journal.owner_tag`) where a principal is counted, else 16 hex digits of SHA-256 of what is; the hash is of the
route and the quota. Nothing here waits longer than `wait` seconds, nor at all while Redis is away: every failure
is StoreUnavailable.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence

from ..policies.rate import Bucket, Spent, spent
from .journal import owner_tag
from .redis.client import RedisClient, StoreUnavailable


def rate_tag(by: str, who: str) -> str:
    """The hash tag of what is counted. by: `principal` (who: its id), `client`, `address`, `tenant`."""
    if by == "principal":
        return owner_tag(who)
    return hashlib.sha256(f"{by}:{who}".encode()).hexdigest()[:16]


def rate_key(tag: str, quota: str) -> str:
    """quota: hash of the route and the quota."""
    return f"bff:{{{tag}}}:rate:{quota}"


def script_args(buckets: Sequence[Bucket]) -> list[float]:
    """What the scripts take of each bucket: interval and window, ms."""
    return [number for one in buckets for number in (one.interval * 1000, one.quota.seconds * 1000)]


def spent_from(buckets: Sequence[Bucket], answer: Sequence[int]) -> list[Spent]:
    """What `spend` in Lua answered."""
    return spent(buckets, answer[0] == 1, [micros / 1e6 for micros in answer[1:]])


def by_slot(buckets: Sequence[Bucket]) -> list[list[Bucket]]:
    """What one script each may take in a cluster."""
    shares: dict[str, list[Bucket]] = {}
    for bucket in buckets:
        shares.setdefault(bucket.key.partition("}")[0], []).append(bucket)
    return list(shares.values())


class RateStore:
    """wait: seconds for a decision (default 0.05). In a cluster all or nothing holds for the buckets of one slot: a
    principal's together, and each other one by itself."""

    def __init__(self, redis: RedisClient, *, wait: float = 0.05) -> None:
        self._redis = redis
        self._wait = wait
        self._rate = redis.script("rate")

    @property
    def away(self) -> bool:
        """Redis gave no answer lately: nobody should wait for one."""
        return self._redis.away

    async def spend(self, buckets: Sequence[Bucket]) -> list[Spent]:
        """Count one request against every bucket if all allow it."""
        if self._redis.away:
            raise StoreUnavailable("Redis is away")
        if not self._redis.cluster:
            return await self._spend(buckets)
        shares = by_slot(buckets)
        answers = iter(await asyncio.gather(*map(self._spend, shares)))
        found = {
            bucket.key: one for share in shares for bucket, one in zip(share, next(answers), strict=True)
        }
        return [found[bucket.key] for bucket in buckets]

    async def _spend(self, buckets: Sequence[Bucket]) -> list[Spent]:
        answer = await self._rate([bucket.key for bucket in buckets], script_args(buckets), limit=self._wait)
        return spent_from(buckets, answer)
