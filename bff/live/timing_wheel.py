"""One timer for all streams: a wheel of slots, each holding those whose next moment falls into it.

Promises that a turn looks at what is due and at nothing else, however many streams there are; a moment is met within
one `tick`, never early. Refuses moments further off than a round: those are met at its end and asked again.
"""

from __future__ import annotations

from .stream import Stream


class TimingWheel:
    """tick: seconds; around: seconds of one round. The timer turns it."""

    def __init__(self, tick: float, around: float, now: float) -> None:
        self.tick = tick
        self._slots: list[dict[Stream, None]] = [{} for _ in range(int(around / tick) + 2)]
        self._turn = int(now / tick)

    def put(self, stream: Stream, at: float) -> None:
        """Have it due at this moment and no longer at any other."""
        self.drop(stream)
        turn = max(self._turn + 1, min(int(at / self.tick) + 1, self._turn + len(self._slots) - 1))
        stream.slot = turn % len(self._slots)
        self._slots[stream.slot][stream] = None

    def drop(self, stream: Stream) -> None:
        """Have it due no more."""
        if stream.slot >= 0:
            self._slots[stream.slot].pop(stream, None)
            stream.slot = -1

    def due(self, now: float) -> list[Stream]:
        """Those whose moment has come; each has to be put again."""
        found: list[Stream] = []
        last = int(now / self.tick)
        # A machine that slept for long is not walked through every missed round.
        self._turn = max(self._turn, last - len(self._slots))
        while self._turn < last:
            self._turn += 1
            slot = self._turn % len(self._slots)
            found += self._slots[slot]
            self._slots[slot] = {}
        for stream in found:
            stream.slot = -1
        return found
