"""What a bucket allows, its state after a request, and the rate limit headers for clients."""

from __future__ import annotations

import pytest

from bff.policies.rate import (
    Bucket,
    BucketState,
    LocalRates,
    Quota,
    bucket_states,
    fits,
    headers,
    retry_after,
)

MINUTE = Quota("minute", 5, 60)
HOUR = Quota("hour", 9, 3600)


def test_the_headers_have_every_quota_with_its_remaining_requests() -> None:
    spent = [BucketState(MINUTE, True, 4, 0.2), BucketState(HOUR, False, 0, 71.5)]
    assert headers(spent) == {
        "ratelimit-policy": '"minute";q=5;w=60, "hour";q=9;w=3600',
        "ratelimit": '"minute";r=4;t=1, "hour";r=0;t=72',
    }
    assert headers([BucketState(MINUTE, True, 4, -0.5)])["ratelimit"] == '"minute";r=4;t=0'
    assert headers([]) == {}


def test_retry_after_is_the_longest_wait_of_the_refusing_buckets_and_at_least_a_second() -> None:
    assert retry_after([BucketState(MINUTE, False, 0, 3.2), BucketState(HOUR, False, 0, 71.5)]) == 72.0
    assert retry_after([BucketState(MINUTE, False, 0, 3.2), BucketState(HOUR, True, 1, 71.5)]) == 4.0
    assert retry_after([BucketState(MINUTE, False, 0, 0.0)]) == 1.0
    assert isinstance(retry_after([BucketState(MINUTE, False, 0, 3.2)]), float)


def test_a_share_has_the_same_name_and_window_and_at_least_one_request() -> None:
    assert MINUTE.share(2) == Quota("minute", 2, 60)
    assert MINUTE.share(1) == MINUTE
    assert MINUTE.share(100) == Quota("minute", 1, 60)


SIXTEENTH = Quota("exact", 4, 64)  # one in 16 seconds, so a request may come 4 seconds early


@pytest.mark.parametrize(
    ("ahead", "fit", "remaining", "reset"),
    [
        (0.0, True, 4, 0.0),
        (4.0, True, 4, 0.0),
        (4.5, True, 3, 4.5),
        (16.0, True, 3, 16.0),
        (48.0, True, 1, 16.0),
        (52.0, True, 1, 20.0),
        (52.5, False, 0, 4.5),
        (64.0, False, 0, 16.0),
        (100.0, False, 0, 52.0),
    ],
)
def test_remaining_and_reset_follow_from_the_arrival_time(
    ahead: float, fit: bool, remaining: int, reset: float
) -> None:
    assert SIXTEENTH.every == 16.0
    assert fits(SIXTEENTH, ahead) is fit
    assert bucket_states([Bucket("k", SIXTEENTH)], False, [ahead]) == [
        BucketState(SIXTEENTH, fit, remaining, reset)
    ]
    assert bucket_states([Bucket("k", SIXTEENTH)], True, [ahead])[0].allowed


def test_a_full_bucket_allows_its_amount_at_once_and_then_one_in_each_interval() -> None:
    rates, mine = LocalRates(), [Bucket("ada", SIXTEENTH)]
    states = [rates.spend(mine, 10.0)[0] for _ in range(6)]
    assert [state.allowed for state in states] == [True] * 4 + [False] * 2
    assert [state.remaining for state in states] == [3, 2, 1, 0, 0, 0]
    assert {state.reset for state in states} == {16.0}
    assert not rates.spend(mine, 21.9)[0].allowed
    assert rates.spend(mine, 22.0)[0].allowed, "it may come a quarter of an interval early"
    assert not rates.spend(mine, 23.0)[0].allowed
    assert [rates.spend(mine, 1_000.0)[0].allowed for _ in range(5)] == [True] * 4 + [False]
    assert rates.spend([Bucket("bruno", SIXTEENTH)], 10.0)[0].remaining == 3


def test_when_one_bucket_refuses_the_others_spend_nothing() -> None:
    rates, both = LocalRates(), [Bucket("s", Quota("second", 2, 1)), Bucket("h", HOUR)]
    states = [rates.spend(both, 3600.0) for _ in range(4)]
    assert [[one.allowed for one in pair] for pair in states] == [[True, True]] * 2 + [[False, True]] * 2
    assert [pair[1].remaining for pair in states] == [8, 7, 7, 7]


def test_the_least_recently_used_buckets_are_dropped_first() -> None:
    rates, once = LocalRates(most=2), Quota("some", 2, 60)
    for who in ("ada", "bruno", "ada", "carla"):
        rates.spend([Bucket(who, once)], 60.0)
    assert len(rates) == 2
    assert not rates.spend([Bucket("ada", once)], 60.0)[0].allowed, "it was used recently"
    assert rates.spend([Bucket("bruno", once)], 60.0)[0].remaining == 1
    rates.clear()
    assert len(rates) == 0
    assert rates.spend([Bucket("ada", once)], 60.0)[0].remaining == 1


def test_the_numbers_of_buckets_and_times_must_be_equal() -> None:
    with pytest.raises(ValueError, match="zip"):
        bucket_states([Bucket("k", SIXTEENTH)], True, [1.0, 2.0])


def test_a_request_with_a_cost_spends_that_much_and_waits_for_all_of_it() -> None:
    rates, quota = LocalRates(), Quota("minute", 60, 60)
    forty = Bucket("ada", quota, 40)
    (first,) = rates.spend([forty], 0.0)
    assert (first.allowed, first.remaining) == (True, 20)
    (second,) = rates.spend([forty], 0.0)
    assert (second.allowed, second.remaining, retry_after([second])) == (False, 20, 20.0)
    assert rates.spend([Bucket("ada", quota)], 0.0)[0].allowed, "it is the same bucket"
    assert rates.spend([forty], 21.0)[0].allowed
    # A cost above the whole quota takes the whole quota.
    whole = Bucket("grace", quota, 1000)
    assert rates.spend([whole], 0.0)[0].remaining == 0
    assert not rates.spend([whole], 30.0)[0].allowed
    assert rates.spend([whole], 60.0)[0].allowed


def test_a_request_that_is_given_back_was_not_spent() -> None:
    rates, bucket = LocalRates(), Bucket("ada", Quota("hour", 2, 3600))
    for _ in range(10):
        assert rates.spend([bucket], 0.0)[0].allowed
        rates.give_back([bucket], 0.0)
    assert len(rates) == 0
    assert [rates.spend([bucket], 0.0)[0].allowed for _ in range(3)] == [True, True, False]
    rates.give_back([bucket], 0.0)
    assert [rates.spend([bucket], 0.0)[0].allowed for _ in range(2)] == [True, False], (
        "one request was given back, not all"
    )
    rates.give_back([Bucket("nobody", bucket.quota)], 0.0)
    assert len(rates) == 1
