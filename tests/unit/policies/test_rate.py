"""What a client is told of its limits."""

from __future__ import annotations

from bff.policies.rate import Quota, Spent, headers, retry_after

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
