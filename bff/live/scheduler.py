"""Schedules the heartbeats and the ends of all streams of a process.

Guarantees a heartbeat at least every `beat` seconds, a warning `WARN` seconds before a session or token ends, and the
end of the stream within a quarter of a second of that. A client that reads nothing for `STALL` seconds is disconnected,
a slow reader is not. A client that does not read its `bye` is disconnected after `GRACE` seconds. A drain spreads the
ends evenly over its window, in random order, so that clients reconnect to other gateways at a constant rate.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from .stream import Stream
from .timing_wheel import TimingWheel

STALL = 9.0
GRACE = 0.5
WARN = 30.0
_CUT_OFF = 16
"""Streams that are disconnected in one turn of the loop."""
_STEP = 0.05
"""Seconds between two groups of streams that a drain ends."""
_RETURN = 1.0
"""Seconds over which clients whose streams ended together reconnect."""
_RETURN_DRAINED = 0.25
"""The same after a drain, which has already spread the ends, so that a longer wait is not needed."""


def retry_after(within: float = _RETURN) -> float:
    """Seconds until a client should reconnect: random, so that clients do not reconnect all at once."""
    return random.uniform(0, within)  # noqa: S311 - jitter


class StreamScheduler:
    """beat: seconds; wall: Unix seconds; clock: monotonic seconds. The hub runs `run()`."""

    def __init__(self, beat: float, wall: Callable[[], float], clock: Callable[[], float]) -> None:
        self._beat = beat
        self._wall = wall
        self._clock = clock
        self._wheel = TimingWheel(min(0.25, beat / 4), beat, clock())
        # The streams being flushed, and the bytes that the network had not accepted at the last check.
        self._slow: dict[Stream, int] = {}

    def add(self, stream: Stream) -> None:
        """Schedule a stream. Its first heartbeat is at a random time, because many streams may start at once."""
        now = self._clock()
        self._schedule(stream, now, random.uniform(0.3, 1) * self._beat)  # noqa: S311 - jitter

    def drop(self, stream: Stream) -> None:
        """Forget a stream."""
        self._wheel.drop(stream)

    def _schedule(self, stream: Stream, now: float, beat: float) -> None:
        at = min(now + beat - 2 * self._wheel.tick, stream.ends_at)
        if stream.end_reason == "expired" and not stream.warned:
            at = min(at, stream.ends_at - WARN)
        self._wheel.put(stream, at)

    async def flush(self, stream: Stream) -> bool:
        """Send what waits for this stream's client, and disconnect a client that does not read. True: the stream needs
        the journal."""
        self._slow[stream] = 0
        try:
            return await stream.flush(self._clock)
        finally:
            self._slow.pop(stream, None)

    async def run(self) -> None:
        """Run the schedule, for ever."""
        while True:
            await asyncio.sleep(self._wheel.tick)
            now = self._clock()
            due = self._wheel.due(now)
            if due:
                self._on_due(due, now)
            for number, stream in enumerate(self._stalled(now), 1):
                stream.abort()
                if number % _CUT_OFF == 0:
                    # Hundreds of clients may stall together. Other streams must not wait for all of them.
                    await asyncio.sleep(0)

    def _stalled(self, now: float) -> list[Stream]:
        stalled = []
        for stream, before in self._slow.items():
            unsent = self._slow[stream] = stream.unsent
            if unsent < before and not stream.ended:
                stream.progress_at = now
            elif now - stream.progress_at > (GRACE if stream.ended else STALL):
                stalled.append(stream)
        return stalled

    def _on_due(self, due: Iterable[Stream], now: float) -> None:
        wall = self._wall()
        at = _iso(wall)
        for stream in due:
            if stream.ended:
                continue
            left = stream.ends_at - now
            valid = stream.principal.expires_at - wall
            if valid < left:
                # The wall clock, by which sessions and tokens end, was changed.
                left, stream.ends_at, stream.end_reason = valid, now + valid, "expired"
            if left <= 0:
                stream.end(stream.end_reason, retry_after() if stream.end_reason == "age" else None)
                continue
            if stream.end_reason == "expired" and left <= WARN and not stream.warned:
                stream.expiring(_iso(wall + left), left)
            stream.heartbeat(at)
            self._schedule(stream, now, self._beat)

    async def drain(self, streams: list[Stream], window: float) -> None:
        """End these streams within the window (seconds), including those whose clients do not read."""
        random.shuffle(streams)
        # The rest of the window is for clients that do not read their `bye`.
        deadline = self._clock() + max(0.8 * window, window - GRACE - 3 * self._wheel.tick)
        while streams:
            # The number follows from the remaining streams and time, so that a late loop spreads what it missed.
            left = deadline - self._clock()
            share = 1.0 if left <= _STEP else _STEP / left
            for _ in range(math.ceil(len(streams) * share)):
                streams.pop().end("drain", retry_after(_RETURN_DRAINED))
            if streams:
                await asyncio.sleep(_STEP)


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
