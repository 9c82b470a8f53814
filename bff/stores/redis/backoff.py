"""How long to wait before trying again what has failed, for what tries for ever.

Promises a bound that doubles with each failure up to `longest`, however many there were, and half of it at random:
processes that lost one server together do not come back together.
"""

from __future__ import annotations

import random

_DOUBLINGS = 32  # a float's exponent ends at 1,024: a night without Redis must not end in an OverflowError


def backoff(failures: int, first: float, longest: float) -> float:
    """Seconds, between half and all of `first * 2**failures` or of `longest` (both seconds), whichever is less."""
    bound = min(longest, first * 2.0 ** min(failures, _DOUBLINGS))
    return random.uniform(0.5, 1) * bound  # noqa: S311 - jitter
