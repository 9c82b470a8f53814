"""A bulkhead (Nygard, "Release It!"): calls to a slow upstream use at most its permits, not the whole gateway. Pure: it
only counts, and `Permits` in bff/transport/client.py waits.

When all permits are used, at most `queue` callers wait, in order. A returned permit goes to the caller that has waited
longest, never to a new one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["acquired", "queued", "full"]


@dataclass(frozen=True, slots=True)
class BulkheadRule:
    """permits: calls at once, default 100; queue: callers that may wait at once, default 100; wait: seconds that a
    caller waits at most, default 0.1."""

    permits: int = 100
    queue: int = 100
    wait: float = 0.1


class Bulkhead:
    """The permits of one upstream. used: permits in use; waiting: callers in the queue."""

    __slots__ = ("rule", "used", "waiting")

    def __init__(self, rule: BulkheadRule) -> None:
        self.rule = rule
        self.used = 0
        self.waiting = 0

    def acquire(self) -> Outcome:
        """``acquired``: the caller has a permit and must call `release`. ``queued``: the caller waits until a `release`
        that returns True gives it a permit, or calls `leave_queue`. ``full``: no permit, and the queue is full."""
        if self.used < self.rule.permits:
            self.used += 1
            return "acquired"
        if self.waiting < self.rule.queue:
            self.waiting += 1
            return "queued"
        return "full"

    def release(self) -> bool:
        """Return a permit. True: it now belongs to the caller that has waited longest; wake that caller."""
        if self.waiting:
            self.waiting -= 1
            return True
        self.used -= 1
        return False

    def leave_queue(self) -> None:
        """A waiting caller leaves the queue without a permit."""
        self.waiting -= 1
