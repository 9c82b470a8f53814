from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bff.policies.retry import RetryBudget, RetryRule, retryable


def test_the_delay_is_a_random_share_of_a_bound_that_doubles_up_to_the_cap() -> None:
    policy = RetryRule(attempts=10, base=0.025, cap=0.25)
    bounds = [policy.delay(made, 60.0, 1.0) for made in range(1, 7)]
    assert bounds == pytest.approx([0.025, 0.05, 0.1, 0.2, 0.25, 0.25])
    assert policy.delay(3, 60.0, 0.0) == 0.0
    assert policy.delay(3, 60.0, 0.5) == pytest.approx(0.05)


def test_the_attempts_include_the_first_one() -> None:
    policy = RetryRule(attempts=3)
    assert policy.delay(2, 60.0, 0.0) is not None
    assert policy.delay(3, 60.0, 0.0) is None
    assert RetryRule(attempts=1).delay(1, 60.0, 0.0) is None


def test_no_attempt_begins_that_cannot_end_before_the_deadline() -> None:
    policy = RetryRule(least=0.002)
    assert policy.delay(1, 0.002, 0.0) == 0.0
    assert policy.delay(1, 0.0019, 0.0) is None
    assert policy.delay(1, 0.026, 1.0) is None
    assert policy.delay(1, 0.0271, 1.0) == pytest.approx(0.025)


def test_a_retry_waits_for_retry_after_or_is_not_made() -> None:
    policy = RetryRule()
    assert policy.delay(1, 5.0, 0.0, retry_after=2.0) == 2.0
    assert policy.delay(1, 5.0, 1.0, retry_after=2.0) == pytest.approx(2.025), "with jitter"
    assert policy.delay(1, 1.9, 0.0, retry_after=2.0) is None


@pytest.mark.parametrize(
    ("status", "retry_after", "again"),
    [
        (500, None, True),
        (502, None, True),
        (503, None, True),
        (504, None, True),
        (501, None, False),
        (505, None, False),
        (429, None, False),
        (429, 0.0, True),
        (429, 1.0, True),
        (404, 1.0, False),
        (302, None, False),
    ],
)
def test_only_temporary_failures_are_retried(status: int, retry_after: float | None, again: bool) -> None:
    assert retryable(status, retry_after) is again


@given(
    st.integers(1, 12),
    st.floats(0, 10),
    st.floats(0, 1, exclude_max=True),
    st.none() | st.floats(0, 10),
)
def test_a_retry_is_never_before_retry_after_or_too_late_for_the_deadline(
    made: int, left: float, chance: float, retry_after: float | None
) -> None:
    policy = RetryRule(attempts=8)
    seconds = policy.delay(made, left, chance, retry_after)
    if made >= 8:
        assert seconds is None
    if seconds is not None:
        assert (retry_after or 0.0) <= seconds <= left - policy.least + 1e-9
        assert seconds <= (retry_after or 0.0) + policy.cap


def test_the_budget_is_a_share_of_the_active_calls_and_at_least_the_minimum() -> None:
    budget = RetryBudget()
    budget.active = 10
    assert [budget.acquire() for _ in range(4)] == [True, True, True, False]
    budget.active = 100
    assert sum(budget.acquire() for _ in range(30)) == 17, "20 in all, with the 3 taken before"
    budget.release()
    assert [budget.acquire(), budget.acquire()] == [True, False]


def test_a_new_budget_has_counts_of_zero() -> None:
    budget = RetryBudget(share=1.0, least=0)
    assert (budget.active, budget.spent) == (0, 0)
    assert not budget.acquire()
    budget.active = 1
    assert budget.acquire() and not budget.acquire()


class BudgetMachine(RuleBasedStateMachine):
    @initialize(share=st.sampled_from([0.0, 0.2, 1.0]), least=st.integers(0, 4))
    def begin(self, share: float, least: int) -> None:
        self.budget = RetryBudget(share, least)
        self.held = 0

    @rule(count=st.integers(1, 20))
    def calls_begin(self, count: int) -> None:
        self.budget.active += count

    @precondition(lambda self: self.budget.active)
    @rule(share=st.floats(0, 1))
    def calls_end(self, share: float) -> None:
        self.budget.active -= int(self.budget.active * share)

    @rule()
    def retry(self) -> None:
        limit = max(self.budget.least, self.budget.share * self.budget.active)
        room = self.held < limit
        assert self.budget.acquire() is room
        if room:
            self.held += 1
            assert self.held < limit + 1

    @precondition(lambda self: self.held)
    @rule()
    def over(self) -> None:
        self.budget.release()
        self.held -= 1

    @invariant()
    def the_count_of_spent_places_is_right(self) -> None:
        if hasattr(self, "budget"):
            assert self.budget.spent == self.held


TestBudgetMachine = BudgetMachine.TestCase
TestBudgetMachine.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
