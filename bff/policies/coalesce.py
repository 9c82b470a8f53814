"""Who of several identical readers asks the upstream, and who waits for the answer. Pure: no task, no clock.

    join   the first of a key leads a flight and runs the call; the others follow and wait to be told
    ended  the leader is done: whoever is returned is to be told the outcome
    left   somebody gave up (cancelled, out of time); when it was the leader, the returned follower leads now

While anybody waits there is exactly one leader, so no wake-up can be lost: whoever was promoted and then gave up before
it noticed calls `left` as any leader does. A reader that must not be told what was under way before some moment
(`after`), or that comes when a flight is full, begins the next flight, which later readers join.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
W = TypeVar("W", bound=Hashable)


@dataclass(slots=True, eq=False)
class Flight(Generic[K, W]):
    """One call under way. began: when, on the caller's clock."""

    key: K
    leader: W
    began: float
    # A dict for its order: the one who has waited longest takes over.
    followers: dict[W, None] = field(default_factory=dict)


class Flights(Generic[K, W]):
    """The newest flight of each key. most: followers of one flight (default 1,000)."""

    def __init__(self, most: int = 1_000) -> None:
        self._most = most
        self._newest: dict[K, Flight[K, W]] = {}

    def __len__(self) -> int:
        return len(self._newest)

    def __iter__(self) -> Iterator[Flight[K, W]]:
        return iter(self._newest.values())

    def join(self, key: K, who: W, *, now: float, after: float = 0.0) -> Flight[K, W]:
        """The flight `who` takes part in: it leads it when it is its `leader`. after: what began at or before this
        moment is not good enough."""
        flight = self._newest.get(key)
        if flight is None or flight.began <= after or len(flight.followers) >= self._most:
            flight = self._newest[key] = Flight(key, who, now)
        else:
            flight.followers[who] = None
        return flight

    def ended(self, flight: Flight[K, W]) -> list[W]:
        """The leader has an outcome: everybody who waited, in the order they came."""
        self._over(flight)
        told, flight.followers = list(flight.followers), {}
        return told

    def left(self, flight: Flight[K, W], who: W) -> W | None:
        """`who` takes part no longer; the follower that leads from now on, if that changes."""
        if flight.leader != who:
            flight.followers.pop(who, None)
            return None
        if not flight.followers:
            self._over(flight)
            return None
        flight.leader = next(iter(flight.followers))
        del flight.followers[flight.leader]
        return flight.leader

    def _over(self, flight: Flight[K, W]) -> None:
        if self._newest.get(flight.key) is flight:
            del self._newest[flight.key]
