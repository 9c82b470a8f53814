"""A timing wheel: one timer for all streams, with a bucket for each tick of one round.

Promises that a turn looks at the streams that are due and at no others, however many there are; a stream is due within
one `tick` of its time, never early. A time further off than a round is met at the end of the round, and has to be put
again.
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
        """Make it due at this time only."""
        self.drop(stream)
        turn = max(self._turn + 1, min(int(at / self.tick) + 1, self._turn + len(self._buckets) - 1))
        stream.bucket = turn % len(self._buckets)
        self._buckets[stream.bucket][stream] = None

    def drop(self, stream: Stream) -> None:
        """Never make it due again."""
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
