"""Flights as a state machine: every reader that joins gets the outcome, leads, or leaves; none is forgotten."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bff.policies.coalesce import Flight, Flights

MOST = 3


class Machine(RuleBasedStateMachine):
    """Readers join, leaders end, any reader leaves at any time. The model has only the flight of each waiting
    reader."""

    def __init__(self) -> None:
        super().__init__()
        self.flights: Flights[str, int] = Flights(MOST)
        self.now = 0.0
        self.count = 0
        self.of: dict[int, Flight[str, int]] = {}
        self.promoted: set[int] = set()

    @rule(key=st.sampled_from("ab"), back=st.one_of(st.none(), st.integers(0, 5)))
    def join(self, key: str, back: int | None) -> None:
        self.now += 1
        self.count += 1
        after = 0.0 if back is None else self.now - back
        flight = self.flights.join(key, self.count, now=self.now, after=after)
        assert flight.key == key
        assert flight.began > after or flight.leader == self.count
        self.of[self.count] = flight

    @precondition(lambda self: self.of)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        leaders = [who for who, flight in self.of.items() if flight.leader == who]
        who = data.draw(st.sampled_from(leaders))
        flight = self.of.pop(who)
        waiting = [other for other, its in self.of.items() if its is flight]
        assert self.flights.ended(flight) == waiting
        for other in waiting:
            del self.of[other]

    @precondition(lambda self: self.of)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        who = data.draw(st.sampled_from(sorted(self.of)))
        flight = self.of.pop(who)
        led = flight.leader == who
        successor = self.flights.left(flight, who)
        waiting = [other for other, its in self.of.items() if its is flight]
        # The reader that has waited longest leads next, and only when the leader left.
        assert successor == (waiting[0] if led and waiting else None)
        # Leaving twice, or after the end of the flight, changes nothing.
        assert self.flights.left(flight, who) is None or flight.leader in self.of

    @invariant()
    def every_flight_with_readers_has_exactly_one_of_them_as_leader(self) -> None:
        for who, flight in self.of.items():
            assert flight.leader in self.of
            assert self.of[flight.leader] is flight
            assert (who in flight.followers) != (flight.leader == who)
            assert len(flight.followers) <= MOST

    @invariant()
    def a_flight_without_readers_is_forgotten(self) -> None:
        assert len(self.flights) <= len({flight.key for flight in self.of.values()})


Machine.TestCase.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)
TestFlights = Machine.TestCase


def test_after_a_full_flight_a_new_one_starts_that_can_be_joined() -> None:
    flights: Flights[str, int] = Flights(1)
    first = flights.join("a", 1, now=1)
    assert flights.join("a", 2, now=2) is first
    second = flights.join("a", 3, now=3)
    assert second is not first and second.leader == 3
    assert flights.join("a", 4, now=4) is second
    assert flights.ended(first) == [2]
    # The end of the first does not close the second.
    assert flights.ended(second) == [4]
    assert len(flights) == 0


def test_by_default_a_flight_has_at_most_a_thousand_followers() -> None:
    flights: Flights[str, int] = Flights()
    first = flights.join("a", 0, now=1)
    assert all(flights.join("a", number, now=2) is first for number in range(1, 1_001))
    assert flights.join("a", 1_001, now=2) is not first


def test_the_newest_flights_can_be_iterated() -> None:
    flights: Flights[str, int] = Flights()
    first, other = flights.join("a", 1, now=1), flights.join("b", 2, now=1)
    assert list(flights) == [first, other]


def test_a_reader_does_not_join_a_flight_that_began_before_its_change() -> None:
    flights: Flights[str, int] = Flights()
    first = flights.join("a", 1, now=5)
    assert flights.join("a", 2, now=7, after=5).leader == 2
    assert flights.join("a", 3, now=8).leader == 2
    assert flights.ended(first) == []
