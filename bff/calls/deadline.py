"""A deadline is one moment on a monotonic clock; it can be brought nearer for a part, never pushed away."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Deadline:
    """at: seconds on `clock`; everything done for the request must be over by then."""

    at: float
    clock: Clock = time.monotonic

    @classmethod
    def after(cls, seconds: float, clock: Clock = time.monotonic) -> Deadline:
        return cls(clock() + seconds, clock)

    def left(self) -> float:
        """Seconds left, never below zero."""
        return max(0.0, self.at - self.clock())

    def within(self, seconds: float | None) -> Deadline:
        """The nearer one of this deadline and `seconds` from now."""
        if seconds is None:
            return self
        return replace(self, at=min(self.at, self.clock() + seconds))
