from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bff.policies.admission import ALERT, MIN_LIMIT, Admission, AdmissionRule

ORDER = ["admitted", "degraded", "rejected"]
# A late loop counts at once, without a sustained time.
AT_ONCE = AdmissionRule(in_flight=100, lag=0.05, sustained=0.0)


@pytest.mark.parametrize(
    ("in_flight", "lag", "entry"),
    [
        (0, 0.0, "admitted"),
        (59, 0.0, "admitted"),
        (60, 0.0, "degraded"),
        (99, 0.0, "degraded"),
        (100, 0.0, "rejected"),
        (0, 0.0299, "admitted"),
        (0, 0.03, "degraded"),
        (0, 0.05, "rejected"),
        (60, 0.05, "rejected"),
    ],
)
def test_optional_parts_are_left_out_first_then_requests_are_rejected(
    in_flight: int, lag: float, entry: str
) -> None:
    assert Admission(AT_ONCE).decide(in_flight, lag, 10.0) == entry


def test_decide_by_count_ignores_a_late_loop() -> None:
    policy = Admission(AT_ONCE)
    assert policy.decide(0, 1.0, 10.0) == "rejected"
    assert [policy.decide_by_count(number) for number in (0, 59, 60, 99, 100)] == [
        "admitted",
        "admitted",
        "degraded",
        "degraded",
        "rejected",
    ]


@given(st.integers(0, 200), st.floats(0, 0.4), st.integers(0, 200), st.floats(0, 0.4), st.floats(0, 0.3))
def test_a_higher_load_never_gets_a_milder_decision(
    flight: int, lag: float, more: int, later: float, sustained: float
) -> None:
    policy = Admission(AdmissionRule(in_flight=100, lag=0.05, sustained=sustained))
    one, other = policy.decide(flight, lag, 10.0), policy.decide(flight + more, lag + later, 10.0)
    assert ORDER.index(one) <= ORDER.index(other)


# ---- one late turn, and a standing delay ---------------------------------------------------------------------------

STANDING = AdmissionRule(in_flight=1000, lag=0.05, sustained=0.25, degrade_at=0.6)


def test_a_loop_counts_as_late_for_at_least_its_current_lag() -> None:
    policy = Admission(STANDING)
    policy.record_lag(MIN_LIMIT, 0.05, 10.0)
    # The record means late since 9.95; a lag of 0.4 s at 10.1 means late since 9.7.
    assert policy.decide(MIN_LIMIT, 0.4, 10.1) == "rejected"


def test_one_late_turn_rejects_no_request() -> None:
    policy = Admission(STANDING)
    policy.record_lag(200, 0.1, 10.0)
    assert policy.decide(200, 0.1, 10.0) == "admitted"
    policy.record_lag(200, 0.0, 10.02)
    assert (policy.limit, policy.decide(200, 0.1, 10.1)) == (1000, "admitted")


def test_a_loop_that_stays_late_degrades_screens_first_and_then_rejects() -> None:
    policy = Admission(STANDING)
    entries = []
    for number in range(8):
        now = 10.0 + number * 0.05
        policy.record_lag(200, 0.05, now)
        entries.append(policy.decide(200, 0.05, now))
    # Late since 9.95: degraded from 10.10 on, rejected from 10.20 on.
    assert entries == [
        "admitted",
        "admitted",
        "degraded",
        "degraded",
        "rejected",
        "rejected",
        "rejected",
        "rejected",
    ]
    assert policy.limit < 200


def test_a_measurement_on_time_restarts_the_sustained_time() -> None:
    policy = Admission(STANDING)
    for now in (10.0, 10.1):
        policy.record_lag(200, 0.05, now)
    policy.record_lag(200, 0.029, 10.2)
    policy.record_lag(200, 0.05, 10.3)
    assert policy.decide(200, 0.05, 10.3) == "admitted"
    assert policy.limit == 1000


