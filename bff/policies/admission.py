"""Admission: whether a request is taken at all, decided before any work is done for it. Pure.

A saturated event loop makes every answer late, and a deadline inside a handler cannot help: it starts too late itself
(measured: with a budget of 100 ms on a saturated process 98 % of the answers came too late and only 0.2 % were 504). So
requests are refused at the door when too many are in flight or when the loop lags; some way before that screens are
told to leave their optional parts out. How many are too many is found out: a late loop lowers the number to a part of
what was in flight, and a loop in time lets it grow back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Entry = Literal["in", "lean", "refused"]


@dataclass(frozen=True, slots=True)
class AdmissionRule:
    """The thresholds.

    in_flight  requests at once; default 1000
    lag        seconds the event loop may be late before requests are refused; default 0.5
    lean       share of either threshold from which screens go without their optional parts; default 0.6
    """

    in_flight: int = 1000
    lag: float = 0.5
    lean: float = 0.6


# What is let in at once after the loop was late: so much of what was in flight then, and so much more with each look
# at the loop that finds it in time. Never below a few, or nothing would ever be found out.
BACK = 0.8
ON = 1.05
LEAST = 8


class Admission:
    """The decision, and how many requests the machine was found to bear at once: additive growth would take minutes to
    forget one bad moment, so that it shrinks and grows by shares."""

    __slots__ = ("limit", "rule")

    def __init__(self, rule: AdmissionRule) -> None:
        self.rule = rule
        self.limit = float(rule.in_flight)

    def decide(self, in_flight: int, lag: float) -> Entry:
        """in_flight: requests going on now, without this one; lag: seconds the loop is late now."""
        rule = self.rule
        if in_flight >= self.limit or lag >= rule.lag:
            return "refused"
        if in_flight >= rule.lean * self.limit or lag >= rule.lean * rule.lag:
            return "lean"
        return "in"

    def looked(self, in_flight: int, lag: float) -> None:
        """To be told every so often how late the loop was."""
        most = self.rule.in_flight
        if lag >= self.rule.lag:
            self.limit = min(most, max(LEAST, BACK * min(self.limit, in_flight)))
        elif self.limit < most:
            self.limit = min(most, ON * self.limit)
