"""Rate limits that all gateways count together in Redis: one script spends all buckets of a request, or none (GCRA).

Key (after the prefix of keys.py): `{<tag>}:rate:<hash>`, string, the bucket's theoretical arrival time (Unix ms); TTL
until then. The tag is the owner's (`keys.owner_tag`) for a principal, otherwise 16 hex digits of the SHA-256 hash of
what is counted; `<hash>` is of the route and the quota. A decision takes at most `wait` seconds and fails at once while
Redis is away: every failure is StoreUnavailable.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence

from ..policies.rate import Bucket, BucketState, bucket_states
from .keys import owner_tag, redis_key
from .redis.client import RedisClient, StoreUnavailable

WAIT = 0.05
"""Seconds that a decision may take; after that the gateway counts its own share of the limit."""


def rate_tag(by: str, who: str) -> str:
    """The hash tag of the caller that is counted. by: `principal` (who: its id), `client`, `address`, `tenant`."""
    if by == "principal":
        return owner_tag(who)
    return hashlib.sha256(f"{by}:{who}".encode()).hexdigest()[:16]


def rate_key(tag: str, quota: str) -> str:
    """The key of a bucket. tag: see `rate_tag`; quota: hash of the route and the quota."""
    return redis_key(tag, f"rate:{quota}")


def script_args(buckets: Sequence[Bucket]) -> list[float]:
    """The arguments of the scripts for these buckets: interval and window of each, in ms."""
    return [number for bucket in buckets for number in (bucket.interval * 1000, bucket.quota.seconds * 1000)]


def spent_from(buckets: Sequence[Bucket], answer: Sequence[int]) -> list[BucketState]:
    """Read the answer of `spend` in Lua."""
    return bucket_states(buckets, answer[0] == 1, [micros / 1e6 for micros in answer[1:]])


def by_slot(buckets: Sequence[Bucket]) -> list[list[Bucket]]:
    """Group buckets by slot: in a cluster each group needs its own script call."""
    shares: dict[str, list[Bucket]] = {}
    for bucket in buckets:
        shares.setdefault(bucket.key.partition("}")[0], []).append(bucket)
    return list(shares.values())


class RateStore:
    """wait: seconds that a decision may take (default `WAIT`). In a cluster "all or none" applies to the buckets of one
    slot: those of a principal together, each other bucket separately."""

    def __init__(self, redis: RedisClient, *, wait: float | None = None) -> None:
        self._redis = redis
        self._wait = WAIT if wait is None else wait
        self._rate = redis.script("rate")

    @property
    def away(self) -> bool:
        """Whether Redis does not answer now, so that callers should not wait for it."""
        return self._redis.away

    async def spend(self, buckets: Sequence[Bucket]) -> list[BucketState]:
        """Count one request against every bucket if all allow it."""
        if self._redis.away:
            raise StoreUnavailable("Redis is away")
        if self._redis.cluster:
            return await self._spend_by_slot(buckets)
        answer = await self._rate([bucket.key for bucket in buckets], script_args(buckets), limit=self._wait)
        return spent_from(buckets, answer)

    async def _spend_by_slot(self, buckets: Sequence[Bucket]) -> list[BucketState]:
        shares = by_slot(buckets)
        answers = await asyncio.gather(
            *(
                self._rate([bucket.key for bucket in share], script_args(share), limit=self._wait)
                for share in shares
            )
        )
        found = {
            bucket.key: result
            for share, answer in zip(shares, answers, strict=True)
            for bucket, result in zip(share, spent_from(share, answer), strict=True)
        }
        return [found[bucket.key] for bucket in buckets]