def test_a_request_that_finds_the_loop_on_time_restarts_the_sustained_time() -> None:
    policy = Admission(STANDING)
    policy.record_lag(200, 0.05, 10.0)
    assert policy.decide(200, 0.0, 15.0) == "admitted", "there are no measurements while nothing is in flight"
    policy.record_lag(200, 0.05, 15.1)
    assert policy.decide(200, 0.05, 15.1) == "admitted"


def test_one_turn_as_long_as_the_sustained_time_is_a_standing_delay() -> None:
    policy = Admission(STANDING)
    assert policy.decide(1, 0.249, 10.0) == "degraded"
    assert policy.decide(1, 0.25, 10.0) == "rejected"


def test_for_a_second_after_a_standing_delay_a_late_turn_rejects_at_once() -> None:
    policy = Admission(STANDING)
    policy.record_lag(200, 0.3, 10.0)
    policy.record_lag(0, 0.0, 10.1)
    assert policy.decide(0, 0.049, 10.5) == "degraded"
    assert policy.decide(0, 0.05, 10.5) == "rejected"
    policy.record_lag(0, 0.05, 10.5)
    assert policy.decide(0, 0.0, 10.5) == "admitted"
    assert policy.decide(0, 0.05, 10.5 + ALERT - 0.01) == "rejected", "it was renewed"
    policy.decide(0, 0.0, 10.5 + ALERT)
    assert policy.decide(0, 0.05, 10.5 + ALERT) == "admitted"


def test_at_the_limit_a_slightly_late_loop_still_rejects() -> None:
    assert Admission(AT_ONCE).decide(100, 0.03, 10.0) == "rejected"


# Halves and quarters, which floats hold exactly, so that values exactly at a threshold can be tested.
EXACT = AdmissionRule(in_flight=1000, lag=0.25, sustained=0.5, degrade_at=0.5)


def test_each_threshold_itself_counts_as_exceeded() -> None:
    assert Admission(EXACT).decide(1, 0.25, 10.0) == "degraded", "late for exactly half of the sustained time"
    policy = Admission(EXACT)
    policy.record_lag(200, 0.125, 10.0)
    assert policy.decide(1, 0.25, 10.5) == "rejected", "exactly half of the lag starts the sustained time"
    policy = Admission(EXACT)
    policy.record_lag(200, 0.5, 10.0)
    assert policy.limit == 160, "late for exactly the sustained time"
    policy.record_lag(0, 0.0, 10.5)
    grown = policy.limit
    policy.record_lag(100, 0.25, 10.0 + ALERT)
    assert policy.limit == grown > 160, "the alert has ended, and a late loop does not raise the limit"


# ---- the limit -----------------------------------------------------------------------------------------------------


def test_a_standing_delay_lowers_the_limit_to_a_share_of_the_requests_in_flight() -> None:
    policy = Admission(AdmissionRule(in_flight=1000, lag=0.05, sustained=0.0))
    policy.record_lag(200, 0.05, 1.0)
    assert policy.limit == 160
    assert policy.decide(160, 0.0, 1.0) == "rejected"
    assert policy.decide(159, 0.0, 1.0) == "degraded"
    policy.record_lag(500, 0.06, 1.1)
    assert policy.limit == 128, "a share of the limit when more requests were in flight"


def test_a_loop_on_time_lets_the_limit_grow_back_up_to_the_rule() -> None:
    policy = Admission(AdmissionRule(in_flight=1000, lag=0.05, sustained=0.0))
    policy.record_lag(200, 0.05, 1.0)
    policy.record_lag(10, 0.049, 1.1)
    assert policy.limit == pytest.approx(168)
    for _ in range(100):
        policy.record_lag(10, 0.0, 1.2)
    assert policy.limit == 1000


