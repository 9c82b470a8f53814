"""Identical reads in flight are sent once: the first caller runs the call, the others wait for its answer.

Identical means: the same service, path, query and asker (nobody in particular when the call is public), the same limits
(`within`, `tries`), and not from before something the asker has changed since. A cancelled leader hands over to a
follower; its failure is everybody's failure, but for a deadline of its own that was nearer than theirs. Every follower
waits until its own deadline and decodes its own copy. Writes go straight through. No task is made for a call.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, TypeVar

from ..calls import Call, Refused, Scope, Timeout, UpstreamError
from ..policies.cache import Key, key_of
from ..policies.coalesce import Flight, Flights
from ..policies.events import Observer, Served, guarded, ignore
from .answers import decode
from .exchange import NO_CONDITIONS, Exchange, Exchanged
from .wire import Answer

# A leader that fails with a timeout this close to its own deadline (seconds) was in a hurry; others may not be.
HURRY = 0.005

_Told = asyncio.Future["Answer | UpstreamError | None"]
# What is read, under which conditions, and how long and how often it may be tried.
_Read: TypeAlias = tuple[Key, tuple[str, ...], float | None, int | None]
_Flight = Flight[_Read, _Told]
E = TypeVar("E", bound=UpstreamError)


class Coalesced:
    """inner: what runs a call; changed: when this principal (its id) last changed something, on `clock`, 0 for never;
    most: followers of one read; clock: seconds."""

    def __init__(
        self,
        inner: Exchange,
        *,
        changed: Callable[[str], float] = lambda principal: 0.0,
        most: int = 1_000,
        clock: Callable[[], float] = time.time,
        observe: Observer = ignore,
    ) -> None:
        self._inner = inner
        self._changed = changed
        self._clock = clock
        self._observe = guarded(observe)
        self.flights: Flights[_Read, _Told] = Flights(most)

    async def run(self, call: Call[Any], scope: Scope) -> Any:
        if call.method != "GET":
            return await self._inner.run(call, scope)
        exchanged = await self.exchange(call, scope)
        scope.ledger.saw(fresh=call.freshness, public=call.shared)
        return exchanged.value

    async def exchange(
        self,
        call: Call[Any],
        scope: Scope,
        conditions: Mapping[str, str] = NO_CONDITIONS,
        *,
        after: float = 0.0,
    ) -> Exchanged:
        """after: a read that began at or before this moment of the clock is not joined."""
        principal = scope.principal
        if principal is not None:
            after = max(after, self._changed(principal.id))
        me: _Told = asyncio.get_running_loop().create_future()
        began = self._clock()
        key = (key_of(call, principal), tuple(conditions.values()), call.timeout, call.attempts)
        flight = self.flights.join(key, me, now=began, after=after)
        if flight.leader is not me:
            told = await self._wait(flight, me, call, scope, began)
            if told is not None:
                return self._shared(call, scope, told, conditions, began)
        return await self._lead(flight, me, call, scope, conditions)

    async def _lead(
        self, flight: _Flight, me: _Told, call: Call[Any], scope: Scope, conditions: Mapping[str, str]
    ) -> Exchanged:
        try:
            exchanged = await self._inner.exchange(call, scope, conditions)
        except UpstreamError as error:
            if isinstance(error, Timeout) and scope.deadline.left() <= HURRY:
                self._hand_over(flight, me)
            else:
                for follower in self.flights.ended(flight):
                    _tell(follower, error)
            raise
        except BaseException:
            # Cancelled, or a bug: whoever waits finds out for itself.
            self._hand_over(flight, me)
            raise
        for follower in self.flights.ended(flight):
            _tell(follower, exchanged.answer)
        return exchanged

    async def _wait(
        self, flight: _Flight, me: _Told, call: Call[Any], scope: Scope, began: float
    ) -> Answer | UpstreamError | None:
        """The outcome, or None when the leader left and it is up to us."""
        try:
            with scope.alarm.limit(scope.deadline.left()):
                return await me
        except TimeoutError:
            self._hand_over(flight, me)
            scope.ledger.took(call.name, self._clock() - began, "timeout")
            raise Timeout(
                call.owner, call.name, "did not answer another request for the same in time."
            ) from None
        except asyncio.CancelledError:
            self._hand_over(flight, me)
            raise

    def _hand_over(self, flight: _Flight, me: _Told) -> None:
        heir = self.flights.left(flight, me)
        while heir is not None and heir.done():
            # It is on its way out itself and has not said so yet.
            heir = self.flights.left(flight, heir)
        if heir is not None:
            heir.set_result(None)

    def _shared(
        self,
        call: Call[Any],
        scope: Scope,
        told: Answer | UpstreamError,
        conditions: Mapping[str, str],
        began: float,
    ) -> Exchanged:
        waited = self._clock() - began
        if isinstance(told, UpstreamError):
            scope.ledger.took(call.name, waited, told.reason)
            raise _copy(told, call)
        value = None if conditions and told.status == 304 else decode(call, told, self._observe)
        scope.ledger.took(call.name, waited, "ok")
        self._observe(Served(call.owner.service, call.name, "coalesced", 0.0))
        return Exchanged(told, value, joined=True)


def _tell(follower: _Told, outcome: Answer | UpstreamError) -> None:
    if not follower.done():
        follower.set_result(outcome)


def _copy(error: E, call: Call[Any]) -> E:
    """An error is raised once each: its traceback and context are the raiser's own, and what becomes of a refusal is
    the follower's own call's word."""
    copy = type(error).__new__(type(error))
    copy.args = error.args
    copy.__dict__.update(error.__dict__)
    if isinstance(copy, Refused):
        copy.outcome = call.outcomes.of(copy.status)
    return copy
