"""Rate limits, the pure part: what a window allows, what the headers say, and the local count for when Redis is away.

The local count is a sliding window counter, the same rule the shared one follows: the previous window weighs in by the
share of it that is still in view. Bounded: the callers seen longest ago are forgotten first.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

CALLERS = 20_000
"""Counts kept in a process while Redis is away."""


@dataclass(frozen=True, slots=True)
class Quota:
    """amount: requests in any window of `seconds`; name: how the headers call it."""

    name: str
    amount: int
    seconds: int

    def share(self, replicas: int) -> Quota:
        """This gateway's part while it cannot count with the others; at least 1."""
        return Quota(self.name, max(1, self.amount // replicas), self.seconds)


@dataclass(frozen=True, slots=True)
class Spent:
    """One window after a request. reset: seconds until more is allowed."""

    quota: Quota
    allowed: bool
    remaining: int
    reset: float


def headers(spent: Sequence[Spent]) -> dict[str, str]:
    """`RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-11)."""
    if not spent:
        return {}
    policy = ", ".join(f'"{one.quota.name}";q={one.quota.amount};w={one.quota.seconds}' for one in spent)
    state = ", ".join(f'"{one.quota.name}";r={one.remaining};t={_whole(one.reset)}' for one in spent)
    return {"ratelimit-policy": policy, "ratelimit": state}


def retry_after(spent: Sequence[Spent]) -> float:
    """Seconds until the last of the windows that refused allows one more; never earlier than its `t`."""
    return float(max([1, *(_whole(one.reset) for one in spent if not one.allowed)]))


def counted(
    quota: Quota, allowed: bool, *, previous: int, previous_left: float, current: int, current_left: float
) -> Spent:
    """What a sliding window counter's two windows mean.

    previous_left  seconds until the previous window is out of view
    current_left   seconds until the current window becomes the previous one
    """
    weight = math.floor(previous * previous_left / quota.seconds) + current
    resets = []
    if current:
        resets.append(current_left)
    if previous and previous_left > 0 and current < quota.amount:
        # The moment at which the previous window's weight falls by one more.
        step = quota.seconds / previous
        resets.append(previous_left % step or step)
    return Spent(quota, allowed, max(0, quota.amount - weight), min(resets, default=0.0))


def _whole(seconds: float) -> int:
    return max(0, math.ceil(seconds))


@dataclass(slots=True)
class _Count:
    window: int = 0
    current: int = 0
    previous: int = 0

    def roll(self, window: int) -> None:
        if window == self.window + 1:
            self.previous, self.current = self.current, 0
        elif window != self.window:
            self.previous = self.current = 0
        self.window = window


class LocalRates:
    """Counts of this process alone. Several windows are all or nothing: a refusal spends none of them."""

    def __init__(self, most: int = CALLERS) -> None:
        self._most = most
        self._counts: OrderedDict[tuple[str, Quota], _Count] = OrderedDict()

    def spend(self, who: str, quotas: Sequence[Quota], now: float) -> list[Spent]:
        """Count one request at `now` (monotonic seconds) if every window allows it."""
        counts = [self._count(who, quota, now) for quota in quotas]
        fits = [_fits(count, quota, now) for count, quota in zip(counts, quotas, strict=True)]
        if all(fits):
            for count in counts:
                count.current += 1
        return [
            _spent(count, quota, fit, now) for count, quota, fit in zip(counts, quotas, fits, strict=True)
        ]

    def clear(self) -> None:
        """Forget everything: the shared count is back."""
        self._counts.clear()

    def __len__(self) -> int:
        return len(self._counts)

    def _count(self, who: str, quota: Quota, now: float) -> _Count:
        count = self._counts.setdefault((who, quota), _Count())
        self._counts.move_to_end((who, quota))
        if len(self._counts) > self._most:
            self._counts.popitem(last=False)
        count.roll(int(now // quota.seconds))
        return count


def _spent(count: _Count, quota: Quota, allowed: bool, now: float) -> Spent:
    left = quota.seconds - now % quota.seconds
    return counted(
        quota,
        allowed,
        previous=count.previous,
        previous_left=left,
        current=count.current,
        current_left=left,
    )


def _fits(count: _Count, quota: Quota, now: float) -> bool:
    return _spent(count, quota, True, now).remaining > 0
