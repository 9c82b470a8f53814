"""When a read has taken so long that a second copy of it may well come first.

"The Tail at Scale" (Dean and Barroso, 2013): send the copy only after the 95th percentile of what such calls usually
take, and it costs about 5 % more calls while it cuts the tail. What is usual is learnt per endpoint from the last
answers. Pure: whoever times the calls says what they took.
"""

from __future__ import annotations

from dataclasses import dataclass

# Answers remembered of each endpoint, and how many of them are new before the percentile is worked out again: 15 µs
# each time, less than a microsecond for each call.
REMEMBERED = 200
RENEWED = 20


@dataclass(frozen=True, slots=True)
class HedgeRule:
    """quantile: share of answers that come sooner than the moment of the second copy, default 0.95; least: seconds that
    are waited in any case, default 0.005; minimum: answers seen before anything is hedged, default 50 (at most 200)."""

    quantile: float = 0.95
    least: float = 0.005
    minimum: int = 50


class Latencies:
    """What one endpoint's last answers took."""

    __slots__ = ("_after", "_next", "_rule", "_seconds", "_unseen")

    def __init__(self, rule: HedgeRule) -> None:
        self._rule = rule
        self._seconds: list[float] = []
        self._next = 0
        self._unseen = 0
        self._after: float | None = None

    def after(self) -> float | None:
        """Seconds after which a second copy is sent, None while too little is known."""
        return self._after

    def record(self, seconds: float) -> None:
        """An answer took so long; also one that was given up after so long, which would have taken longer still."""
        if len(self._seconds) < REMEMBERED:
            self._seconds.append(seconds)
        else:
            self._seconds[self._next] = seconds
            self._next = (self._next + 1) % REMEMBERED
        self._unseen += 1
        if self._unseen >= RENEWED or (self._after is None and len(self._seconds) >= self._rule.minimum):
            self._unseen = 0
            self._renew()

    def _renew(self) -> None:
        count = len(self._seconds)
        if count >= min(self._rule.minimum, REMEMBERED):
            ranked = sorted(self._seconds)
            usual = ranked[min(count - 1, int(self._rule.quantile * count))]
            self._after = max(self._rule.least, usual)
