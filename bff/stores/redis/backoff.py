"""Waiting times between attempts that are repeated for ever: exponential backoff with equal jitter (AWS Architecture
Blog 2015).

The bound doubles with each failure up to `longest`. Up to half of it is random, so that processes that lost a server at
the same time do not come back at the same time.
"""

from __future__ import annotations

import random

_DOUBLINGS = 32  # bounded, because 2.0 ** 1024 raises OverflowError


def backoff(failures: int, first: float, longest: float) -> float:
    """Seconds to wait: at random between half and all of a bound, which is the smaller of `first * 2**failures` and
    `longest` (both in seconds)."""
    bound = min(longest, first * 2.0 ** min(failures, _DOUBLINGS))
    return random.uniform(0.5, 1) * bound  # noqa: S311 - jitter
