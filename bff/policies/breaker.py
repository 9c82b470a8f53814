"""A circuit breaker: stop asking what does not answer, and let a few probes find out when it does again.

Closed: results are counted over a rolling window. It opens after `failures` in a row, or when of at least `minimum`
calls in the window a share of `error_rate` failed or of `slow_rate` were slow. In a row, because on a busy endpoint a
window full of yesterday's good answers would let an outage last for seconds. Open: nothing passes until its time is
over. Half-open: at most `probes` at once; that many good ones close it, one bad one opens it again, for twice as long
up to `open_at_most`. Opening soon after having closed grows the time, too: that is what flapping looks like.

Pure: the clock is injected and nothing waits. What counts as a failure is decided by the caller; a rejection by the
gateway itself never does. A result of a call let in before the last change of state is ignored: it tells nothing of
the state there is now.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from .events import State

BUCKETS = 10


@dataclass(frozen=True, slots=True)
class BreakerRule:
    """When it opens and for how long.

    failures      in a row that open it, whatever the rate; default 5
    error_rate    share of failed calls in the window that opens it, above 0 and up to 1; default 0.5
    slow_rate     share of slow calls in the window that opens it, above 0 and up to 1; default 0.9
    slow          seconds from which an answered call is slow; default infinity: none is
    minimum       calls in the window before its rates mean anything; default 10
    window        seconds looked back; default 10
    open_for      seconds it stays open the first time; default 2
    open_at_most  seconds it stays open at most, however often it opened again; default 4: what came back is found
                  out within this time
    probes        calls at once while half-open, and good ones needed to close; default 1
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
    """Counts of calls, failures and slow calls over the last `seconds`, in tenths of it: a call is forgotten between
    nine and ten tenths later."""

    __slots__ = ("_at", "_ring", "_width", "calls", "failed", "slow")

    def __init__(self, seconds: float) -> None:
        self._width = seconds / BUCKETS
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._ring = [[0, 0, 0] for _ in range(BUCKETS)]
        self._at = 0
        self.calls = self.failed = self.slow = 0

    def add(self, now: float, *, failed: bool, slow: bool) -> None:
        """One call more."""
        at = int(now // self._width)
        if at != self._at:
            self._turn(at)
        bucket = self._ring[at % BUCKETS]
        bucket[0] += 1
        self.calls += 1
        if failed:
            bucket[1] += 1
            self.failed += 1
        if slow:
            bucket[2] += 1
            self.slow += 1

    def _turn(self, at: int) -> None:
        for passed in range(max(self._at + 1, at - BUCKETS + 1), at + 1):
            bucket = self._ring[passed % BUCKETS]
            self.calls -= bucket[0]
            self.failed -= bucket[1]
            self.slow -= bucket[2]
            bucket[:] = (0, 0, 0)
        self._at = at


class Breaker:
    """rule: when it opens; clock: monotonic seconds; on_change: called with each new state and its seconds if open.

    Call `admit()` first. When it lets a call in, read `generation` at once and report with it exactly one of
    `record_success`, `record_failure` or `record_abandoned`.
    """

    __slots__ = (
        "_clock",
        "_closed_at",
        "_good",
        "_level",
        "_on_change",
        "_out",
        "_row",
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
        self._row = 0
        self._until = 0.0
        self._level = 0
        self._closed_at = -math.inf
        self._out = 0
        self._good = 0

    def admit(self) -> float | None:
        """None: send it, and report how it went. A number: do not, and ask again in this many seconds."""
        if self.state == "closed":
            return None
        if self.state == "open":
            left = self._until - self._clock()
            if left > 0:
                return left
            self._move("half-open", 0.0)
        if self._out + self._good >= self.rule.probes:
            return self.rule.open_for
        self._out += 1
        return None

    def record_success(self, generation: int, seconds: float = 0.0) -> None:
        """The upstream answered, whatever it said, after so many seconds."""
        if generation != self.generation:
            return
        slow = seconds >= self.rule.slow
        now = self._clock()
        if self.state == "half-open":
            self._out -= 1
            if slow:
                self._open(now)
                return
            self._good += 1
            if self._good >= self.rule.probes:
                self._closed_at = now
                self._row = 0
                self._window.clear()
                self._move("closed", 0.0)
            return
        self._row = 0
        self._window.add(now, failed=False, slow=slow)
        if slow and self._too_many():
            self._open(now)

    def record_failure(self, generation: int) -> None:
        """The upstream did not answer, or answered that it is broken."""
        if generation != self.generation:
            return
        now = self._clock()
        if self.state == "half-open":
            self._open(now)
            return
        self._row += 1
        self._window.add(now, failed=True, slow=False)
        if self._row >= self.rule.failures or self._too_many():
            self._open(now)

    def record_abandoned(self, generation: int) -> None:
        """The call ended before it told anything of the upstream; a probe's place is free again."""
        if generation == self.generation and self.state == "half-open":
            self._out -= 1

    def _too_many(self) -> bool:
        rule, window = self.rule, self._window
        return window.calls >= rule.minimum and (
            window.failed >= rule.error_rate * window.calls or window.slow >= rule.slow_rate * window.calls
        )

    def _open(self, now: float) -> None:
        rule = self.rule
        again = self.state == "half-open" or now - self._closed_at < rule.window
        # Twice as long each time; beyond 2^16 the cap has long decided.
        self._level = min(self._level + 1, 16) if again else 0
        seconds = max(rule.open_for, min(rule.open_at_most, rule.open_for * 2**self._level))
        self._until = now + seconds
        self._move("open", seconds)

    def _move(self, state: State, open_for: float) -> None:
        self.state = state
        self.generation += 1
        self._out = self._good = 0
        self._on_change(state, open_for)
