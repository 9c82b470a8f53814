"""Limits as they are declared, sent in headers and counted by a single gateway."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.calls import DeclarationError
from bff.edge.rate_limits import Limit, quotas_of
from bff.policies.rate import Bucket, BucketState, LocalRates, Quota, headers, retry_after


@pytest.mark.parametrize("text", ["10/minute", "5/second;100/hour", "3 per 2 minute", "1/day, 2/month"])
def test_the_grammar_of_slowapi_is_read(text: str) -> None:
    assert all(by == "principal" for by, _ in quotas_of("/api/orders", text))


def test_a_limit_may_count_several_kinds_of_callers() -> None:
    limit = Limit("2/minute", client="100/hour", address="5/second", tenant="9/day;1/second", costly=True)
    assert [(by, quota.name, quota.amount) for by, quota in quotas_of("/api/orders", limit)] == [
        ("principal", "minute", 2),
        ("client", "client-hour", 100),
        ("address", "address-second", 5),
        ("tenant", "tenant-day", 9),
        ("tenant", "tenant-second", 1),
    ]
    assert str(limit) == "2/minute; 100/hour by client; 5/second by address; 9/day;1/second by tenant; costly"
    assert str(Limit(tenant="1/second")) == "default; 1/second by tenant"


@pytest.mark.parametrize("text", ["", "ten/minute", "10/fortnight", "10", "0/minute", "-1/minute", ";"])
def test_a_limit_that_cannot_be_read_names_its_route(text: str) -> None:
    with pytest.raises(DeclarationError, match="/api/orders"):
        quotas_of("/api/orders", text)


def test_the_headers_follow_the_draft() -> None:
    spent = [
        BucketState(Quota("second", 5, 1), True, 4, 0.2),
        BucketState(Quota("2-hour", 100, 7200), False, 0, 71.01),
    ]
    assert headers(spent) == {
        "ratelimit-policy": '"second";q=5;w=1, "2-hour";q=100;w=7200',
        "ratelimit": '"second";r=4;t=1, "2-hour";r=0;t=72',
    }
    assert retry_after(spent) == 72
    assert headers([]) == {}


def spend(rates: LocalRates, who: str, quotas: list[Quota], now: float) -> list[BucketState]:
    return rates.spend([Bucket(f"{who} {quota.name}", quota) for quota in quotas], now)


def test_a_local_limit_is_exact_and_allows_one_more_request_at_a_time() -> None:
    rates, quota = LocalRates(), Quota("minute", 3, 60)
    got = [spend(rates, "ada", [quota], 7.0)[0] for _ in range(5)]
    assert [one.allowed for one in got] == [True] * 3 + [False] * 2
    assert [one.remaining for one in got] == [2, 1, 0, 0, 0]
    assert [one.reset for one in got] == [20.0] * 5
    assert spend(rates, "bruno", [quota], 7.0)[0].allowed
    assert spend(rates, "ada", [quota], 8.0)[0].reset == 19.0
    assert spend(rates, "ada", [quota], 27.0)[0].allowed
    assert not spend(rates, "ada", [quota], 27.0)[0].allowed
    assert spend(rates, "ada", [quota], 200.0)[0].remaining == 2


def test_several_local_buckets_are_all_or_nothing() -> None:
    rates, second, hour = LocalRates(), Quota("second", 2, 1), Quota("hour", 3, 3600)
    for _ in range(2):
        assert all(one.allowed for one in spend(rates, "ada", [second, hour], 3600.0))
    for _ in range(10):
        assert [one.allowed for one in spend(rates, "ada", [second, hour], 3600.1)] == [False, True]
    assert [one.remaining for one in spend(rates, "ada", [second, hour], 3602.5)] == [1, 0]


def test_the_number_of_local_counters_is_bounded() -> None:
    rates = LocalRates(most=100)
    for number in range(1000):
        spend(rates, str(number), [Quota("minute", 1, 60)], 0.0)
    assert len(rates) == 100


def test_a_share_is_at_least_one_request() -> None:
    assert Quota("minute", 10, 60).share(4).amount == 2
    assert Quota("minute", 2, 60).share(1000).amount == 1


@given(st.lists(st.floats(0, 5), min_size=1, max_size=80), st.integers(1, 7))
def test_no_period_has_more_requests_than_a_full_bucket_and_its_refill(
    gaps: list[float], amount: int
) -> None:
    rates, quota, now, allowed = LocalRates(), Quota("w", amount, 10), 100.0, []
    for gap in gaps:
        now += gap
        if spend(rates, "ada", [quota], now)[0].allowed:
            allowed.append(now)
    for number, start in enumerate(allowed):
        for more, end in enumerate(allowed[number:], 1):
            assert more <= amount + (end - start) / quota.every + 0.26


@given(st.integers(1, 5), st.floats(0, 30), st.integers(0, 12))
def test_a_request_after_the_reset_is_allowed(amount: int, start: float, tries: int) -> None:
    rates, quota = LocalRates(), Quota("w", amount, 10)
    for number in range(tries + amount):
        spend(rates, "ada", [quota], start + number * 0.7)
    refused = spend(rates, "ada", [quota], start + 13.0)[0]
    if not refused.allowed:
        assert spend(rates, "ada", [quota], start + 13.0 + refused.reset)[0].allowed
