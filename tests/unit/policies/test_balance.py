"""Calls are distributed over an upstream's addresses; failing addresses are ejected for a while, at most half of
them."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bff.policies.balance import Backend, Balancer
from bff.policies.events import Ejected, PolicyEvent, Readmitted


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def backends(count: int) -> list[Backend[str]]:
    return [Backend(f"http://{number}", f"wire {number}") for number in range(count)]


def names(found: list[Backend[str]]) -> list[str]:
    return [one.wire.removeprefix("wire ") for one in found]


def test_round_robin_uses_the_addresses_in_turn() -> None:
    balance = Balancer("s", backends(3), how="round-robin")
    assert names([balance.pick() for _ in range(6)]) == ["1", "2", "0", "1", "2", "0"]


def test_of_two_random_addresses_the_one_with_fewer_calls_is_used() -> None:
    made = backends(3)
    made[0].pending, made[1].pending, made[2].pending = 5, 1, 3
    balance = Balancer("s", made, below=random.Random(1).randrange)
    found = names([balance.pick() for _ in range(300)])
    assert set(found) == {"1", "2"}, "the address with the most calls is never used"
    assert found.count("1") > found.count("2")


def test_every_pair_of_different_addresses_can_be_drawn() -> None:
    made = backends(3)
    for draws, found in [([0, 1], 2), ([1, 1], 2), ([1, 0], 0), ([2, 0], 0), ([2, 1], 1)]:
        for one in made:
            one.pending = 9
        made[found].pending = 0
        drawn = iter(draws)
        balance = Balancer("s", made, below=lambda most, drawn=drawn: next(drawn))  # type: ignore[misc]
        assert balance.pick() is made[found], draws


def test_round_robin_skips_ejected_addresses_and_continues_after_the_one_used() -> None:
    made = backends(5)
    balance = Balancer("s", made, how="round-robin", failures=1)
    balance.record_failure(made[1])
    balance.record_failure(made[2])
    assert names([balance.pick() for _ in range(6)]) == ["3", "4", "0", "3", "4", "0"]
    balance = Balancer("s", made, how="round-robin")
    assert names([balance.pick(avoid=made[4]) for _ in range(3)]) == ["3", "0", "3"]


def test_a_retry_uses_the_same_address_when_there_is_no_other() -> None:
    made = backends(2)
    balance = Balancer("s", made, failures=1)
    balance.record_failure(made[0])
    assert balance.pick(avoid=made[1]) is made[1]


def test_an_empty_list_of_addresses_is_refused_with_the_services_name() -> None:
    with pytest.raises(ValueError, match=r"^shelf: no address$"):
        Balancer[str]("shelf", [])
    with pytest.raises(ValueError, match=r"^shelf: no address$"):
        Balancer("shelf", backends(1)).replace([])


def test_by_default_five_failures_in_a_row_eject_for_ten_seconds_up_to_five_minutes() -> None:
    clock, seen = Clock(), list[PolicyEvent]()
    made = backends(2)
    balance = Balancer("s", made, clock=clock, observe=seen.append)
    fail(balance, made[0], 4)
    assert seen == []
    for _ in range(40):
        balance.record_failure(made[0])
        assert made[0].ejected_until is not None
        clock.now = made[0].ejected_until
        balance.pick()
    ends = [1000.0, *(event.until for event in seen if isinstance(event, Ejected))]
    lasted = [end - begun for begun, end in itertools.pairwise(ends)]
    assert lasted == [min(10.0 * number, 300.0) for number in range(1, 41)]


def test_addresses_with_equal_load_are_all_used() -> None:
    balance = Balancer("s", backends(4), below=random.Random(1).randrange)
    found = names([balance.pick() for _ in range(400)])
    assert min(found.count(one) for one in "0123") > 60


@pytest.mark.parametrize("how", ["round-robin", "least-pending"])
def test_a_retry_uses_another_address_when_there_is_one(how: str) -> None:
    made = backends(2)
    balance = Balancer("s", made, how=how)  # type: ignore[arg-type]
    assert all(balance.pick(avoid=made[0]) is made[1] for _ in range(20))
    one = backends(1)
    assert Balancer("s", one).pick(avoid=one[0]) is one[0]


def fail(balance: Balancer[str], address: Backend[str], times: int) -> None:
    for _ in range(times):
        balance.record_failure(address)


def test_an_address_that_fails_repeatedly_is_ejected_for_longer_each_time() -> None:
    clock, seen = Clock(), list[PolicyEvent]()
    made = backends(2)
    balance = Balancer("s", made, failures=3, eject_for=10, at_most=25, clock=clock, observe=seen.append)
    fail(balance, made[0], 2)
    balance.record_success(made[0])
    fail(balance, made[0], 2)
    assert seen == [], "not in a row"
    balance.record_failure(made[0])
    assert seen == [Ejected("s", "http://0", clock.now + 10)]
    assert all(balance.pick() is made[1] for _ in range(20))
    clock.now += 10
    assert made[0] in [balance.pick() for _ in range(20)]
    assert seen[-1] == Readmitted("s", "http://0")
    balance.record_failure(made[0])
    assert seen[-1] == Ejected("s", "http://0", clock.now + 20), "after an ejection one failure is enough"
    clock.now += 20
    balance.pick()
    balance.record_failure(made[0])
    assert seen[-1] == Ejected("s", "http://0", clock.now + 25), "at most at_most"


def test_an_ended_ejection_allows_another_one_before_the_next_pick() -> None:
    clock = Clock()
    made = backends(2)
    balance = Balancer("s", made, failures=1, clock=clock)
    balance.record_failure(made[0])
    clock.now += 10
    balance.record_failure(made[1])
    assert made[0].ejected_until is None and made[1].ejected_until is not None


def test_earlier_ejections_are_forgotten_one_by_one() -> None:
    clock, seen = Clock(), list[PolicyEvent]()
    made = backends(2)
    balance = Balancer("s", made, failures=1, eject_for=10, clock=clock, observe=seen.append)
    # Seconds that it served after the last ejection, and the seconds of the next one.
    for served, lasts in [(0.0, 10), (9.9, 20), (0.0, 30), (10.0, 30), (29.9, 20), (500.0, 10)]:
        clock.now += served
        balance.record_failure(made[0])
        assert seen[-1] == Ejected("s", "http://0", clock.now + lasts)
        clock.now += lasts
        balance.pick()


def test_after_a_long_time_without_failure_all_ejections_are_forgotten() -> None:
    clock, seen = Clock(), list[PolicyEvent]()
    made = backends(2)
    balance = Balancer("s", made, failures=1, eject_for=10, clock=clock, observe=seen.append)
    for _ in range(3):
        balance.record_failure(made[0])
        clock.now += 100
        balance.pick()
    balance.record_success(made[0])
    clock.now += 1000
    balance.record_failure(made[0])
    assert seen[-1] == Ejected("s", "http://0", clock.now + 10)


@pytest.mark.parametrize(("count", "most"), [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2)])
def test_at_most_half_of_the_addresses_are_ejected(count: int, most: int) -> None:
    made = backends(count)
    balance = Balancer("s", made, failures=1)
    for one in made:
        balance.record_failure(one)
    assert sum(one.ejected_until is not None for one in made) == most == balance.ejected


def test_removing_addresses_ends_ejections_so_that_at_most_half_remain() -> None:
    made = backends(4)
    balance = Balancer("s", made, failures=1)
    balance.record_failure(made[0])
    balance.record_failure(made[1])
    assert balance.replace(made[:3]) == [made[3]]
    assert balance.ejected == 1 and made[0].ejected_until is None


def test_a_change_of_addresses_ends_no_ejection_while_at_most_half_are_ejected() -> None:
    made = backends(4)
    balance = Balancer("s", made, failures=1)
    balance.record_failure(made[0])
    balance.record_failure(made[1])
    assert balance.replace(made) == []
    assert balance.ejected == 2
    assert balance.replace([*made, *backends(1)]) == []
    assert balance.ejected == 2


def test_the_ejections_that_would_end_first_are_ended_and_reported() -> None:
    clock, seen = Clock(), list[PolicyEvent]()
    made = backends(4)
    balance = Balancer("s", made, failures=1, clock=clock, observe=seen.append)
    balance.record_failure(made[1])
    clock.now += 3
    balance.record_failure(made[0])
    balance.replace(made[:3])
    assert (made[0].ejected_until, made[1].ejected_until) == (clock.now + 10, None)
    assert seen[-1] == Readmitted("s", "http://1")
    balance.record_failure(made[2])
    assert balance.ejected == 1, "of three addresses only one may be ejected"


def test_a_removed_or_ejected_address_is_not_ejected_again() -> None:
    seen = list[PolicyEvent]()
    made = backends(4)
    balance = Balancer("s", made, failures=1, observe=seen.append)
    balance.replace(made[:3])
    balance.record_failure(made[3])
    assert seen == []
    fail(balance, made[0], 3)
    assert len(seen) == 1


class Machine(RuleBasedStateMachine):
    """For random events in random order: an address can always be picked, and the count of ejected ones is right."""

    @initialize(
        count=st.integers(1, 7),
        how=st.sampled_from(["round-robin", "least-pending"]),
        seed=st.integers(0, 99),
    )
    def begin(self, count: int, how: str, seed: int) -> None:
        self.clock = Clock()
        self.events: list[PolicyEvent] = []
        self.made = backends(count)
        self.serial = count
        self.balance = Balancer(
            "s",
            self.made,
            how=how,  # type: ignore[arg-type]
            failures=2,
            eject_for=10,
            at_most=30,
            clock=self.clock,
            below=random.Random(seed).randrange,
            observe=self.events.append,
        )

    @rule(avoid=st.integers(0, 6), use=st.booleans())
    def picks(self, avoid: int, use: bool) -> None:
        now = self.balance.addresses
        other = now[avoid % len(now)] if use else None
        found = self.balance.pick(other)
        assert found in now
        assert found.ejected_until is None, "an ejected address is never picked: at least half are in use"
        if found is other:
            assert all(one is other or one.ejected_until is not None for one in now)

    @rule(which=st.integers(0, 6), times=st.integers(1, 3))
    def fails(self, which: int, times: int) -> None:
        now = self.balance.addresses
        fail(self.balance, now[which % len(now)], times)  # type: ignore[arg-type]

    @rule(which=st.integers(0, 6))
    def succeeds(self, which: int) -> None:
        now = self.balance.addresses
        one = now[which % len(now)]
        self.balance.record_success(one)

    @rule(seconds=st.sampled_from([0.5, 10.0, 31.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule(keep=st.integers(0, 7), new=st.integers(0, 3))
    def addresses_change(self, keep: int, new: int) -> None:
        now = self.balance.addresses[:keep]
        fresh = [Backend(f"http://{self.serial + i}", "w") for i in range(new)]
        self.serial += new
        if now + fresh:
            gone = self.balance.replace(now + fresh)
            assert not set(map(id, gone)) & set(map(id, now))

    @precondition(lambda self: hasattr(self, "balance"))
    @invariant()
    def at_most_half_are_ejected_and_none_for_too_long(self) -> None:
        out = [one for one in self.balance.addresses if one.ejected_until is not None]
        assert len(out) == self.balance.ejected
        assert 2 * len(out) <= len(self.balance.addresses)
        assert all(one.ejected_until is not None and one.ejected_until <= self.clock.now + 30 for one in out)

    @precondition(lambda self: hasattr(self, "balance"))
    @invariant()
    def every_readmission_follows_an_ejection(self) -> None:
        kinds = [type(event) for event in self.events]
        assert kinds.count(Readmitted) <= kinds.count(Ejected)


Machine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestBalanceMachine = Machine.TestCase
