"""A bulkhead: a slow upstream holds at most its own permits, not the whole gateway. Pure counting; nobody waits here.

The shell that waits is bff/transport/client.py. When all permits are out at most `queue` callers wait, in order; a
permit that comes back goes to whoever waits longest, never to somebody who has just come.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["acquired", "queued", "full"]


@dataclass(frozen=True, slots=True)
class BulkheadRule:
    """permits: calls at once, default 100; queue: callers waiting at most, default 100; wait: seconds one of them
    waits at most, default 0.1."""

    permits: int = 100
    queue: int = 100
    wait: float = 0.1


class Bulkhead:
    """used: permits out; waiting: callers in the queue."""

    __slots__ = ("rule", "used", "waiting")

    def __init__(self, rule: BulkheadRule) -> None:
        self.rule = rule
        self.used = 0
        self.waiting = 0

    def acquire(self) -> Outcome:
        """``acquired``: the caller has a permit and calls `release` when done. ``queued``: the caller waits until a
        `release` that returns True hands it a permit, or calls `leave_queue`. ``full``: neither."""
        if self.used < self.rule.permits:
            self.used += 1
            return "acquired"
        if self.waiting < self.rule.queue:
            self.waiting += 1
            return "queued"
        return "full"

    def release(self) -> bool:
        """A permit comes back. True: it now belongs to who has waited longest; wake them."""
        if self.waiting:
            self.waiting -= 1
            return True
        self.used -= 1
        return False

    def leave_queue(self) -> None:
        """A caller leaves the queue without a permit."""
        self.waiting -= 1
