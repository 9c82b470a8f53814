"""The wait between attempts grows with each failure and is bounded, for any number of failures."""

from __future__ import annotations

import pytest

from bff.stores.redis.backoff import backoff


@pytest.mark.parametrize(
    ("failures", "bound"), [(0, 0.1), (1, 0.2), (3, 0.8), (5, 2.0), (1_100, 2.0), (10**9, 2.0)]
)
def test_the_bound_doubles_up_to_the_longest_for_any_number_of_failures(failures: int, bound: float) -> None:
    waits = [backoff(failures, 0.1, 2.0) for _ in range(200)]
    assert bound / 2 <= min(waits) < 0.6 * bound
    assert 0.9 * bound < max(waits) <= bound
