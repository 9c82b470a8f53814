"""The walk of one upstream call: deadline → breaker → attempt → answer, with a span, a timing and an honest error.

One way for every call. The chain decides nothing about HTTP towards the browser, and keeps no state but one lane
(connections and breaker) for each upstream.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from opentelemetry.trace import SpanKind, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from ..calls import (
    Call,
    CircuitOpen,
    DeclarationError,
    Invalid,
    Scope,
    Timeout,
    Timing,
    Unreachable,
    UpstreamError,
)
from ..policies.breaker import Breaker
from .answers import decode
from .headers import idempotency_key, outbound
from .wire import Answer, Request, Wire, WireBroken, WireTimeout, WireTooLarge

# Below this nothing can come back in time: a loopback round trip alone takes about a millisecond.
LEAST = 0.002

_TRACE_CONTEXT = TraceContextTextMapPropagator()


@dataclass(slots=True)
class Lane:
    """One upstream at run time: its connections, its breaker, seconds for one attempt."""

    wire: Wire
    breaker: Breaker
    timeout: float


class Chain:
    """lanes: by service name; tracer: begins the span of each hop; clock: monotonic seconds."""

    def __init__(
        self, lanes: Mapping[str, Lane], tracer: Tracer, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.lanes = dict(lanes)
        self._clock = clock
        self._tracer = tracer

    async def run(self, call: Call[Any], scope: Scope) -> Any:
        """The decoded answer; raises an UpstreamError that names the owner."""
        lane = self.lanes.get(call.owner.service)
        if lane is None:
            raise DeclarationError(
                f"{call.name}: no address for upstream {call.owner.service!r}; "
                f"set BFF_UPSTREAMS__{call.owner.service.upper()}__URL"
            )
        began = self._clock()
        outcome = "ok"
        with self._tracer.start_as_current_span(
            call.name,
            kind=SpanKind.CLIENT,
            attributes={"http.request.method": call.method, "url.template": call.template},
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                answer = await self._attempt(call, scope, lane)
                span.set_attribute("http.response.status_code", answer.status)
                result = decode(call, answer)
            except UpstreamError as error:
                outcome = error.reason
                span.set_status(StatusCode.ERROR, error.reason)
                raise
            except asyncio.CancelledError:
                outcome = "cancelled"
                raise
            finally:
                took, start = self._clock() - began, max(0.0, began - scope.ledger.began)
                scope.ledger.timings.append(Timing(call.name, took * 1000, outcome, start * 1000))
        scope.ledger.saw(fresh=call.freshness, public=call.shared)
        return result

    async def _attempt(self, call: Call[Any], scope: Scope, lane: Lane) -> Answer:
        left = scope.deadline.left()
        if left < LEAST:
            raise Timeout(call.owner, call.name, "was not called: the deadline had passed.")
        wait = lane.breaker.admit()
        if wait is not None:
            raise CircuitOpen(
                call.owner,
                call.name,
                "is not called for a moment after failing repeatedly.",
                retry_after=wait,
            )
        own = call.timeout or lane.timeout
        seconds = min(left, own)
        told = False
        try:
            async with asyncio.timeout(seconds):
                answer = await self._send(call, scope, lane, seconds)
            told = True
            if answer.status >= 500:
                lane.breaker.failed()
            else:
                lane.breaker.succeeded()
            return answer
        except (TimeoutError, WireTimeout):
            # An upstream is blamed only for a wait of at least half its usual time, not for a caller in a hurry.
            if seconds >= lane.timeout / 2:
                told = True
                lane.breaker.failed()
            raise Timeout(call.owner, call.name, f"did not answer within {seconds:.3g} s.") from None
        except WireBroken as error:
            told = True
            lane.breaker.failed()
            raise Unreachable(call.owner, call.name, f"could not be reached ({error}).") from None
        except WireTooLarge as error:
            told = True
            lane.breaker.succeeded()
            raise Invalid(call.owner, call.name, f"answered {error}.") from None
        finally:
            if not told:
                lane.breaker.abandoned()

    async def _send(self, call: Call[Any], scope: Scope, lane: Lane, seconds: float) -> Answer:
        headers = outbound(call, scope, seconds)
        _TRACE_CONTEXT.inject(headers)
        request = Request(call.method, target(call), headers, call.body)
        try:
            return await lane.wire.send(request)
        except WireBroken as error:
            # A keep-alive connection may have been closed just as it was used. Sending once more is safe for a read
            # and for a keyed write; it is not a retry of a failed call.
            if not error.dropped or (call.method != "GET" and idempotency_key(call, scope) is None):
                raise
            return await lane.wire.send(request)

    async def close(self) -> None:
        for lane in self.lanes.values():
            await lane.wire.close()


def target(call: Call[Any]) -> str:
    """Path and query as they go on the wire."""
    if not call.query:
        return call.path
    return f"{call.path}?{urlencode(call.query)}"
