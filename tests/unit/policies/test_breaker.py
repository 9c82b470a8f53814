from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bff.policies.breaker import Breaker


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_it_opens_after_failures_in_a_row_and_tells_how_long() -> None:
    clock = Clock()
    breaker = Breaker(3, 2.0, clock)
    for _ in range(2):
        assert breaker.admit() is None
        breaker.failed()
    breaker.succeeded()
    for _ in range(3):
        assert breaker.admit() is None
        breaker.failed()
    assert breaker.state == "open"
    clock.now = 0.5
    assert breaker.admit() == 1.5


def test_one_probe_passes_and_its_success_closes() -> None:
    clock = Clock()
    breaker = Breaker(1, 2.0, clock)
    breaker.failed()
    clock.now = 2.0
    assert breaker.admit() is None
    assert breaker.admit() == 2.0, "a second one must wait while the probe is out"
    breaker.succeeded()
    assert breaker.state == "closed"
    assert breaker.admit() is None


def test_a_failed_probe_opens_again_for_the_whole_time() -> None:
    clock = Clock()
    breaker = Breaker(5, 2.0, clock)
    for _ in range(5):
        breaker.failed()
    clock.now = 2.0
    assert breaker.admit() is None
    breaker.failed()
    assert breaker.admit() == 2.0


def test_a_cancelled_probe_gives_its_place_back() -> None:
    clock = Clock()
    breaker = Breaker(1, 1.0, clock)
    breaker.failed()
    clock.now = 1.0
    assert breaker.admit() is None
    breaker.abandoned()
    assert breaker.admit() is None


@given(st.lists(st.sampled_from(["ok", "fail", "cancel", "wait"]), max_size=200))
def test_whatever_happens_it_never_stays_shut_once_its_time_is_over(steps: list[str]) -> None:
    clock = Clock()
    breaker = Breaker(3, 1.0, clock)
    for step in steps:
        if step == "wait":
            clock.now += 0.4
            continue
        if breaker.admit() is not None:
            continue
        {"ok": breaker.succeeded, "fail": breaker.failed, "cancel": breaker.abandoned}[step]()
    clock.now += 1.0
    assert breaker.admit() is None
