"""Rate limits, the pure part: the rule (GCRA), the response headers, and the local count while Redis is away.

GCRA (generic cell rate algorithm, ITU-T I.371): each request moves a bucket's theoretical arrival time one interval
ahead, and is allowed while that time is at most one window ahead of now. A full bucket therefore allows `amount`
requests at once, and then one in each interval. There are no fixed windows that begin at the same time for all callers.
The shared count applies the same rule in Lua (`stores/lua/_rate.lua`).
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

CALLERS = 20_000
"""Buckets that a process counts while Redis is away; the least recently used ones are dropped first."""

SLACK = 0.25
"""Share of an interval by which a request may come early. The sum of rounding errors is smaller."""


@dataclass(frozen=True)
class Quota:
    """amount: requests allowed at once, and on average in each `seconds`; name: its name in the response headers."""

    name: str
    amount: int
    seconds: int

    @cached_property
    def every(self) -> float:
        """Seconds after which one more request is allowed."""
        return self.seconds / self.amount

    def share(self, replicas: int) -> Quota:
        """The quota of one of `replicas` gateways while they cannot count together; at least 1 request."""
        return Quota(self.name, max(1, self.amount // replicas), self.seconds)


@dataclass(frozen=True)
class Bucket:
    """One caller's quota on one route. key: where it is counted; cost: requests that one request counts as."""

    key: str
    quota: Quota
    cost: int = field(default=1, compare=False)

    @cached_property
    def interval(self) -> float:
        """Seconds by which a request moves the arrival time. A request that costs more than the whole quota takes the
        whole quota, because otherwise it would never be allowed."""
        return self.quota.every * min(self.cost, self.quota.amount)


@dataclass(frozen=True, slots=True)
class BucketState:
    """One bucket after a request. remaining: requests that are still allowed now; reset: seconds until one more than
    `remaining` is allowed, and when the bucket has refused, until it would allow the same request."""

    quota: Quota
    allowed: bool
    remaining: int
    reset: float


def fits(quota: Quota, ahead: float, interval: float | None = None) -> bool:
    """Whether one more request is allowed when the arrival time is `ahead` seconds ahead of now. interval: seconds by
    which the request moves it; default: those of a request with cost 1."""
    interval = quota.every if interval is None else interval
    return ahead + interval * (1 - SLACK) <= quota.seconds


def bucket_states(buckets: Sequence[Bucket], allowed: bool, ahead: Sequence[float]) -> list[BucketState]:
    """The state of each bucket. ahead: seconds, after an allowed request or before a refused one."""
    states = []
    for bucket, seconds in zip(buckets, ahead, strict=True):
        quota = bucket.quota
        left = max(0, math.floor((quota.seconds - seconds) / quota.every + SLACK))
        reset = seconds - quota.seconds + (left + 1) * quota.every if left < quota.amount else 0.0
        fit = allowed or fits(quota, seconds, bucket.interval)
        if not fit:
            reset = max(reset, seconds - quota.seconds + bucket.interval)
        states.append(BucketState(quota, fit, left, max(0.0, reset)))
    return states


def headers(states: Sequence[BucketState]) -> dict[str, str]:
    """`RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-11)."""
    if not states:
        return {}
    quotas = [state.quota for state in states]
    policy = ", ".join(f'"{quota.name}";q={quota.amount};w={quota.seconds}' for quota in quotas)
    limits = ", ".join(
        f'"{state.quota.name}";r={state.remaining};t={math.ceil(state.reset)}' for state in states
    )
    return {"ratelimit-policy": policy, "ratelimit": limits}


def retry_after(states: Sequence[BucketState]) -> float:
    """Whole seconds, at least 1, until all buckets that refused the request would allow it; never less than `t` of the
    header `RateLimit`."""
    return float(max([1, *(math.ceil(state.reset) for state in states if not state.allowed)]))


class LocalRates:
    """Counts the requests of this process alone. When one of several buckets refuses, none of them counts the request.
    most: buckets, default 20,000; beyond it the least recently used one is dropped."""

    def __init__(self, most: int = CALLERS) -> None:
        self._max_buckets = most
        self._next_free: OrderedDict[Bucket, float] = OrderedDict()

    def spend(self, buckets: Sequence[Bucket], now: float) -> list[BucketState]:
        """Count one request at `now` (monotonic seconds) if every bucket allows it. Returns each bucket's state."""
        quotas = [bucket.quota for bucket in buckets]
        ahead = [max(0.0, self._next_free.get(bucket, now) - now) for bucket in buckets]
        allowed = all(map(fits, quotas, ahead, [bucket.interval for bucket in buckets]))
        if allowed:
            ahead = [seconds + bucket.interval for seconds, bucket in zip(ahead, buckets, strict=True)]
            for bucket, seconds in zip(buckets, ahead, strict=True):
                self._next_free[bucket] = now + seconds
                self._next_free.move_to_end(bucket)
                if len(self._next_free) > self._max_buckets:
                    self._next_free.popitem(last=False)
        return bucket_states(buckets, allowed, ahead)

    def give_back(self, buckets: Sequence[Bucket], now: float) -> None:
        """Undo the count of one request that `spend` allowed."""
        for bucket in buckets:
            arrival = self._next_free.get(bucket, now) - bucket.interval
            if arrival > now:
                self._next_free[bucket] = arrival
            else:
                self._next_free.pop(bucket, None)

    def clear(self) -> None:
        """Drop all counts, because Redis counts again."""
        self._next_free.clear()

    def __len__(self) -> int:
        return len(self._next_free)
