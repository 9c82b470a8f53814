"""Admission: whether a request is taken at all, decided before any work is done for it. Pure.

A saturated event loop makes every answer late, and a deadline inside a handler cannot help: it starts too late itself
(measured: with a budget of 100 ms on a saturated process 98 % of the answers came too late and only 0.2 % were 504). So
requests are refused at the door when too many are in flight or when the loop lags; some way before that screens are
told to leave their optional parts out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Entry = Literal["in", "lean", "refused"]


@dataclass(frozen=True, slots=True)
class AdmissionRule:
    """The thresholds.

    in_flight  requests at once; default 1000
    lag        seconds the event loop may be late before requests are refused; default 0.025
    lean       share of either threshold from which screens go without their optional parts; default 0.6
    """

    in_flight: int = 1000
    lag: float = 0.025
    lean: float = 0.6

    def decide(self, in_flight: int, lag: float) -> Entry:
        """in_flight: requests going on now, without this one; lag: seconds the loop is late now."""
        if in_flight >= self.in_flight or lag >= self.lag:
            return "refused"
        if in_flight >= self.lean * self.in_flight or lag >= self.lean * self.lag:
            return "lean"
        return "in"
