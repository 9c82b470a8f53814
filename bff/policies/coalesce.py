"""Coalescing of identical reads (as Go's singleflight): which reader calls the upstream, and which ones wait for its
answer. Pure: no task, no clock.

    join   the first reader of a key leads a flight and runs the call; later readers follow and wait for the outcome
    ended  the leader has an outcome, which the caller gives to the returned followers
    left   a reader left (cancelled, deadline passed); when it was the leader, the returned follower leads from now on

While a flight has readers, exactly one of them leads, so no reader waits for ever. A follower that became the leader
and leaves before it has noticed calls `left` as every leader does. A reader that must not get an answer from a call
that began at or before a moment (`after`), or that finds the flight full, starts the next flight, which later readers
join.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
W = TypeVar("W", bound=Hashable)


@dataclass(slots=True, eq=False)
class Flight(Generic[K, W]):
    """One call in progress. began: when it started, on the caller's clock."""

    key: K
    leader: W
    began: float
    # A dict keeps the order: the follower that has waited longest becomes the leader.
    followers: dict[W, None] = field(default_factory=dict)


class Flights(Generic[K, W]):
    """The newest flight of each key. most: followers of one flight, default 1,000."""

    def __init__(self, most: int = 1_000) -> None:
        self._max_followers = most
        self._newest: dict[K, Flight[K, W]] = {}

    def __len__(self) -> int:
        return len(self._newest)

    def __iter__(self) -> Iterator[Flight[K, W]]:
        return iter(self._newest.values())

    def join(self, key: K, who: W, *, now: float, after: float = 0.0) -> Flight[K, W]:
        """The flight that `who` has joined; `who` leads it when it is its `leader`. now, after: on the caller's clock;
        a flight that began at or before `after` is not joined."""
        new = Flight(key, who, now)
        flight = self._newest.setdefault(key, new)
        if flight is new:
            return new
        if flight.began <= after or len(flight.followers) >= self._max_followers:
            self._newest[key] = new
            return new
        flight.followers[who] = None
        return flight

    def ended(self, flight: Flight[K, W]) -> list[W]:
        """The leader has an outcome. Returns the followers, in the order in which they joined."""
        self._remove(flight)
        followers, flight.followers = list(flight.followers), {}
        return followers

    def left(self, flight: Flight[K, W], who: W) -> W | None:
        """`who` leaves the flight. Returns the follower that leads from now on, None when the leader has not changed or
        nobody is left."""
        if flight.leader != who:
            flight.followers.pop(who, None)
            return None
        if not flight.followers:
            self._remove(flight)
            return None
        flight.leader = next(iter(flight.followers))
        del flight.followers[flight.leader]
        return flight.leader

    def _remove(self, flight: Flight[K, W]) -> None:
        found = self._newest.pop(flight.key, flight)
        if found is not flight:
            # A newer one has taken its place.
            self._newest[flight.key] = found
