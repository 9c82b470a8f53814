from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bff.policies.admission import LEAST, Admission, AdmissionRule

ORDER = ["in", "lean", "refused"]


@pytest.mark.parametrize(
    ("in_flight", "lag", "entry"),
    [
        (0, 0.0, "in"),
        (59, 0.0, "in"),
        (60, 0.0, "lean"),
        (99, 0.0, "lean"),
        (100, 0.0, "refused"),
        (0, 0.0299, "in"),
        (0, 0.03, "lean"),
        (0, 0.05, "refused"),
        (60, 0.05, "refused"),
    ],
)
def test_first_the_optional_parts_go_then_requests(in_flight: int, lag: float, entry: str) -> None:
    assert Admission(AdmissionRule(in_flight=100, lag=0.05, lean=0.6)).decide(in_flight, lag) == entry


@given(st.integers(0, 200), st.floats(0, 0.2), st.integers(0, 200), st.floats(0, 0.2))
def test_more_load_never_opens_the_door_wider(flight: int, lag: float, more: int, later: float) -> None:
    policy = Admission(AdmissionRule(in_flight=100, lag=0.05))
    one, other = policy.decide(flight, lag), policy.decide(flight + more, lag + later)
    assert ORDER.index(one) <= ORDER.index(other)


def test_a_late_loop_lowers_what_is_let_in_to_a_part_of_what_was_there() -> None:
    policy = Admission(AdmissionRule(in_flight=1000, lag=0.05))
    policy.looked(200, 0.05)
    assert policy.limit == 160
    assert policy.decide(160, 0.0) == "refused"
    assert policy.decide(159, 0.0) == "lean"
    policy.looked(500, 0.06)
    assert policy.limit == 128, "of the limit, where more was in flight"


def test_a_loop_in_time_lets_it_grow_back_and_no_further_than_the_rule() -> None:
    policy = Admission(AdmissionRule(in_flight=1000, lag=0.05))
    policy.looked(200, 0.05)
    policy.looked(10, 0.049)
    assert policy.limit == pytest.approx(168)
    for _ in range(100):
        policy.looked(10, 0.0)
    assert policy.limit == 1000


def test_one_bad_moment_with_little_to_do_is_forgotten_within_a_second_of_looks() -> None:
    policy = Admission(AdmissionRule(in_flight=1000, lag=0.05))
    policy.looked(0, 3.0)
    assert policy.limit == LEAST
    assert policy.decide(LEAST - 1, 0.0) != "refused"
    for _ in range(100):
        policy.looked(0, 0.0)
    assert policy.limit == 1000


def test_a_rule_below_the_least_is_kept() -> None:
    policy = Admission(AdmissionRule(in_flight=2, lag=0.05))
    policy.looked(2, 1.0)
    assert policy.limit == 2
    assert policy.decide(2, 0.0) == "refused"


class AdmissionMachine(RuleBasedStateMachine):
    """Requests come and go, the loop is late and is not: nobody is let in beyond the rule, and never nobody at all."""

    @initialize(most=st.integers(1, 60), lean=st.sampled_from([0.3, 0.6, 1.0]))
    def begin(self, most: int, lean: float) -> None:
        self.policy = Admission(AdmissionRule(most, 0.05, lean))
        self.most = most
        self.in_flight = 0

    @rule(lag=st.sampled_from([0.0, 0.029, 0.049, 0.05, 1.0]))
    def come(self, lag: float) -> None:
        entry = self.policy.decide(self.in_flight, lag)
        if lag >= 0.05:
            assert entry == "refused"
        if entry != "refused":
            self.in_flight += 1

    @precondition(lambda self: self.in_flight)
    @rule()
    def go(self) -> None:
        self.in_flight -= 1

    @rule(lag=st.sampled_from([0.0, 0.049, 0.05, 1.0]))
    def look(self, lag: float) -> None:
        before = self.policy.limit
        self.policy.looked(self.in_flight, lag)
        if lag < 0.05:
            assert self.policy.limit >= before

    @invariant()
    def bounded_both_ways(self) -> None:
        if hasattr(self, "policy"):
            assert self.in_flight <= self.most
            assert min(self.most, LEAST) <= self.policy.limit <= self.most
            assert self.policy.decide(0, 0.0) != "refused"


TestAdmissionMachine = AdmissionMachine.TestCase
TestAdmissionMachine.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
