"""One attempt of a call: where it goes, whether it may, how long it has, and whose fault it was when it failed.

balance → breaker → bulkhead → time limit → wire. Whatever happens, also a cancellation, the permit comes back and the
breaker is told exactly once. An upstream is blamed for what it did, never for a refusal of ours or a caller in a hurry.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from opentelemetry.trace import get_current_span

from ..calls import Call, CircuitOpen, Invalid, Overloaded, Scope, Timeout, Unreachable
from ..policies import events
from ..policies.balance import Backend
from ..policies.breaker import Breaker
from ..policies.events import Observer, Side, guarded, ignore
from .client import UpstreamClient
from .headers import outbound, repeatable
from .wire import Answer, Request, Wire, WireBroken, WireInvalid, WireTimeout, WireTooLarge


@dataclass(slots=True)
class CallContext:
    """One call on its way; conditions: further request headers."""

    call: Call[Any]
    scope: Scope
    client: UpstreamClient
    conditions: Mapping[str, str]


class Attempts:
    """clock: monotonic seconds; observe: told what happened."""

    def __init__(self, clock: Callable[[], float], observe: Observer) -> None:
        self._clock = clock
        self._observe = guarded(observe)
        # Facts are made only for somebody who looks at them.
        self._observed = observe is not ignore

    def choose(self, walk: CallContext, tried: Backend[Wire] | None) -> tuple[Backend[Wire], Breaker]:
        """Where to send, let in by the breaker there: report to it. Raises Timeout or CircuitOpen."""
        call, scope, client = walk.call, walk.scope, walk.client
        if scope.deadline.left() < client.retry.least:
            self._rejected(call, "", "deadline", "timeout")
            raise Timeout(call.owner, call.name, "was not called: the deadline had passed.")
        backend = client.backends.pick(tried)
        breaker = client.breakers.of(call.name, backend.name, recovery=scope.recovery)
        wait = breaker.admit()
        if wait is None:
            return backend, breaker
        for other in client.backends:
            if other is backend or other.out is not None:
                continue
            breaker = client.breakers.of(call.name, other.name, recovery=scope.recovery)
            elsewhere = breaker.admit()
            if elsewhere is None:
                return other, breaker
            wait = min(wait, elsewhere)
        self._rejected(call, backend.name, "circuit-open", "circuit-open")
        raise CircuitOpen(
            call.owner, call.name, "is not called for a moment after failing repeatedly.", retry_after=wait
        )

    async def make(self, walk: CallContext, backend: Backend[Wire], breaker: Breaker) -> Answer:
        call, scope, client = walk.call, walk.scope, walk.client
        era = breaker.era
        entry = client.permits.bulkhead.enter()
        if entry != "in":
            await self._permit(walk, backend, breaker, entry == "wait")
        clock = self._clock
        own = call.timeout or client.timeout
        seconds = min(scope.deadline.left(), own)
        side: Side = "client"
        outcome = "cancelled"
        redirected = False
        began = clock()
        backend.pending += 1
        try:
            with scope.alarm.limit(seconds):
                answer = await self._send(walk, backend.wire, seconds)
            outcome, side = _word(call, answer.status), "origin"
            # It may be about who asks (a sign-in page): one person's redirects must not open the breaker for all.
            redirected = 300 <= answer.status < 400
            return answer
        except (TimeoutError, WireTimeout):
            outcome = "timeout"
            # An upstream is blamed only for a wait of at least half its usual time, not for a caller in a hurry.
            if seconds >= client.timeout / 2:
                side = "origin"
            raise Timeout(call.owner, call.name, f"did not answer within {seconds:.3g} s.") from None
        except WireBroken as error:
            outcome, side = "unreachable", "origin"
            raise Unreachable(call.owner, call.name, f"could not be reached ({error}).") from None
        except WireInvalid as error:
            outcome, side = "invalid", "origin"
            raise Invalid(call.owner, call.name, f"answered what cannot be read: {error}.") from None
        except WireTooLarge as error:
            outcome, side = "invalid", "origin"
            raise Invalid(call.owner, call.name, f"answered {error}.") from None
        finally:
            backend.pending -= 1
            client.permits.leave()
            took = clock() - began
            if side == "client":
                breaker.abandoned(era)
            elif outcome in _BROKEN and not redirected:
                breaker.failed(era)
                client.backends.failed(backend)
            else:
                breaker.succeeded(era, took)
                client.backends.succeeded(backend)
            if self._observed:
                self._observe(
                    events.Attempted(call.owner.service, call.name, backend.name, took * 1000, outcome, side)
                )

    async def _permit(
        self, walk: CallContext, backend: Backend[Wire], breaker: Breaker, queued: bool
    ) -> None:
        """Wait for a permit of the bulkhead. Raises Overloaded, CircuitOpen."""
        call, scope, client = walk.call, walk.scope, walk.client
        era = breaker.era
        began = self._clock() if queued else None
        let_in = False
        try:
            if queued:
                seconds = min(client.permits.bulkhead.rule.wait, scope.deadline.left())
                let_in = await client.permits.wait(scope.alarm.limit(seconds))
        finally:
            if not let_in:
                breaker.abandoned(era)
        if not let_in:
            self._rejected(call, backend.name, "bulkhead", "overloaded")
            waited = 0.0 if began is None else self._clock() - began
            self._observe(events.BulkheadFull(call.owner.service, call.name, waited))
            raise Overloaded(
                call.owner, call.name, "has as many calls under way as it may have.", retry_after=1.0
            )
        if breaker.era != era and breaker.state == "open":
            # It opened while this call was waiting.
            client.permits.leave()
            self._rejected(call, backend.name, "circuit-open", "circuit-open")
            raise CircuitOpen(
                call.owner,
                call.name,
                "is not called for a moment after failing repeatedly.",
                retry_after=breaker.admit(),
            )

    async def _send(self, walk: CallContext, wire: Wire, seconds: float) -> Answer:
        call, scope = walk.call, walk.scope
        headers = outbound(call, scope, seconds, walk.client.credentials)
        if walk.conditions:
            headers.update(walk.conditions)
        _trace(headers)
        request = Request(call.method, target(call), headers, call.body)
        try:
            return await wire.send(request)
        except WireBroken as error:
            # A keep-alive connection may have been closed just as it was used. Sending once more is safe for a read
            # and for a keyed write; it is not a retry of a failed call.
            if not error.dropped or not repeatable(call, scope):
                raise
            answer = await wire.send(request)
            if answer.status == 409 and call.method != "GET":
                # The first one may have arrived, and be still being carried out.
                raise
            return answer

    def _rejected(self, call: Call[Any], address: str, why: str, outcome: str) -> None:
        if self._observed:
            self._observe(events.Rejected(call.owner.service, call.name, why))
            self._observe(events.Attempted(call.owner.service, call.name, address, 0.0, outcome, "local"))


def _word(call: Call[Any], status: int) -> str:
    """The contract's word for an answer's status, ``ok`` for 2xx and 304; 429 is ``throttled``."""
    if 200 <= status < 300 or status == 304:
        return "ok"
    return "throttled" if status == 429 else call.outcomes.of(status).kind


# What says that the upstream does not do its work. 429 is an upstream that works and says no.
_BROKEN = frozenset({"timeout", "unreachable", "failed", "overloaded"})


def target(call: Call[Any]) -> str:
    """Path and query as they go on the wire."""
    if not call.query:
        return call.path
    return f"{call.path}?{urlencode(call.query)}"


def _trace(headers: dict[str, str]) -> None:
    """Say which trace this call belongs to (W3C Trace Context level 2, section 4.3). Each call is a parent of its own:
    where nobody records, no span was made for it, and a random id stands for one."""
    span = get_current_span().get_span_context()
    if not span.is_valid:
        return
    parent = span.span_id if span.trace_flags.sampled else random.getrandbits(64) or 1
    headers["traceparent"] = f"00-{span.trace_id:032x}-{parent:016x}-{span.trace_flags:02x}"
    if span.trace_state:
        headers["tracestate"] = span.trace_state.to_header()
