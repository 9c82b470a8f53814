from __future__ import annotations

import math
from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bff.policies.breaker import BUCKETS, Breaker, BreakerRule, Window
from bff.policies.events import State


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Rig:
    """A breaker with a clock that a test sets. moves: each new state and the seconds that it is open."""

    def __init__(self, **changes: float) -> None:
        self.clock = Clock()
        self.moves: list[tuple[State, float]] = []
        self.breaker = Breaker(
            BreakerRule(**changes),  # type: ignore[arg-type]  # some fields are int
            self.clock,
            lambda state, open_for: self.moves.append((state, open_for)),
        )

    def call(self, how: str, seconds: float = 0.0) -> bool:
        """Make one call; False when it was not admitted."""
        breaker = self.breaker
        if breaker.admit() is not None:
            return False
        generation = breaker.generation
        if how == "ok":
            breaker.record_success(generation, seconds)
        elif how == "fail":
            breaker.record_failure(generation)
        else:
            breaker.record_abandoned(generation)
        return True


def test_failures_in_a_row_open_the_breaker_and_admit_returns_the_remaining_time() -> None:
    rig = Rig(failures=3, open_for=2.0)
    for how in ("fail", "fail", "ok", "fail", "fail"):
        rig.call(how)
    assert rig.breaker.state == "closed", "a success resets the number of failures in a row"
    rig.call("fail")
    assert rig.breaker.state == "open"
    rig.clock.now += 0.5
    assert rig.breaker.admit() == 1.5
    rig.clock.now += 1.0
    assert rig.breaker.admit() == 0.5
    assert rig.moves == [("open", 2.0)]


def test_a_share_of_failures_opens_it_when_there_are_enough_calls() -> None:
    rig = Rig(failures=100, error_rate=0.5, minimum=10)
    for how in ["fail", "ok"] * 4:
        rig.call(how)
    rig.call("fail")
    assert rig.breaker.state == "closed", "nine calls are fewer than the minimum"
    rig.call("fail")
    assert rig.breaker.state == "open"


def test_a_share_below_the_rate_leaves_it_closed() -> None:
    rig = Rig(failures=100, error_rate=0.5, minimum=10)
    for how in ["ok", "ok", "fail"] * 30:
        rig.call(how)
    assert rig.breaker.state == "closed"


def test_calls_beyond_the_window_are_forgotten() -> None:
    rig = Rig(failures=100, error_rate=0.5, minimum=10, window=10.0)
    for _ in range(9):
        rig.call("fail")
    rig.clock.now += 11.0
    for how in ["ok"] * 5 + ["fail"] * 4:
        rig.call(how)
    assert rig.breaker.state == "closed"
    rig.call("fail")
    assert rig.breaker.state == "open"


def test_slow_answers_open_the_breaker_and_fast_ones_do_not() -> None:
    rig = Rig(slow=0.9, slow_rate=0.9, minimum=10)
    for _ in range(9):
        rig.call("ok", 0.9)
    assert rig.breaker.state == "closed"
    rig.call("ok", 0.95)
    assert rig.breaker.state == "open"
    quick = Rig(slow=0.9, slow_rate=0.9, minimum=10)
    for _ in range(100):
        quick.call("ok", 0.899)
    assert quick.breaker.state == "closed"


def test_exactly_the_slow_rate_opens_the_breaker() -> None:
    rig = Rig(slow=0.9, slow_rate=0.5, minimum=10)
    for how in [0.1] * 5 + [1.0] * 4:
        rig.call("ok", how)
    assert rig.breaker.state == "closed"
    rig.call("ok", 1.0)
    assert rig.breaker.state == "open"


def test_failures_and_answers_without_a_time_do_not_count_as_slow() -> None:
    rig = Rig(failures=100, error_rate=1.0, slow=0.5, slow_rate=0.5, minimum=10)
    for how in ["ok", "fail"] * 10:
        rig.call(how)
    rig.breaker.record_success(rig.breaker.generation)
    assert rig.breaker._window.slow == 0
    assert rig.breaker.state == "closed"


def test_one_slow_answer_in_five_leaves_the_breaker_closed() -> None:
    rig = Rig(slow=0.9, slow_rate=0.9, minimum=10)
    for turn in range(50):
        rig.call("ok", 1.0 if turn % 5 == 0 else 0.1)
    assert rig.breaker.state == "closed"


def test_one_probe_is_admitted_and_its_success_closes_the_breaker() -> None:
    rig = Rig(failures=1, open_for=2.0)
    rig.call("fail")
    rig.clock.now += 2.0
    assert rig.breaker.admit() is None
    assert rig.breaker.admit() == 2.0, "a second call must wait while the probe is in progress"
    rig.breaker.record_success(rig.breaker.generation)
    assert rig.breaker.state == "closed"
    assert rig.breaker.admit() is None
    assert rig.moves == [("open", 2.0), ("half-open", 0.0), ("closed", 0.0)]


