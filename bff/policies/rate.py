"""Rate limits, the pure part: the rule (GCRA), what the headers say, and the local count for when Redis is away.

GCRA: each request pushes a bucket's theoretical arrival time one interval ahead; a request fits while that time lies no
further ahead than the window. So a full bucket takes `amount` at once and then one an interval, and nothing is counted
by windows that begin for everybody together. The shared count follows the same rule in Lua (`stores/lua/_rate.lua`).
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

CALLERS = 20_000
"""Buckets kept in a process while Redis is away; the ones used longest ago are forgotten first."""

SLACK = 0.25
"""Share of an interval by which a request may come early: what rounding costs over many of them is less."""


@dataclass(frozen=True)
class Quota:
    """amount: requests at once, and in each `seconds` on average; name: how the headers call it."""

    name: str
    amount: int
    seconds: int

    @cached_property
    def every(self) -> float:
        """Seconds in which one request's worth comes back."""
        return self.seconds / self.amount

    def share(self, replicas: int) -> Quota:
        """This gateway's part while it cannot count with the others; at least 1."""
        return Quota(self.name, max(1, self.amount // replicas), self.seconds)


@dataclass(frozen=True)
class Bucket:
    """One caller's quota on one route; key: where it is counted; cost: requests that one counts for."""

    key: str
    quota: Quota
    cost: int = field(default=1, compare=False)

    @cached_property
    def interval(self) -> float:
        """Seconds by which it pushes the arrival time. One that costs more than the whole quota takes all of it, or it
        would never be allowed."""
        return self.quota.every * min(self.cost, self.quota.amount)


@dataclass(frozen=True, slots=True)
class BucketState:
    """One bucket after a request. reset: seconds until one more than `remaining` would be allowed; of one that refused,
    until it would allow what was asked."""

    quota: Quota
    allowed: bool
    remaining: int
    reset: float


def fits(quota: Quota, ahead: float, interval: float | None = None) -> bool:
    """Whether one more request is allowed when the arrival time lies so many seconds ahead. interval: seconds by which
    it would push it; default that of a request that counts for one."""
    interval = quota.every if interval is None else interval
    return ahead + interval * (1 - SLACK) <= quota.seconds


def bucket_states(buckets: Sequence[Bucket], allowed: bool, ahead: Sequence[float]) -> list[BucketState]:
    """What each bucket's state means. ahead: seconds, after a request that was allowed or before one that was not."""
    states = []
    for bucket, one in zip(buckets, ahead, strict=True):
        quota = bucket.quota
        left = max(0, math.floor((quota.seconds - one) / quota.every + SLACK))
        reset = one - quota.seconds + (left + 1) * quota.every if left < quota.amount else 0.0
        fit = allowed or fits(quota, one, bucket.interval)
        if not fit:
            reset = max(reset, one - quota.seconds + bucket.interval)
        states.append(BucketState(quota, fit, left, max(0.0, reset)))
    return states


def headers(told: Sequence[BucketState]) -> dict[str, str]:
    """`RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-11)."""
    if not told:
        return {}
    policy = ", ".join(f'"{one.quota.name}";q={one.quota.amount};w={one.quota.seconds}' for one in told)
    state = ", ".join(f'"{one.quota.name}";r={one.remaining};t={math.ceil(one.reset)}' for one in told)
    return {"ratelimit-policy": policy, "ratelimit": state}


def retry_after(told: Sequence[BucketState]) -> float:
    """Seconds until the last of the buckets that refused allows one more; never earlier than its `t`."""
    return float(max([1, *(math.ceil(one.reset) for one in told if not one.allowed)]))


class LocalRates:
    """Counts of this process alone. Several buckets are all or nothing: a refusal spends none of them."""

    def __init__(self, most: int = CALLERS) -> None:
        self._most = most
        self._next_free: OrderedDict[Bucket, float] = OrderedDict()

    def spend(self, buckets: Sequence[Bucket], now: float) -> list[BucketState]:
        """Count one request at `now` (monotonic seconds) if every bucket allows it."""
        quotas = [bucket.quota for bucket in buckets]
        ahead = [max(0.0, self._next_free.get(bucket, now) - now) for bucket in buckets]
        allowed = all(map(fits, quotas, ahead, [bucket.interval for bucket in buckets]))
        if allowed:
            ahead = [one + bucket.interval for one, bucket in zip(ahead, buckets, strict=True)]
            for bucket, one in zip(buckets, ahead, strict=True):
                self._next_free[bucket] = now + one
                self._next_free.move_to_end(bucket)
                if len(self._next_free) > self._most:
                    self._next_free.popitem(last=False)
        return bucket_states(buckets, allowed, ahead)

    def give_back(self, buckets: Sequence[Bucket], now: float) -> None:
        """Undo one request that `spend` allowed."""
        for bucket in buckets:
            arrival = self._next_free.get(bucket, now) - bucket.interval
            if arrival > now:
                self._next_free[bucket] = arrival
            else:
                self._next_free.pop(bucket, None)

    def clear(self) -> None:
        """Forget everything: the shared count is back."""
        self._next_free.clear()

    def __len__(self) -> int:
        return len(self._next_free)
