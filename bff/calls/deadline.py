"""How long a request and its parts may take: one deadline, and one timer for all time limits of a request.

A deadline is a moment on a monotonic clock. A part can have an earlier deadline, never a later one.

A screen with three calls has at least four time limits: one for the screen and one for each attempt. They share one
timer of the event loop, set to the earliest limit. A limit with a later end does not change the timer, and nearly all
limits are removed before it fires. A limit behaves like `asyncio.timeout`: it cancels the task inside the block, and
the block raises TimeoutError. A cancellation from outside stays a cancellation.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from types import TracebackType

from msgspec import Struct

Clock = Callable[[], float]

# Seconds by which an event loop may call a timer early: libuv counts whole milliseconds.
EARLY = 0.001


class Deadline(Struct, frozen=True):
    """at: seconds on `clock`, by which all work for the request must have ended."""

    at: float
    clock: Clock = time.monotonic

    @classmethod
    def after(cls, seconds: float, clock: Clock = time.monotonic) -> Deadline:
        """The deadline `seconds` from now."""
        return cls(clock() + seconds, clock)

    def left(self) -> float:
        """Seconds left, never below zero."""
        return max(0.0, self.at - self.clock())

    def within(self, seconds: float | None) -> Deadline:
        """The earlier of this deadline and `seconds` from now; None: this deadline."""
        if seconds is None:
            return self
        return Deadline(min(self.at, self.clock() + seconds), self.clock)


class TimeLimit:
    """Limits a block of the current task until `at` (monotonic seconds; None: no limit). Made by `RequestTimer.limit`;
    entered once.

    Raises TimeoutError when the block was ended by the limit, RuntimeError when it is entered outside a task.
    """

    __slots__ = ("_before", "_expired", "_task", "_timer", "at")

    def __init__(self, timer: RequestTimer, at: float | None) -> None:
        self.at = at
        self._timer = timer
        self._expired = False
        self._task: asyncio.Task[object] | None = None
        self._before = 0

    def __enter__(self) -> TimeLimit:
        self._task = task = asyncio.current_task(self._timer.loop)
        if task is None:
            raise RuntimeError("a time limit can be used only inside a task")
        self._before = task.cancelling()
        if self.at is not None:
            self._timer.add(self, self.at)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.at is not None:
            self._timer.remove(self)
        task, self._task = self._task, None
        if self._expired and task is not None:
            left = task.uncancel()
            if left <= self._before and kind is asyncio.CancelledError:
                raise TimeoutError from error

    def expire(self) -> None:
        """End the block now, as if its time had run out. Does nothing when the block has ended."""
        if self._task is not None and not self._expired:
            self._expired = True
            self._task.cancel()

    @property
    def expired(self) -> bool:
        """Whether the block was ended by its time or by `expire`."""
        return self._expired


class RequestTimer:
    """The timer of one request. It has one limit for each task and nested block, usually fewer than ten. clock:
    monotonic seconds."""

    __slots__ = ("_at", "_clock", "_limits", "_loop", "_timer")

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._limits: list[TimeLimit] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._at = 0.0

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that the request runs on. To look it up takes a system call each time (CPython 3.11)."""
        found = self._loop
        if found is None:
            found = self._loop = asyncio.get_running_loop()
        return found

    def limit(self, seconds: float | None) -> TimeLimit:
        """A limit that ends its block `seconds` from now, at once for 0 or less; None: only `TimeLimit.expire` ends
        it."""
        return TimeLimit(self, None if seconds is None else self._clock() + seconds)

    def add(self, limit: TimeLimit, at: float) -> None:
        """A block was entered."""
        self._limits.append(limit)
        if self._timer is None or at < self._at:
            self._set(at)

    def remove(self, limit: TimeLimit) -> None:
        """A block has ended."""
        self._limits.remove(limit)
        if not self._limits and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._at = at
        self._timer = self.loop.call_later(max(0.0, at - self._clock()), self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        now = self._clock() + EARLY
        next_at: float | None = None
        for limit in list(self._limits):
            if limit.at is None or limit.expired:
                continue
            if limit.at <= now:
                limit.expire()
            elif next_at is None or limit.at < next_at:
                next_at = limit.at
        if next_at is not None:
            self._set(next_at)
