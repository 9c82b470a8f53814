"""Identical reads in flight are sent once: the first caller sends the request, the others wait for its response.

Identical means: the same service, path, query and principal (none when the call is public) and the same limits
(`within`, `tries`). A read that started before the principal's last change is not joined. When the leader is cancelled,
a follower leads. A failure of the leader is the failure of all followers, except a timeout at the leader's own
deadline. Each follower waits until its own deadline and decodes its own copy. Writes are not coalesced. No task is made
for a call.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar

from opentelemetry.trace import SpanContext

from ..calls import Call, Refused, RequestContext, Timeout, UpstreamError
from ..policies.cache import Key, key_of
from ..policies.coalesce import Flight, Flights
from ..policies.events import Observer, Served, guarded, ignore
from .request import NO_CONDITIONS
from .response import CallResult, decode
from .traces import NO_TRACES, CallTraces
from .wire import WireResponse

SHORT_DEADLINE = 0.005
"""Seconds. When the leader times out this close to its own deadline, its deadline was the cause, and followers may have
more time."""


class _Outcome(NamedTuple):
    """What the leader got, and the span that its attempts are below."""

    result: WireResponse | UpstreamError
    span: SpanContext


# A participant's future gets the leader's outcome, or None when the participant becomes the leader.
_Participant = asyncio.Future[_Outcome | None]
# What is read, under which conditions, and for how long and how often it may be tried.
_Read: TypeAlias = tuple[Key, tuple[str, ...], float | None, int | None]
_Flight = Flight[_Read, _Participant]
E = TypeVar("E", bound=UpstreamError)


class CallStage(Protocol):
    """A step of the pipeline together with all steps after it."""

    async def exchange(
        self, call: Call[Any], request: RequestContext, conditions: Mapping[str, str] = NO_CONDITIONS
    ) -> CallResult:
        """Run the call, including retries. conditions: further request headers such as `if-none-match`; only with them
        a 304 is a result. Records the timing in the request's record, but not the freshness. Raises an
        UpstreamError."""

    async def run(self, call: Call[Any], request: RequestContext) -> Any:
        """The value of `exchange` without conditions; records the freshness."""


class RequestCoalescer:
    """The step after the cache.

    next           the step after this one
    last_change_by the time at which this principal (its id) last changed something, on `clock`; 0 for never
    most           followers of one read, default 1,000; the next one starts another request
    clock          seconds
    traces         gets an event, with a link to the leader's trace, for each follower that was answered
    """

    def __init__(
        self,
        next: CallStage,
        *,
        last_change_by: Callable[[str], float] = lambda principal: 0.0,
        most: int = 1_000,
        clock: Callable[[], float] = time.time,
        observe: Observer = ignore,
        traces: CallTraces = NO_TRACES,
    ) -> None:
        self._next = next
        self._traces = traces
        self._last_change_by = last_change_by
        self._clock = clock
        self._observe = guarded(observe)
        self.flights: Flights[_Read, _Participant] = Flights(most)

    async def run(self, call: Call[Any], request: RequestContext) -> Any:
        if call.is_write:
            return await self._next.run(call, request)
        result = await self.exchange(call, request)
        request.record.add_answer(fresh=call.freshness, public=call.shared)
        return result.value

    async def exchange(
        self,
        call: Call[Any],
        request: RequestContext,
        conditions: Mapping[str, str] = NO_CONDITIONS,
        *,
        after: float = 0.0,
    ) -> CallResult:
        """after: a read that started at or before this moment of the clock is not joined."""
        principal = request.principal
        if principal is not None:
            after = max(after, self._last_change_by(principal.id))
        me: _Participant = request.timer.loop.create_future()
        started = self._clock()
        key = (key_of(call, principal), tuple(conditions.values()), call.timeout, call.attempts)
        flight = self.flights.join(key, me, now=started, after=after)
        if flight.leader is not me:
            outcome = await self._follow(flight, me, call, request, started)
            if outcome is not None:
                return self._result(call, request, outcome, conditions, started)
        # This caller leads: it came first, or the leader has left.
        try:
            result = await self._next.exchange(call, request, conditions)
        except UpstreamError as error:
            if isinstance(error, Timeout) and request.deadline.left() <= SHORT_DEADLINE:
                self._hand_over(flight, me)
            else:
                self._end(flight, error)
            raise
        except BaseException:
            # Cancelled, or a bug: the next leader runs the call again.
            self._hand_over(flight, me)
            raise
        self._end(flight, result.response)
        return result

    async def _follow(
        self, flight: _Flight, me: _Participant, call: Call[Any], request: RequestContext, started: float
    ) -> _Outcome | None:
        """The leader's outcome; None when the leader left and this caller leads now."""
        try:
            with request.timer.limit(request.deadline.left()):
                return await me
        except TimeoutError:
            self._hand_over(flight, me)
            request.record.add_call(call.name, self._clock() - started, "timeout", cache="coalesced")
            raise Timeout(
                call.owner, call.name, "did not answer another request for the same data in time."
            ) from None
        except asyncio.CancelledError:
            self._hand_over(flight, me)
            request.record.cut_off = call.name, call.owner
            raise

    def _end(self, flight: _Flight, result: WireResponse | UpstreamError) -> None:
        followers = self.flights.ended(flight)
        if not followers:
            return
        outcome = _Outcome(result, self._traces.current().context)
        for follower in followers:
            if not follower.done():
                follower.set_result(outcome)

    def _hand_over(self, flight: _Flight, me: _Participant) -> None:
        """Leave the flight. When this caller led it, another participant leads from now on."""
        leader = self.flights.left(flight, me)
        while leader is not None and leader.done():
            # It was cancelled, too, and has not noticed it yet.
            leader = self.flights.left(flight, leader)
        if leader is not None:
            leader.set_result(None)

    def _result(
        self,
        call: Call[Any],
        request: RequestContext,
        outcome: _Outcome,
        conditions: Mapping[str, str],
        started: float,
    ) -> CallResult:
        """A follower's copy of the leader's outcome."""
        waited = self._clock() - started
        result = outcome.result
        self._traces.add_event(
            "bff.call.coalesced",
            {"bff.service": call.owner.service, "bff.call": call.name, "bff.waited": waited},
            outcome.span,
        )
        if isinstance(result, UpstreamError):
            request.record.add_call(call.name, waited, result.reason, cache="coalesced")
            raise _copy(result, call)
        value = None if conditions and result.status == 304 else decode(call, result, self._observe)
        request.record.add_call(call.name, waited, "ok", cache="coalesced")
        self._observe(Served(call.owner.service, call.name, "coalesced", 0.0))
        return CallResult(result, value, coalesced=True)


def _copy(error: E, call: Call[Any]) -> E:
    """A copy of the leader's error for a follower. Each caller raises another object, because traceback and context
    belong to one caller. The outcome of a refusal is read from the follower's own call."""
    copy = type(error).__new__(type(error))
    copy.args = error.args
    copy.__dict__.update(error.__dict__)
    if isinstance(copy, Refused):
        copy.outcome = call.outcomes.of(copy.status)
    return copy
