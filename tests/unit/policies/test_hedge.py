"""When a second copy is sent is learnt from what the last answers took."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from bff.policies.hedge import REMEMBERED, RENEWED, HedgeRule, Latencies


def learnt(seconds: list[float], **rule: float) -> float | None:
    latencies = Latencies(HedgeRule(**rule))  # type: ignore[arg-type]
    for one in seconds:
        latencies.saw(one)
    return latencies.after()


def test_nothing_is_hedged_before_enough_is_known() -> None:
    assert learnt([0.1] * 49) is None
    assert learnt([0.1] * 50) == 0.1


def test_it_waits_as_long_as_95_of_100_answers_take() -> None:
    seconds = [number / 1000 for number in range(1, 201)]
    random.Random(1).shuffle(seconds)
    assert learnt([0.0] * 10 + seconds, least=0.0) in (0.190, 0.191)


def test_it_waits_the_least_in_any_case() -> None:
    assert learnt([0.0001] * 100, least=0.02) == 0.02


def test_what_is_usual_changes_with_the_last_answers() -> None:
    assert learnt([0.01] * 500 + [0.3] * (REMEMBERED + RENEWED)) == 0.3
    assert learnt([0.3] * 500 + [0.01] * (REMEMBERED + RENEWED)) == 0.01


@given(
    st.lists(st.floats(0.0, 10.0), min_size=50, max_size=600),
    st.floats(0.5, 0.999),
    st.floats(0.0, 1.0),
)
def test_it_is_one_of_the_answers_or_the_least_and_few_take_longer(
    seconds: list[float], quantile: float, least: float
) -> None:
    after = learnt(seconds, quantile=quantile, least=least)
    assert after is not None and after >= least
    if after > least:
        assert after in seconds
        remembered = seconds[-(REMEMBERED + RENEWED) :]
        slower = sum(one > after for one in remembered)
        assert slower <= (1 - quantile) * len(remembered) + RENEWED + 1
