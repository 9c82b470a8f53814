"""One timer for everything in a request that may take so long and no longer.

A screen with three calls has at least four limits: its own and one for each attempt. They share one timer of the
loop, set to the earliest of them and left alone while later ones come and go: nearly all are over before it rings.
A limit behaves as `asyncio.timeout` does: the task inside is cancelled and the block raises TimeoutError, and a
cancellation from outside stays one.
"""

from __future__ import annotations

import asyncio
import time
from types import TracebackType

from .deadline import Clock

# Seconds by which a loop may ring early: libuv counts in whole milliseconds.
EARLY = 0.001


class Limit:
    """A block of the current task that may take until `at` (monotonic seconds), None: as long as it likes. Made by
    `Alarm.limit`; entered once.

    Raises TimeoutError when the block was cut.
    """

    __slots__ = ("_alarm", "_before", "_cut", "_task", "at")

    def __init__(self, alarm: Alarm, at: float | None) -> None:
        self.at = at
        self._alarm = alarm
        self._cut = False
        self._task: asyncio.Task[object] | None = None
        self._before = 0

    def __enter__(self) -> Limit:
        self._task = task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a limit is for a task")
        self._before = task.cancelling()
        if self.at is not None:
            self._alarm.add(self, self.at)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.at is not None:
            self._alarm.remove(self)
        task, self._task = self._task, None
        if self._cut and task is not None:
            left = task.uncancel()
            if left <= self._before and kind is asyncio.CancelledError:
                raise TimeoutError from error

    def cut(self) -> None:
        """End the block now, as if its time were over. Nothing happens when it is."""
        if self._task is not None and not self._cut:
            self._cut = True
            self._task.cancel()

    @property
    def was_cut(self) -> bool:
        """Whether its time ran out or `cut` ended it."""
        return self._cut


class Alarm:
    """A request's timer. As many limits as the request has tasks and nested blocks, a handful. clock: monotonic
    seconds."""

    __slots__ = ("_at", "_clock", "_limits", "_timer")

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._limits: list[Limit] = []
        self._timer: asyncio.TimerHandle | None = None
        self._at = 0.0

    def limit(self, seconds: float | None) -> Limit:
        """A block that is cut `seconds` from now, at once when that is not above 0; None: only by `Limit.cut`."""
        return Limit(self, None if seconds is None else self._clock() + seconds)

    def add(self, limit: Limit, at: float) -> None:
        """Watch over a block that has been entered."""
        self._limits.append(limit)
        if self._timer is None or at < self._at:
            self._set(at)

    def remove(self, limit: Limit) -> None:
        """A block is over."""
        self._limits.remove(limit)
        if not self._limits and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._at = at
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(max(0.0, at - self._clock()), self._ring)

    def _ring(self) -> None:
        self._timer = None
        now = self._clock() + EARLY
        next_at: float | None = None
        for limit in list(self._limits):
            if limit.at is None or limit.was_cut:
                continue
            if limit.at <= now:
                limit.cut()
            elif next_at is None or limit.at < next_at:
                next_at = limit.at
        if next_at is not None:
            self._set(next_at)
