"""A circuit breaker (Nygard, "Release It!"): it stops calls to a backend that fails, and lets probes find out when the
backend works again.

Closed: results are counted over a rolling window. The breaker opens after `failures` in a row, or when the window has
at least `minimum` calls of which a share of `error_rate` failed or a share of `slow_rate` were slow. Failures in a row
count by themselves, because on a busy endpoint the good answers in the window would hide an outage for seconds. Open:
no call is admitted until its time has passed. Half-open: at most `probes` calls are admitted at once; as many successes
close the breaker, one failure opens it again, for twice as long up to `open_at_most`. The time also doubles when the
breaker opens within `window` seconds after it closed (flapping).

Pure: the clock is injected. The caller decides what a failure is; a rejection by the gateway is never one. The result
of a call that was admitted before the last change of state is ignored.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from .events import State

BUCKETS = 10


@dataclass(frozen=True, slots=True)
class BreakerRule:
    """When a breaker opens and for how long.

    failures      failures in a row that open it, whatever the rate; default 5
    error_rate    share of failed calls in the window that opens it, above 0 and up to 1; default 0.5
    slow_rate     share of slow calls in the window that opens it, above 0 and up to 1; default 0.9
    slow          seconds from which an answered call is slow; default infinity: no call is slow
    minimum       calls in the window from which the rates apply; default 10
    window        length of the window in seconds; default 10
    open_for      seconds that it stays open the first time; default 2
    open_at_most  seconds that it stays open at most, but never below `open_for`; default 4. A backend that works again
                  is found within this time
    probes        calls at once while half-open, and successes that close it; default 1
    """

    failures: int = 5
    error_rate: float = 0.5
    slow_rate: float = 0.9
    slow: float = math.inf
    minimum: int = 10
    window: float = 10.0
    open_for: float = 2.0
    open_at_most: float = 4.0
    probes: int = 1


class Window:
    """Counts calls, failures and slow calls of the last `seconds`, in ten buckets: a call is forgotten after between
    nine and ten tenths of that time."""

    __slots__ = ("_at", "_ring", "_width", "calls", "failed", "slow")

    def __init__(self, seconds: float) -> None:
        self._width = seconds / BUCKETS
        self.clear()

    def clear(self) -> None:
        """Set all counts to 0."""
        self._ring = [[0, 0, 0] for _ in range(BUCKETS)]
        self._at = 0
        self.calls = self.failed = self.slow = 0

    def add(self, now: float, *, failed: bool, slow: bool) -> None:
        """Count one call. now: monotonic seconds."""
        at = int(now // self._width)
        if at != self._at:
            self._advance(at)
        bucket = self._ring[at % BUCKETS]
        bucket[0] += 1
        self.calls += 1
        if failed:
            bucket[1] += 1
            self.failed += 1
        if slow:
            bucket[2] += 1
            self.slow += 1

    def _advance(self, at: int) -> None:
        for passed in range(max(self._at + 1, at - BUCKETS + 1), at + 1):
            bucket = self._ring[passed % BUCKETS]
            self.calls -= bucket[0]
            self.failed -= bucket[1]
            self.slow -= bucket[2]
            bucket[:] = (0, 0, 0)
        self._at = at


class Breaker:
    """One breaker. rule: when it opens; clock: monotonic seconds; on_change: called with each new state and the seconds
    for which it is open (0 when it is not).

    Call `admit()` first. When it admits the call, read `generation` at once, and later call exactly one of
    `record_success`, `record_failure` and `record_abandoned` with it.
    """

    __slots__ = (
        "_clock",
        "_closed_at",
        "_doublings",
        "_failures_in_row",
        "_on_change",
        "_probes_in_progress",
        "_successes",
        "_until",
        "_window",
        "generation",
        "rule",
        "state",
    )

    def __init__(
        self,
        rule: BreakerRule,
        clock: Callable[[], float],
        on_change: Callable[[State, float], None] = lambda state, open_for: None,
    ) -> None:
        self.rule = rule
        self.state: State = "closed"
        self.generation = 0
        self._clock = clock
        self._on_change = on_change
        self._window = Window(rule.window)
        self._failures_in_row = 0
        self._until = 0.0
        self._doublings = 0
        self._closed_at = -math.inf
        self._probes_in_progress = 0
        self._successes = 0

    def admit(self) -> float | None:
        """None: the call is admitted; its result must be recorded. A number: it is not admitted; the next one may be in
        this many seconds."""
        if self.state == "closed":
            return None
        if self.state == "open":
            left = self._until - self._clock()
            if left > 0:
                return left
            self._change_state("half-open", 0.0)
        if self._probes_in_progress + self._successes >= self.rule.probes:
            return self.rule.open_for
        self._probes_in_progress += 1
        return None

    def record_success(self, generation: int, seconds: float = 0.0) -> None:
        """The backend answered after this many seconds, with any status that is not a failure."""
        if generation != self.generation:
            return
        slow = seconds >= self.rule.slow
        now = self._clock()
        if self.state == "half-open":
            self._probes_in_progress -= 1
            if slow:
                self._open(now)
                return
            self._successes += 1
            if self._successes >= self.rule.probes:
                self._closed_at = now
                self._failures_in_row = 0
                self._window.clear()
                self._change_state("closed", 0.0)
            return
        self._failures_in_row = 0
        self._window.add(now, failed=False, slow=slow)
        if slow and self._exceeds_a_rate():
            self._open(now)

    def record_failure(self, generation: int) -> None:
        """The backend did not answer, or its answer says that it does not work."""
        if generation != self.generation:
            return
        now = self._clock()
        if self.state == "half-open":
            self._open(now)
            return
        self._failures_in_row += 1
        self._window.add(now, failed=True, slow=False)
        if self._failures_in_row >= self.rule.failures or self._exceeds_a_rate():
            self._open(now)

    def record_abandoned(self, generation: int) -> None:
        """The call ended without a result that says anything about the backend. A probe's place is free again."""
        if generation == self.generation and self.state == "half-open":
            self._probes_in_progress -= 1

    def _exceeds_a_rate(self) -> bool:
        rule, window = self.rule, self._window
        return window.calls >= rule.minimum and (
            window.failed >= rule.error_rate * window.calls or window.slow >= rule.slow_rate * window.calls
        )

    def _open(self, now: float) -> None:
        rule = self.rule
        again = self.state == "half-open" or now - self._closed_at < rule.window
        # Twice as long each time. The exponent is bounded, because beyond 2^16 `open_at_most` applies anyway.
        self._doublings = min(self._doublings + 1, 16) if again else 0
        seconds = max(rule.open_for, min(rule.open_at_most, rule.open_for * 2**self._doublings))
        self._until = now + seconds
        self._change_state("open", seconds)

    def _change_state(self, state: State, open_for: float) -> None:
        self.state = state
        self.generation += 1
        self._probes_in_progress = self._successes = 0
        self._on_change(state, open_for)
