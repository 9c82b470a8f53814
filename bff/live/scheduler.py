"""When streams beat and when they end: one timer for all of a process.

Promises a beat at least every `beat` seconds; a warning `WARN` seconds before a session or token ends, and the end
within a quarter of a second of it; that a client which takes nothing for `STALL` seconds is cut off, one that reads
slowly is not, and one that does not even take its `bye` is after `GRACE`. A drain spreads the ends evenly over its
window, in random order, so that whoever takes over meets the same rate from the first to the last.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from . import frames
from .stream import Stream
from .timing_wheel import TimingWheel

STALL = 9.0
GRACE = 0.5
WARN = 30.0
LOT = 16
"""Streams that are cut off in one turn of the loop."""
STEP = 0.05
"""Seconds between two lots of streams that a drain ends."""
RETURN = 1.0
"""Seconds over which clients that were sent away together come back."""
SOON = 0.25
"""The same after a drain, which has spread them itself: to wait longer is an interruption for nothing."""


def back(within: float = RETURN) -> float:
    """Seconds until one client comes back: a random moment, so that not all come at once."""
    return random.uniform(0, within)  # noqa: S311 - jitter


class StreamScheduler:
    """beat: seconds; wall: Unix seconds; clock: monotonic seconds. The hub runs `run()`."""

    def __init__(self, beat: float, wall: Callable[[], float], clock: Callable[[], float]) -> None:
        self._beat = beat
        self._wall = wall
        self._clock = clock
        self._wheel = TimingWheel(min(0.25, beat / 4), beat, clock())
        # What has a backlog, and how many bytes of it the network had not taken at the last look.
        self._slow: dict[Stream, int] = {}

    def add(self, stream: Stream) -> None:
        """Begin to mind it. First beats are spread: everybody may have come at the same moment."""
        now = self._clock()
        self._set(stream, now, random.uniform(0.3, 1) * self._beat)  # noqa: S311 - jitter

    def drop(self, stream: Stream) -> None:
        """Mind it no more."""
        self._wheel.drop(stream)

    def _set(self, stream: Stream, now: float, beat: float) -> None:
        at = min(now + beat - 2 * self._wheel.tick, stream.ends_at)
        if stream.why == "expired" and not stream.warned:
            at = min(at, stream.ends_at - WARN)
        self._wheel.put(stream, at)

    async def pump(self, stream: Stream) -> bool:
        """See a stream's backlog out, and mind how long that takes. True: it wants the journal."""
        self._slow[stream] = 0
        try:
            return await stream.pump(self._clock)
        finally:
            self._slow.pop(stream, None)

    async def run(self) -> None:
        """Turn for ever."""
        while True:
            await asyncio.sleep(self._wheel.tick)
            now = self._clock()
            due = self._wheel.due(now)
            if due:
                self._meet(due, now)
            for number, stream in enumerate(self._stalled(now), 1):
                stream.abort()
                if number % LOT == 0:
                    # Hundreds may have frozen together: everybody else is not to wait for all their ends.
                    await asyncio.sleep(0)

    def _stalled(self, now: float) -> list[Stream]:
        stalled = []
        for stream, before in self._slow.items():
            unsent = self._slow[stream] = stream.unsent
            if unsent < before and not stream.ended:
                stream.since = now
            elif now - stream.since > (GRACE if stream.ended else STALL):
                stalled.append(stream)
        return stalled

    def _meet(self, due: Iterable[Stream], now: float) -> None:
        wall = self._wall()
        beat = frames.beat(self._text(wall))
        for stream in due:
            if stream.ended:
                continue
            left = stream.ends_at - now
            believed = stream.principal.expires_at - wall
            if believed < left:
                # The wall's clock was set: sessions and tokens end by it.
                left, stream.ends_at, stream.why = believed, now + believed, "expired"
            if left <= 0:
                stream.end(stream.why, back() if stream.why == "age" else None)
                continue
            if stream.why == "expired" and left <= WARN and not stream.warned:
                stream.warned = True
                stream.say(frames.expiring(self._text(wall + left), left))
            stream.say(beat)
            self._set(stream, now, self._beat)

    @staticmethod
    def _text(at: float) -> str:
        return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")

    async def drain(self, streams: list[Stream], window: float) -> None:
        """End them all within the window (seconds), those that do not read included."""
        random.shuffle(streams)
        # What is left at the end is for those who do not take their `bye`.
        deadline = self._clock() + max(0.8 * window, window - GRACE - 3 * self._wheel.tick)
        while streams:
            # Always a share of those left in the time left: a loop that was late spreads what it missed.
            left = deadline - self._clock()
            share = 1.0 if left <= STEP else STEP / left
            for _ in range(math.ceil(len(streams) * share)):
                streams.pop().end("drain", back(SOON))
            if streams:
                await asyncio.sleep(STEP)
