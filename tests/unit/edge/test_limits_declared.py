"""Limits as they are declared, told and counted by one gateway alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.calls import DeclarationError
from bff.edge.limits import declare
from bff.policies.rate import LocalRates, Quota, Spent, counted, headers, retry_after


@pytest.mark.parametrize("text", ["10/minute", "5/second;100/hour", "3 per 2 minute", "1/day, 2/month"])
def test_slowapis_grammar_is_understood(text: str) -> None:
    limits = declare("/api/orders", text)
    assert all(limit.scope == "/api/orders" for limit in limits)


@pytest.mark.parametrize("text", ["", "ten/minute", "10/fortnight", "10", "0/minute", "-1/minute", ";"])
def test_a_limit_that_cannot_be_read_names_its_route(text: str) -> None:
    with pytest.raises(DeclarationError, match="/api/orders"):
        declare("/api/orders", text)


def test_the_headers_follow_the_draft() -> None:
    spent = [
        Spent(Quota("second", 5, 1), True, 4, 0.2),
        Spent(Quota("2-hour", 100, 7200), False, 0, 71.01),
    ]
    assert headers(spent) == {
        "ratelimit-policy": '"second";q=5;w=1, "2-hour";q=100;w=7200',
        "ratelimit": '"second";r=4;t=1, "2-hour";r=0;t=72',
    }
    assert retry_after(spent) == 72
    assert headers([]) == {}


def test_a_local_limit_is_exact_and_opens_again() -> None:
    rates, quota = LocalRates(), Quota("minute", 3, 60)
    assert [rates.spend("ada", [quota], 60.0)[0].allowed for _ in range(5)] == [True] * 3 + [False] * 2
    assert rates.spend("bruno", [quota], 60.0)[0].allowed
    told = rates.spend("ada", [quota], 61.0)[0]
    assert not told.allowed and told.reset == 59.0
    assert rates.spend("ada", [quota], 121.0)[0].allowed


def test_several_local_windows_are_all_or_nothing() -> None:
    rates, second, hour = LocalRates(), Quota("second", 2, 1), Quota("hour", 3, 3600)
    for _ in range(2):
        assert all(one.allowed for one in rates.spend("ada", [second, hour], 3600.0))
    for _ in range(10):
        assert [one.allowed for one in rates.spend("ada", [second, hour], 3600.5)] == [False, True]
    assert [one.remaining for one in rates.spend("ada", [second, hour], 3602.5)] == [1, 0]


def test_what_is_counted_locally_is_bounded() -> None:
    rates = LocalRates(most=100)
    for number in range(1000):
        rates.spend(str(number), [Quota("minute", 1, 60)], 0.0)
    assert len(rates) == 100


def test_a_share_is_never_nothing() -> None:
    assert Quota("minute", 10, 60).share(4).amount == 2
    assert Quota("minute", 2, 60).share(1000).amount == 1


@given(st.lists(st.floats(0, 5), min_size=1, max_size=60), st.integers(1, 5))
def test_no_two_windows_in_a_row_allow_more_than_twice_the_limit(gaps: list[float], amount: int) -> None:
    rates, quota, now, allowed = LocalRates(), Quota("w", amount, 10), 100.0, []
    for gap in gaps:
        now += gap
        if rates.spend("ada", [quota], now)[0].allowed:
            allowed.append(now)
    for start in allowed:
        inside = [moment for moment in allowed if start <= moment < start + 10]
        assert len(inside) <= 2 * amount
        whole = [moment for moment in allowed if moment // 10 == start // 10]
        assert len(whole) <= amount


@given(st.integers(1, 5), st.floats(0, 30), st.integers(0, 12))
def test_who_comes_back_after_the_reset_is_let_in(amount: int, start: float, tries: int) -> None:
    rates, quota = LocalRates(), Quota("w", amount, 10)
    for number in range(tries + amount):
        rates.spend("ada", [quota], start + number * 0.7)
    told = rates.spend("ada", [quota], start + 13.0)[0]
    if not told.allowed:
        assert rates.spend("ada", [quota], start + 13.0 + told.reset + 0.01)[0].allowed


def test_a_window_that_has_just_begun_lasts_its_whole_length() -> None:
    quota = Quota("minute", 2, 60)
    told = counted(quota, True, previous=0, previous_left=0, current=1, current_left=60.0)
    assert (told.remaining, told.reset) == (1, 60.0)
    told = counted(quota, False, previous=4, previous_left=30.0, current=0, current_left=30.0)
    assert (told.remaining, told.reset) == (0, 15.0)
    told = counted(quota, False, previous=4, previous_left=20.0, current=2, current_left=20.0)
    assert (told.remaining, told.reset) == (0, 20.0)
    assert counted(quota, True, previous=0, previous_left=0, current=0, current_left=0).reset == 0