def test_the_number_of_successful_probes_in_the_rule_closes_the_breaker() -> None:
    rig = Rig(failures=1, open_for=2.0, probes=3)
    rig.call("fail")
    rig.clock.now += 2.0
    assert [rig.breaker.admit() for _ in range(4)] == [None, None, None, 2.0]
    generation = rig.breaker.generation
    rig.breaker.record_success(generation)
    rig.breaker.record_success(generation)
    assert rig.breaker.state == "half-open"
    assert rig.breaker.admit() == 2.0, "a successful probe keeps its place"
    rig.breaker.record_success(generation)
    assert rig.breaker.state == "closed"


def test_probes_may_be_sent_one_after_the_other() -> None:
    rig = Rig(failures=1, open_for=2.0, probes=3)
    rig.call("fail")
    rig.clock.now += 2.0
    for _ in range(2):
        assert rig.call("ok")
        assert rig.breaker.state == "half-open"
    assert rig.call("ok")
    assert rig.breaker.state == "closed"


def test_the_result_of_an_earlier_half_open_state_is_ignored() -> None:
    rig = Rig(failures=1, open_for=1.0, probes=2)
    rig.call("fail")
    rig.clock.now += 1.0
    assert rig.breaker.admit() is None
    late = rig.breaker.generation
    rig.call("fail")
    rig.clock.now += 4.0
    assert rig.breaker.admit() is None
    rig.breaker.record_success(late)
    rig.breaker.record_success(late)
    assert rig.breaker.state == "half-open"
    rig.breaker.record_failure(late)
    assert rig.breaker.state == "half-open"


def test_one_failed_probe_opens_the_breaker_also_with_an_empty_window() -> None:
    rig = Rig(failures=100, minimum=10, window=1.0, open_for=2.0)
    for _ in range(10):
        rig.call("fail")
    rig.clock.now += 2.0
    rig.call("fail")
    assert rig.breaker.state == "open"


def test_a_slow_probe_counts_as_failed() -> None:
    rig = Rig(failures=1, open_for=2.0, slow=0.5)
    rig.call("fail")
    rig.clock.now += 2.0
    rig.call("ok", 0.5)
    assert rig.breaker.state == "open"


def test_each_open_time_is_longer_up_to_the_maximum() -> None:
    rig = Rig(failures=1, open_for=1.0, open_at_most=20.0)
    rig.call("fail")
    for _ in range(40):
        rig.clock.now += 20.0
        rig.call("fail")
    opened = [seconds for state, seconds in rig.moves if state == "open"]
    assert opened[:6] == [1.0, 2.0, 4.0, 8.0, 16.0, 20.0]
    assert set(opened[6:]) == {20.0}


def test_the_maximum_does_not_shorten_the_first_open_time() -> None:
    rig = Rig(failures=1, open_for=60.0, open_at_most=4.0)
    rig.call("fail")
    assert rig.moves == [("open", 60.0)]


def test_opening_soon_after_closing_doubles_the_open_time_and_later_resets_it() -> None:
    rig = Rig(failures=1, open_for=1.0, open_at_most=8.0, window=10.0)
    rig.call("fail")
    rig.clock.now += 1.0
    rig.call("ok")
    rig.clock.now += 9.9
    rig.call("fail")
    assert rig.moves[-1] == ("open", 2.0)
    rig.clock.now += 2.0
    rig.call("ok")
    rig.clock.now += 10.0
    rig.call("fail")
    assert rig.moves[-1] == ("open", 1.0)


def test_a_cancelled_probe_frees_its_place() -> None:
    rig = Rig(failures=1, open_for=1.0)
    rig.call("fail")
    rig.clock.now += 1.0
    assert rig.call("cancel")
    assert rig.breaker.admit() is None
    assert rig.breaker.admit() == 1.0, "one place, not two"


def test_results_of_calls_from_before_the_last_change_are_ignored() -> None:
    rig = Rig(failures=1, open_for=1.0)
    for _ in range(3):
        assert rig.breaker.admit() is None
    before = rig.breaker.generation
    rig.breaker.record_failure(before)
    rig.breaker.record_success(before)
    assert rig.breaker.state == "open"
    rig.clock.now += 1.0
    assert rig.breaker.admit() is None
    rig.breaker.record_abandoned(before)
    rig.breaker.record_failure(before)
    assert rig.breaker.state == "half-open"
    assert rig.breaker.admit() == 1.0, "the late cancellation freed no place"


def test_closing_resets_the_counts() -> None:
    rig = Rig(failures=100, error_rate=0.5, minimum=10, open_for=1.0)
    for _ in range(10):
        rig.call("fail")
    rig.clock.now += 1.0
    rig.call("ok")
    for how in ["ok"] * 3 + ["fail"] * 3:
        rig.call(how)
    assert rig.breaker.state == "closed"
    row = Rig(failures=3, open_for=1.0)
    for _ in range(3):
        row.call("fail")
    row.clock.now += 1.0
    row.call("ok")
    row.call("fail")
    row.call("fail")
    assert row.breaker.state == "closed"


