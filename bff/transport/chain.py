"""The walk of one upstream call: retry → balance → breaker → bulkhead → attempt → answer, with an honest error.

One way for every call. The chain decides nothing itself: it asks the policies, carries out what they say and tells
observers what came of it. A rejection of ours never counts as the upstream's failure, nothing begins that cannot end
before the deadline, and a write is repeated only under an idempotency key its service honours.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import urlencode

from opentelemetry.trace import INVALID_SPAN, Span, SpanKind, StatusCode, Tracer, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from ..calls import (
    Call,
    CircuitOpen,
    DeclarationError,
    Invalid,
    Overloaded,
    Rejected,
    Scope,
    Timeout,
    Timing,
    Unreachable,
    UpstreamError,
)
from ..policies import facts
from ..policies.balance import Address
from ..policies.breaker import Breaker
from ..policies.facts import Observer, Side, ignore
from ..policies.retry import passing
from .answers import decode, retry_after
from .exchange import NO_CONDITIONS, Exchanged
from .headers import outbound, repeatable
from .lane import Lane
from .wire import Answer, Request, Wire, WireBroken, WireTimeout, WireTooLarge

Place: TypeAlias = Address[Wire]
Found: TypeAlias = Answer | UpstreamError

_TRACE_CONTEXT = TraceContextTextMapPropagator()


@dataclass(slots=True)
class _Walk:
    """One call on its way; conditions: further request headers."""

    call: Call[Any]
    scope: Scope
    lane: Lane
    conditions: Mapping[str, str]


class Chain:
    """lanes: by service name; tracer: begins the span of each hop; clock: monotonic seconds; chance: uniform in
    [0, 1); observe: told what happened."""

    def __init__(
        self,
        lanes: Mapping[str, Lane],
        tracer: Tracer,
        *,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
        observe: Observer = ignore,
    ) -> None:
        self.lanes = dict(lanes)
        self._clock = clock
        self._chance = chance
        self._tracer = tracer
        self._observe = observe
        self._observed = observe is not ignore

    async def run(self, call: Call[Any], scope: Scope) -> Any:
        """The decoded answer; raises an UpstreamError that names the owner."""
        exchanged = await self.exchange(call, scope)
        scope.ledger.saw(fresh=call.freshness, public=call.shared)
        return exchanged.value

    async def exchange(
        self, call: Call[Any], scope: Scope, conditions: Mapping[str, str] = NO_CONDITIONS
    ) -> Exchanged:
        """The answer with what came over the wire; see `Exchange`."""
        lane = self.lanes.get(call.owner.service)
        if lane is None:
            raise DeclarationError(
                f"{call.name}: no address for upstream {call.owner.service!r}; "
                f"set BFF_UPSTREAMS__{call.owner.service.upper()}__URL"
            )
        lane.budget.active += 1
        parent = get_current_span().get_span_context()
        try:
            if parent.is_valid and not parent.trace_flags.sampled:
                # Nobody records this trace: a span of the SDK would cost 5 µs to say so.
                return await self._exchange(_Walk(call, scope, lane, conditions), INVALID_SPAN)
            with self._tracer.start_as_current_span(
                call.name,
                kind=SpanKind.CLIENT,
                attributes={"http.request.method": call.method, "url.template": call.template},
                record_exception=False,
                set_status_on_exception=False,
            ) as span:
                return await self._exchange(_Walk(call, scope, lane, conditions), span)
        finally:
            lane.budget.active -= 1

    async def _exchange(self, walk: _Walk, span: Span) -> Exchanged:
        call, scope = walk.call, walk.scope
        began = self._clock()
        outcome = "ok"
        try:
            answer = await self._answer(walk)
            span.set_attribute("http.response.status_code", answer.status)
            if answer.status == 304 and walk.conditions:
                return Exchanged(answer, None)
            return Exchanged(answer, decode(call, answer))
        except UpstreamError as error:
            outcome = error.reason
            span.set_status(StatusCode.ERROR, error.reason)
            raise
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        finally:
            scope.ledger.timings.append(Timing(call.name, (self._clock() - began) * 1000, outcome))

    # ---- the attempts ----------------------------------------------------------------------------------------

    async def _answer(self, walk: _Walk) -> Answer:
        """One attempt, or several. What an upstream did to an earlier attempt outranks a later refusal of our own."""
        call, lane = walk.call, walk.lane
        made = 0
        taken = False
        tried: Place | None = None
        place: Place | None = None
        earlier: Found | None = None
        found: Found
        try:
            while True:
                try:
                    place, breaker = self._choose(walk, tried)
                    found = answer = await self._attempt(walk, place, breaker)
                except Rejected as error:
                    return _told(earlier or error)
                except (Timeout, Unreachable) as error:
                    found, after = error, None
                else:
                    if answer.status < 500 and answer.status != 429:
                        return answer
                    after = retry_after(answer)
                made += 1
                delay = self._again(walk, made, found, after, place)
                if delay is not None and not taken:
                    taken = lane.budget.take()
                    if not taken:
                        self._observe(facts.Rejected(call.owner.service, call.name, "retry-budget"))
                        delay = None
                if delay is None:
                    if earlier is not None and call.method != "GET" and _refused(found):
                        # A write that may have been done must not be reported as one that was not.
                        return _told(earlier)
                    return _told(found)
                if earlier is None or not _refused(found):
                    earlier = found
                tried = place
                why = found.reason if isinstance(found, UpstreamError) else str(found.status)
                self._observe(facts.Retried(call.owner.service, call.name, made + 1, delay, why))
                await asyncio.sleep(delay)
        finally:
            if taken:
                lane.budget.give()

    def _again(
        self, walk: _Walk, made: int, found: Found, after: float | None, place: Place | None
    ) -> float | None:
        """Seconds until the next attempt, None for no further one."""
        if walk.lane.retry.attempts <= made or not repeatable(walk.call, walk.scope):
            return None
        if isinstance(found, Timeout) and all(other is place for other in walk.lane.places):
            # It has just been given its whole time. Asking the same place again would double the wait of a screen and
            # the load of a service that is slow already; another place may be well.
            return None
        if isinstance(found, Answer) and not passing(found.status, after):
            return None
        return walk.lane.retry.delay(made, walk.scope.deadline.left(), self._chance(), after)

    def _choose(self, walk: _Walk, tried: Place | None) -> tuple[Place, Breaker]:
        """Where to send, let in by the breaker there: report to it. Raises Timeout or CircuitOpen."""
        call, scope, lane = walk.call, walk.scope, walk.lane
        if scope.deadline.left() < lane.retry.least:
            self._rejected(call, "", "deadline", "timeout")
            raise Timeout(call.owner, call.name, "was not called: the deadline had passed.")
        place = lane.places.pick(tried)
        breaker = lane.breakers.of(call.name, place.name)
        wait = breaker.admit()
        if wait is None:
            return place, breaker
        for other in lane.places:
            if other is place or other.out is not None:
                continue
            breaker = lane.breakers.of(call.name, other.name)
            elsewhere = breaker.admit()
            if elsewhere is None:
                return other, breaker
            wait = min(wait, elsewhere)
        self._rejected(call, place.name, "circuit-open", "circuit-open")
        raise CircuitOpen(
            call.owner, call.name, "is not called for a moment after failing repeatedly.", retry_after=wait
        )

    async def _attempt(self, walk: _Walk, place: Place, breaker: Breaker) -> Answer:
        call, scope, lane = walk.call, walk.scope, walk.lane
        era = breaker.era
        entry = lane.permits.bulkhead.enter()
        if entry != "in":
            await self._permit(walk, place, breaker, entry == "wait")
        clock = self._clock
        own = call.timeout or lane.timeout
        seconds = min(scope.deadline.left(), own)
        side: Side = "client"
        outcome = "cancelled"
        began = clock()
        place.pending += 1
        try:
            async with asyncio.timeout(seconds):
                answer = await self._send(walk, place.wire, seconds)
            outcome, side = _word(answer.status), "origin"
            return answer
        except (TimeoutError, WireTimeout):
            outcome = "timeout"
            # An upstream is blamed only for a wait of at least half its usual time, not for a caller in a hurry.
            if seconds >= lane.timeout / 2:
                side = "origin"
            raise Timeout(call.owner, call.name, f"did not answer within {seconds:.3g} s.") from None
        except WireBroken as error:
            outcome, side = "unreachable", "origin"
            raise Unreachable(call.owner, call.name, f"could not be reached ({error}).") from None
        except WireTooLarge as error:
            outcome, side = "invalid", "origin"
            raise Invalid(call.owner, call.name, f"answered {error}.") from None
        finally:
            place.pending -= 1
            lane.permits.leave()
            took = clock() - began
            if side == "client":
                breaker.abandoned(era)
            elif outcome in _BROKEN:
                breaker.failed(era)
                lane.places.failed(place)
            else:
                breaker.succeeded(era, took)
                lane.places.succeeded(place)
            if self._observed:
                self._observe(
                    facts.Attempted(call.owner.service, call.name, place.name, took * 1000, outcome, side)
                )

    async def _permit(self, walk: _Walk, place: Place, breaker: Breaker, queued: bool) -> None:
        """Wait for a permit of the bulkhead. Raises Overloaded, CircuitOpen."""
        call, scope, lane = walk.call, walk.scope, walk.lane
        era = breaker.era
        began = self._clock()
        let_in = False
        try:
            if queued:
                seconds = min(lane.permits.bulkhead.rule.wait, scope.deadline.left())
                let_in = await lane.permits.wait(seconds)
        finally:
            if not let_in:
                breaker.abandoned(era)
        if not let_in:
            self._rejected(call, place.name, "bulkhead", "overloaded")
            self._observe(facts.BulkheadFull(call.owner.service, call.name, self._clock() - began))
            raise Overloaded(
                call.owner, call.name, "has as many calls under way as it may have.", retry_after=1.0
            )
        if breaker.era != era and breaker.state == "open":
            # It opened while this call was waiting.
            lane.permits.leave()
            self._rejected(call, place.name, "circuit-open", "circuit-open")
            raise CircuitOpen(
                call.owner,
                call.name,
                "is not called for a moment after failing repeatedly.",
                retry_after=breaker.admit(),
            )

    async def _send(self, walk: _Walk, wire: Wire, seconds: float) -> Answer:
        call, scope = walk.call, walk.scope
        headers = outbound(call, scope, seconds)
        if walk.conditions:
            headers.update(walk.conditions)
        _TRACE_CONTEXT.inject(headers)
        request = Request(call.method, target(call), headers, call.body)
        try:
            return await wire.send(request)
        except WireBroken as error:
            # A keep-alive connection may have been closed just as it was used. Sending once more is safe for a read
            # and for a keyed write; it is not a retry of a failed call.
            if not error.dropped or not repeatable(call, scope):
                raise
            return await wire.send(request)

    def _rejected(self, call: Call[Any], address: str, why: str, outcome: str) -> None:
        if self._observed:
            self._observe(facts.Rejected(call.owner.service, call.name, why))
            self._observe(facts.Attempted(call.owner.service, call.name, address, 0.0, outcome, "local"))

    async def close(self) -> None:
        for lane in self.lanes.values():
            await lane.places.close()


def _told(found: Found) -> Answer:
    if isinstance(found, UpstreamError):
        raise found
    return found


def _refused(found: Found) -> bool:
    """The upstream said that it did not take it."""
    return isinstance(found, Answer) and found.status in (429, 503)


def _word(status: int) -> str:
    """The contract's word for an answer's status, ``ok`` below 300 and for 304."""
    if 200 <= status < 300 or status == 304:
        return "ok"
    if status in (429, 503):
        return "overloaded" if status == 503 else "throttled"
    return "refused" if 400 <= status < 500 else "failed"


# What says that the upstream does not do its work. 429 is an upstream that works and says no.
_BROKEN = frozenset({"timeout", "unreachable", "failed", "overloaded"})


def target(call: Call[Any]) -> str:
    """Path and query as they go on the wire."""
    if not call.query:
        return call.path
    return f"{call.path}?{urlencode(call.query)}"
