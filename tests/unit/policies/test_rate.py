"""What a sliding window counter allows and tells, against a count of every request kept apart."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.policies.rate import LocalRates, Quota, Spent, counted, headers, retry_after

MINUTE = Quota("minute", 5, 60)
HOUR = Quota("hour", 9, 3600)


def test_the_headers_name_every_window_with_what_is_left_of_it() -> None:
    spent = [Spent(MINUTE, True, 4, 0.2), Spent(HOUR, False, 0, 71.5)]
    assert headers(spent) == {
        "ratelimit-policy": '"minute";q=5;w=60, "hour";q=9;w=3600',
        "ratelimit": '"minute";r=4;t=1, "hour";r=0;t=72',
    }
    assert headers([Spent(MINUTE, True, 4, -0.5)])["ratelimit"] == '"minute";r=4;t=0'
    assert headers([]) == {}


def test_who_was_refused_waits_for_the_last_of_the_windows_that_refused_and_a_second_at_least() -> None:
    assert retry_after([Spent(MINUTE, False, 0, 3.2), Spent(HOUR, False, 0, 71.5)]) == 72.0
    assert retry_after([Spent(MINUTE, False, 0, 3.2), Spent(HOUR, True, 1, 71.5)]) == 4.0
    assert retry_after([Spent(MINUTE, False, 0, 0.0)]) == 1.0
    assert isinstance(retry_after([Spent(MINUTE, False, 0, 3.2)]), float)


def test_a_share_keeps_name_and_window_and_is_never_nothing() -> None:
    assert MINUTE.share(2) == Quota("minute", 2, 60)
    assert MINUTE.share(1) == MINUTE
    assert MINUTE.share(100) == Quota("minute", 1, 60)


@pytest.mark.parametrize(
    ("previous", "previous_left", "current", "remaining", "reset"),
    [
        (0, 30.0, 0, 5, 0.0),
        (0, 30.0, 2, 3, 40.0),
        (4, 30.0, 0, 3, 15.0),
        (4, 40.0, 1, 2, 10.0),
        (4, 30.0, 1, 2, 15.0),
        (1, 60.0, 0, 4, 60.0),
        (1, 59.0, 0, 5, 59.0),
        (4, 0.0, 0, 5, 0.0),
        (4, 0.0, 3, 2, 40.0),
        (4, 31.0, 5, 0, 40.0),
        (60, 30.5, 4, 0, 0.5),
        (60, 30.5, 5, 0, 40.0),
        (9, 60.0, 0, 0, 60 / 9),
    ],
)
def test_the_previous_window_weighs_by_what_is_in_view_of_it(
    previous: int, previous_left: float, current: int, remaining: int, reset: float
) -> None:
    told = counted(
        MINUTE, True, previous=previous, previous_left=previous_left, current=current, current_left=40.0
    )
    assert (told.quota, told.allowed, told.remaining) == (MINUTE, True, remaining)
    assert told.reset == pytest.approx(reset)
    assert counted(MINUTE, False, previous=0, previous_left=0, current=0, current_left=1).allowed is False


@given(
    st.lists(st.tuples(st.floats(0, 25), st.sampled_from("ab")), max_size=60),
    st.integers(1, 6),
)
def test_a_local_count_is_the_sliding_window_of_all_that_was_allowed(
    steps: list[tuple[float, str]], amount: int
) -> None:
    rates, quota, now = LocalRates(), Quota("ten", amount, 10), 1000.0
    allowed: Counter[tuple[str, int]] = Counter()
    for wait, who in steps:
        now += wait
        window = int(now // 10)
        before = math.floor(allowed[who, window - 1] * (10 - now % 10) / 10) + allowed[who, window]
        (told,) = rates.spend(who, [quota], now)
        assert told.allowed is (before < amount)
        allowed[who, window] += told.allowed
        assert told.remaining == max(0, amount - before - told.allowed)
        if not told.allowed:
            assert 0 < told.reset <= 10


def test_a_refusal_by_one_window_spends_none_of_the_others() -> None:
    rates, second = LocalRates(), Quota("second", 2, 1)
    told = [rates.spend("ada", [second, HOUR], 3600.0) for _ in range(4)]
    assert [[one.allowed for one in both] for both in told] == [[True, True]] * 2 + [[False, True]] * 2
    assert [both[1].remaining for both in told] == [8, 7, 7, 7]


def test_those_seen_longest_ago_are_forgotten_first() -> None:
    rates, once = LocalRates(most=2), Quota("once", 1, 60)
    for who in ("ada", "bruno", "ada", "carla"):
        rates.spend(who, [once], 60.0)
    assert len(rates) == 2
    assert not rates.spend("ada", [once], 60.0)[0].allowed, "seen a moment ago"
    assert rates.spend("bruno", [once], 60.0)[0].allowed
    rates.clear()
    assert len(rates) == 0
    assert rates.spend("bruno", [once], 60.0)[0].allowed
