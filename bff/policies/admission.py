"""Admission: whether a request is taken at all, decided before any work is done for it. Pure.

A saturated event loop makes every answer late, and a deadline inside a handler cannot help: it starts too late itself
(measured: with a budget of 100 ms on a saturated process 98 % of the answers came too late and only 0.2 % were 504). So
requests are refused at the door when too many are in flight, or when the loop is late and stays so; some way before
that screens are told to leave their optional parts out.

One late turn is no overload: a burst of a page's files holds a loop for 30–60 ms and is over. What counts is a standing
delay, as in CoDel (RFC 8289): late at every look for a while. Once there was one, the next is believed at once, until
the loop has been in time for a while. How many requests are too many is found out: a standing delay lowers the number
to a part of what was in flight, and a loop in time lets it grow back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Decision = Literal["admitted", "degraded", "rejected"]


@dataclass(frozen=True, slots=True)
class AdmissionRule:
    """The thresholds.

    in_flight  requests at once; default 1000
    lag        seconds the event loop may be late; default 0.025
    standing   seconds for which it may be later than that before requests are refused; default 0.25
    lean       share of each threshold from which screens go without their optional parts; default 0.6
    """

    in_flight: int = 1000
    lag: float = 0.025
    sustained: float = 0.25
    degrade_at: float = 0.6


# What is let in at once after the loop was late: so much of what was in flight then, and so much more with each look
# at the loop that finds it in time. Never below a few, or nothing would ever be found out.
SHRINK = 0.8
GROW = 1.05
MIN_LIMIT = 8
# Seconds after a standing delay in which a late loop is taken for the next one at once.
ALERT = 1.0


class Admission:
    """The decision, and how many requests the machine was found to bear at once: additive growth would take minutes to
    forget one bad moment, so that it shrinks and grows by shares. `now` is in monotonic seconds everywhere."""

    __slots__ = ("_alert_until", "_since", "limit", "rule")

    def __init__(self, rule: AdmissionRule) -> None:
        self.rule = rule
        self.limit = float(rule.in_flight)
        self._since: float | None = None
        self._alert_until = float("-inf")

    def decide_by_count(self, in_flight: int) -> Decision:
        """For what may be late. in_flight: requests going on now, without this one."""
        if in_flight >= self.limit:
            return "rejected"
        return "degraded" if in_flight >= self.rule.degrade_at * self.limit else "admitted"

    def decide(self, in_flight: int, lag: float, now: float) -> Decision:
        """As `decide_by_count`, and by how late the loop is. lag: seconds it is now."""
        rule = self.rule
        entry = self.decide_by_count(in_flight)
        if lag < rule.degrade_at * rule.lag:
            # Who is refused for the number has seen it, too: the loop was in time.
            self._since = None
        elif entry != "rejected":
            stood = now - self._late_since(lag, now)
            sustained = 0.0 if now < self._alert_until else rule.sustained
            if lag >= rule.lag and stood >= sustained:
                return "rejected"
            if stood >= rule.degrade_at * sustained:
                return "degraded"
        return entry

    def record_lag(self, in_flight: int, lag: float, now: float) -> None:
        """To be told every so often how late the loop was."""
        rule = self.rule
        if lag < rule.degrade_at * rule.lag:
            self._since = None
        else:
            self._since = self._late_since(lag, now)
            if lag >= rule.lag and (now < self._alert_until or now - self._since >= rule.sustained):
                self._alert_until = now + ALERT
                self.limit = min(rule.in_flight, max(MIN_LIMIT, SHRINK * min(self.limit, in_flight)))
                return
        if lag < rule.lag and self.limit < rule.in_flight:
            self.limit = min(rule.in_flight, GROW * self.limit)

    def _late_since(self, lag: float, now: float) -> float:
        # A loop that is late by so much now has been so at least for that long.
        return now - lag if self._since is None else min(self._since, now - lag)