@pytest.mark.parametrize("gap", range(10, 25))
def test_a_long_time_without_calls_empties_the_window(gap: int) -> None:
    window = Window(10.0)
    for second in range(BUCKETS):
        window.add(500.0 + second, failed=True, slow=True)
    window.add(500.0 + BUCKETS - 1 + gap, failed=False, slow=False)
    assert (window.calls, window.failed, window.slow) == (1, 0, 0)


@given(st.lists(st.tuples(st.floats(0, 4), st.booleans(), st.booleans()), max_size=80))
def test_the_window_counts_exactly_the_calls_in_it(steps: list[tuple[float, bool, bool]]) -> None:
    window = Window(10.0)
    now = 500.0
    seen: list[tuple[int, bool, bool]] = []
    for wait, failed, slow in steps:
        now += wait
        window.add(now, failed=failed, slow=slow)
        at = int(now // 1.0)
        seen.append((at, failed, slow))
        inside = [one for one in seen if one[0] > at - BUCKETS]
        assert window.calls == len(inside)
        assert window.failed == sum(one[1] for one in inside)
        assert window.slow == sum(one[2] for one in inside)


class BreakerMachine(RuleBasedStateMachine):
    """Calls start, end and overlap while time passes; the guarantees of the breaker are checked at each step."""

    @initialize(
        failures=st.integers(1, 6),
        minimum=st.integers(1, 8),
        probes=st.integers(1, 3),
        error_rate=st.sampled_from([0.3, 0.5, 1.0]),
        slow=st.sampled_from([0.5, math.inf]),
    )
    def begin(self, failures: int, minimum: int, probes: int, error_rate: float, slow: float) -> None:
        self.rig = Rig(
            failures=failures, minimum=minimum, probes=probes, error_rate=error_rate, slow=slow, open_for=2.0
        )
        self.breaker = self.rig.breaker
        self.out: deque[int] = deque()
        self.row = 0
        self.opened_at: float | None = None

    @rule()
    def ask(self) -> None:
        now, state = self.rig.clock.now, self.breaker.state
        wait = self.breaker.admit()
        if state == "closed":
            assert wait is None
        if wait is not None:
            assert 0 < wait <= 4.0
            return
        if self.opened_at is not None:
            assert now >= self.opened_at + 2.0, "no call is admitted before the shortest open time has passed"
        self.out.append(self.breaker.generation)

    @precondition(lambda self: self.out)
    @rule(how=st.sampled_from(["ok", "slow", "fail", "cancel"]), newest=st.booleans())
    def answer(self, how: str, newest: bool) -> None:
        generation = self.out.pop() if newest else self.out.popleft()
        current = generation == self.breaker.generation
        state, window = self.breaker.state, self.breaker._window
        calls_before = window.calls
        if how == "fail":
            self.breaker.record_failure(generation)
        elif how == "cancel":
            self.breaker.record_abandoned(generation)
        else:
            self.breaker.record_success(generation, 1.0 if how == "slow" else 0.1)
        after = self.breaker.state
        if not current or how == "cancel":
            assert after == state, "late results and cancellations change no state"
            assert window.calls == calls_before
            return
        slow = how == "slow" and self.breaker.rule.slow < math.inf
        if state == "half-open":
            assert (after == "open") == (how == "fail" or slow)
        elif state == "closed":
            self.row = self.row + 1 if how == "fail" else 0
            if self.row >= self.breaker.rule.failures:
                assert after == "open"
            if after == "open":
                assert how == "fail" or slow, "a success never opens the breaker"
        if after == "open":
            self.opened_at = self.rig.clock.now
            self.row = 0
        if after == "closed" and state != "closed":
            self.opened_at = None
            self.row = 0

    # Numbers that add up without rounding.
    @rule(seconds=st.sampled_from([0.125, 1.0, 2.0, 4.0, 11.0]))
    def wait(self, seconds: float) -> None:
        self.rig.clock.now += seconds

    @invariant()
    def never_more_probes_than_allowed(self) -> None:
        if hasattr(self, "breaker") and self.breaker.state == "half-open":
            assert self.out.count(self.breaker.generation) <= self.breaker.rule.probes

    @invariant()
    def never_open_for_longer_than_the_maximum(self) -> None:
        if hasattr(self, "breaker") and self.breaker.state == "open":
            assert self.breaker._until - self.rig.clock.now <= 4.0


TestBreakerMachine = BreakerMachine.TestCase
TestBreakerMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


@pytest.mark.parametrize("steps", [["fail"] * 5 + ["wait"], ["fail", "cancel"] * 8])
def test_after_its_open_time_a_call_is_admitted(steps: list[str]) -> None:
    rig = Rig(failures=3, open_for=1.0)
    for step in steps:
        if step == "wait":
            rig.clock.now += 0.4
        else:
            rig.call(step)
    rig.clock.now += 4.0
    assert rig.breaker.admit() is None
