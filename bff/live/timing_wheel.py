"""A hashed timing wheel (Varghese and Lauck, 1987): one timer for all streams, with a bucket for each tick of one
round.

Guarantees that a turn handles only the streams that are due, however many others there are. A stream is due within one
`tick` after its time, never early. A stream whose time is more than one round ahead is due at the end of the round, and
has to be put again.
"""

from __future__ import annotations

from .stream import Stream


class TimingWheel:
    """tick: seconds; around: seconds of one round; now: monotonic seconds. The scheduler turns it."""

    def __init__(self, tick: float, around: float, now: float) -> None:
        self.tick = tick
        self._buckets: list[dict[Stream, None]] = [{} for _ in range(int(around / tick) + 2)]
        self._turn = int(now / tick)

    def put(self, stream: Stream, at: float) -> None:
        """Make a stream due at this time (monotonic seconds), instead of an earlier one."""
        self.drop(stream)
        turn = max(self._turn + 1, min(int(at / self.tick) + 1, self._turn + len(self._buckets) - 1))
        stream.bucket = turn % len(self._buckets)
        self._buckets[stream.bucket][stream] = None

    def drop(self, stream: Stream) -> None:
        """Remove a stream."""
        if stream.bucket >= 0:
            self._buckets[stream.bucket].pop(stream, None)
            stream.bucket = -1

    def due(self, now: float) -> list[Stream]:
        """The streams that are due; each has to be put again."""
        found: list[Stream] = []
        last = int(now / self.tick)
        # After a long sleep of the machine the missed rounds are skipped.
        self._turn = max(self._turn, last - len(self._buckets))
        while self._turn < last:
            self._turn += 1
            bucket = self._turn % len(self._buckets)
            found += self._buckets[bucket]
            self._buckets[bucket] = {}
        for stream in found:
            stream.bucket = -1
        return found
