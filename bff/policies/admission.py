"""Admission: whether a request is accepted, decided before any work is done for it. Pure.

A saturated event loop makes every answer late. A deadline inside a handler does not help, because the handler starts
too late (measured: with a deadline of 100 ms on a saturated process 98 % of the answers were late and only 0.2 % were
504). Therefore requests are rejected when too many are in flight, or when the loop is late for a while. Below these
thresholds screens leave out their optional parts.

One late turn of the loop is not an overload: a burst of requests for a page's files delays a loop by 30–60 ms once. A
standing delay is one, as in CoDel (RFC 8289): the loop is late at every measurement for `sustained` seconds. For one
second after a standing delay a late loop rejects requests at once. The number of requests that are accepted adapts: a
standing delay lowers it to a share of the requests in flight, and it grows again while the loop is on time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Decision = Literal["admitted", "degraded", "rejected"]


@dataclass(frozen=True, slots=True)
class AdmissionRule:
    """The thresholds.

    in_flight   requests at once; default 1000
    lag         seconds by which the event loop may be late; default 0.025
    sustained   seconds for which it may be later than `lag` before requests are rejected; default 0.25
    degrade_at  share of each threshold from which screens leave out their optional parts, 0 to 1; default 0.6
    """

    in_flight: int = 1000
    lag: float = 0.025
    sustained: float = 0.25
    degrade_at: float = 0.6


# After a standing delay the limit is this share of the requests in flight; each measurement that finds the loop on time
# multiplies it by GROW. It is never below MIN_LIMIT, because without requests nothing can be measured.
SHRINK = 0.8
GROW = 1.05
MIN_LIMIT = 8
# Seconds after a standing delay in which a late loop counts as the next standing delay at once.
ALERT = 1.0


class Admission:
    """Decides about each request, and adapts `limit`, the number of requests accepted at once. The limit shrinks and
    grows by factors: with additive growth it would take minutes to recover from one bad moment. `now` is always in
    monotonic seconds."""

    __slots__ = ("_alert_until", "_since", "limit", "rule")

    def __init__(self, rule: AdmissionRule) -> None:
        self.rule = rule
        self.limit = float(rule.in_flight)
        self._since: float | None = None
        self._alert_until = float("-inf")

    def decide_by_count(self, in_flight: int) -> Decision:
        """Decide by the number of requests alone, for requests that may be late. in_flight: requests in progress,
        without this one."""
        if in_flight >= self.limit:
            return "rejected"
        return "degraded" if in_flight >= self.rule.degrade_at * self.limit else "admitted"

    def decide(self, in_flight: int, lag: float, now: float) -> Decision:
        """Decide by the number of requests and by the loop's delay. lag: seconds by which the loop is late now."""
        rule = self.rule
        entry = self.decide_by_count(in_flight)
        if lag < rule.degrade_at * rule.lag:
            # The loop is on time. This counts also when the request is rejected because of the number.
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
        """Record a measurement of the loop's delay, and adapt the limit. Call it at regular intervals."""
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
        # A loop that is late by `lag` seconds now has been late for at least `lag` seconds.
        return now - lag if self._since is None else min(self._since, now - lag)
