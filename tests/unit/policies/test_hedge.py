"""The delay of a hedge is learnt from the last latencies."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from bff.policies.hedge import REMEMBERED, RENEWED, HedgeRule, Latencies


def learnt(seconds: list[float], **rule: float) -> float | None:
    latencies = Latencies(HedgeRule(**rule))  # type: ignore[arg-type]
    for one in seconds:
        latencies.record(one)
    return latencies.after()


def test_no_call_is_hedged_before_enough_latencies_are_known() -> None:
    assert learnt([0.1] * 49) is None
    assert learnt([0.1] * 50) == 0.1


def test_the_delay_is_the_95th_percentile_of_the_latencies() -> None:
    seconds = [number / 1000 for number in range(1, 201)]
    random.Random(1).shuffle(seconds)
    assert learnt([0.0] * 10 + seconds, least=0.0) in (0.190, 0.191)


def test_the_delay_is_never_below_the_minimum() -> None:
    assert learnt([0.0001] * 100, least=0.02) == 0.02


def test_the_delay_follows_the_last_latencies() -> None:
    assert learnt([0.01] * 500 + [0.3] * (REMEMBERED + RENEWED)) == 0.3
    assert learnt([0.3] * 500 + [0.01] * (REMEMBERED + RENEWED)) == 0.01


def test_the_oldest_latencies_are_forgotten_first() -> None:
    slowest = {"quantile": 0.999, "least": 0.0}
    assert learnt([5.0] * RENEWED + [0.1] * (REMEMBERED + 10), **slowest) == 0.1
    assert learnt([0.1] * REMEMBERED + [5.0] + [0.1] * (REMEMBERED + RENEWED), **slowest) == 0.1
    assert learnt([0.1] * REMEMBERED + [5.0] + [0.1] * (REMEMBERED - 1), **slowest) == 5.0


def test_the_delay_is_computed_again_with_every_twentieth_answer() -> None:
    slowest = {"quantile": 0.999, "least": 0.0}
    seen = [0.1] * 50 + [5.0]
    assert learnt(seen + [0.1] * (RENEWED - 2), **slowest) == 0.1
    assert learnt(seen + [0.1] * (RENEWED - 1), **slowest) == 5.0
    again = seen + [0.1] * (RENEWED - 1) + [7.0]
    assert learnt(again + [0.1] * (RENEWED - 2), **slowest) == 5.0
    assert learnt(again + [0.1] * (RENEWED - 1), **slowest) == 7.0


def test_the_quantile_is_computed_from_the_known_latencies() -> None:
    seconds = [number / 100 for number in range(1, 51)]
    assert learnt(seconds, quantile=1.0) == 0.5
    assert learnt(seconds, quantile=0.999) == 0.5
    assert learnt(seconds, quantile=0.5) == 0.26


def test_a_minimum_above_the_number_remembered_is_cut() -> None:
    assert learnt([0.1] * (REMEMBERED - 1), minimum=1000) is None
    assert learnt([0.1] * REMEMBERED, minimum=1000) == 0.1


@given(
    st.lists(st.floats(0.0, 10.0), min_size=50, max_size=600),
    st.floats(0.5, 0.999),
    st.floats(0.0, 1.0),
)
def test_the_delay_is_one_of_the_latencies_or_the_minimum_and_few_are_longer(
    seconds: list[float], quantile: float, least: float
) -> None:
    after = learnt(seconds, quantile=quantile, least=least)
    assert after is not None and after >= least
    if after > least:
        assert after in seconds
        remembered = seconds[-(REMEMBERED + RENEWED) :]
        slower = sum(one > after for one in remembered)
        assert slower <= (1 - quantile) * len(remembered) + RENEWED + 1