def test_the_limit_recovers_from_one_bad_moment_within_a_hundred_measurements() -> None:
    policy = Admission(AdmissionRule(in_flight=1000, lag=0.05))
    policy.record_lag(0, 3.0, 1.0)
    assert policy.limit == MIN_LIMIT
    assert policy.decide(MIN_LIMIT - 1, 0.0, 1.0) != "rejected"
    for _ in range(100):
        policy.record_lag(0, 0.0, 1.1)
    assert policy.limit == 1000


def test_a_request_rejected_by_number_also_notices_a_loop_on_time() -> None:
    policy = Admission(AdmissionRule(in_flight=1, lag=0.05, sustained=0.25))
    policy.record_lag(0, 0.049, 10.0)
    assert policy.decide(1, 0.0, 10.2) == "rejected"
    assert policy.decide(0, 0.05, 10.4) == "admitted", "late for 0.05 s"
    policy.record_lag(0, 0.05, 10.6)
    assert policy.decide(1, 0.05, 10.7) == "rejected"
    assert policy.decide(0, 0.05, 10.86) == "rejected", "late for 0.31 s"


def test_a_rule_below_the_minimum_limit_still_applies() -> None:
    policy = Admission(AdmissionRule(in_flight=2, lag=0.05))
    policy.record_lag(2, 1.0, 1.0)
    assert policy.limit == 2
    assert policy.decide(2, 0.0, 1.0) == "rejected"


class AdmissionMachine(RuleBasedStateMachine):
    """Requests come and go while the loop is late or on time. No more requests are admitted than the rule allows, some
    are always admitted, and a late loop rejects only after the sustained time or shortly after a standing delay."""

    @initialize(most=st.integers(1, 60), degrade_at=st.sampled_from([0.3, 0.6, 1.0]))
    def begin(self, most: int, degrade_at: float) -> None:
        self.policy = Admission(AdmissionRule(most, 0.05, 0.25, degrade_at))
        self.most = most
        self.in_flight = 0
        self.now = 100.0
        self.late_since: float | None = None
        self.stood_at = float("-inf")

    def _saw(self, lag: float) -> None:
        """Update the model of the loop: since when it is late."""
        if lag < self.policy.rule.degrade_at * 0.05:
            self.late_since = None

    def _since(self, lag: float) -> float:
        return min(self.now - lag, self.now if self.late_since is None else self.late_since)

    @rule(lag=st.sampled_from([0.0, 0.029, 0.049, 0.05, 0.2, 1.0]), passing=st.floats(0.001, 0.2))
    def come(self, lag: float, passing: float) -> None:
        self.now += passing
        self._saw(lag)
        entry = self.policy.decide(self.in_flight, lag, self.now)
        stood = self.now - self._since(lag) >= 0.25 or self.now < self.stood_at + ALERT
        if self.in_flight < self.policy.limit:
            assert (entry == "rejected") == (lag >= 0.05 and stood)
        else:
            assert entry == "rejected"
        if entry != "rejected":
            self.in_flight += 1

    @precondition(lambda self: self.in_flight)
    @rule()
    def go(self) -> None:
        self.in_flight -= 1

    @rule(lag=st.sampled_from([0.0, 0.049, 0.05, 0.2, 1.0]), passing=st.floats(0.001, 0.2))
    def look(self, lag: float, passing: float) -> None:
        self.now += passing
        self._saw(lag)
        if lag >= self.policy.rule.degrade_at * 0.05:
            self.late_since = self._since(lag)
            if lag >= 0.05 and (self.now - self.late_since >= 0.25 or self.now < self.stood_at + ALERT):
                self.stood_at = self.now
        before = self.policy.limit
        self.policy.record_lag(self.in_flight, lag, self.now)
        if lag < 0.05:
            assert self.policy.limit >= before

    @invariant()
    def bounded_both_ways(self) -> None:
        if hasattr(self, "policy"):
            assert self.in_flight <= self.most
            assert min(self.most, MIN_LIMIT) <= self.policy.limit <= self.most
            assert self.policy.decide_by_count(0) != "rejected"


TestAdmissionMachine = AdmissionMachine.TestCase
TestAdmissionMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
