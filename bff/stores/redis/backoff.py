"""Waiting times for work that is tried again for ever: exponential backoff with jitter.

The bound doubles with each failure up to `longest`. Up to half of it is random, so that processes that lost a server at
the same time do not return at the same time.
"""

from __future__ import annotations

import random

_DOUBLINGS = 32  # a float's exponent ends at 1,024: many failures must not raise OverflowError


def backoff(failures: int, first: float, longest: float) -> float:
    """Seconds, between half and all of `first * 2**failures` or of `longest` (both seconds), whichever is less."""
    bound = min(longest, first * 2.0 ** min(failures, _DOUBLINGS))
    return random.uniform(0.5, 1) * bound  # noqa: S311 - jitter
