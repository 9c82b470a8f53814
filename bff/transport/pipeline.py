"""One call to an upstream, step by step from `await call` to its value. The steps come in this order:

    step            decided by              carried out in
    cache           policies/cache.py       response_cache.py, with cache_storage.py and invalidations.py
    coalesce        policies/coalesce.py    coalescing.py
    retry           policies/retry.py       CallPipeline._with_retries
    backend         policies/balance.py     CallPipeline.choose, on what backends.py knows
    breaker         policies/breaker.py     CallPipeline.choose
    hedge           policies/hedge.py       hedging.py
    bulkhead        policies/bulkhead.py    CallPipeline.wait_for_permit
    attempt         call or settings        CallPipeline.attempt, with request.py
    wire            settings                h1_wire.py, aiohttp_wire.py, httpx_wire.py behind the port of wire.py
    value or error  calls/outcomes.py       response.py

Every call passes these steps. The pipeline makes no decisions: it asks the policies, does what they decide and reports
each outcome once to them and to observers. A rejection by the gateway and a caller's short deadline never count as the
upstream's failure. No attempt begins that cannot end before the deadline. A write is repeated only with an idempotency
key that its service honours.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

from msgspec import structs

from ..calls import (
    Call,
    CircuitOpen,
    DeclarationError,
    Invalid,
    Overloaded,
    Principal,
    Rejected,
    RequestContext,
    Timeout,
    Unreachable,
    UpstreamError,
)
from ..calls.shutdown import close_all
from ..policies import events
from ..policies.balance import Backend
from ..policies.breaker import Breaker
from ..policies.events import Observer, Side, guarded, ignore
from ..policies.retry import retryable
from .client import CallContext, UpstreamClient
from .request import NO_CONDITIONS, repeatable, wire_request
from .response import CallResult, decode, retry_after
from .traces import NO_TRACES, AttemptRecord, CallTraces, new_span_id
from .wire import (
    Wire,
    WireConnectionError,
    WireInvalidResponse,
    WireResponse,
    WireResponseTooLarge,
    WireTimeout,
)

AttemptResult: TypeAlias = WireResponse | UpstreamError

RenewToken: TypeAlias = Callable[[Principal], Awaitable[Principal | None]]
"""Returns the principal with a new access token in place of the one that a service refused; None when there is none."""

# Outcomes that count as failures of the upstream. A 429 does not: the upstream works and limits its clients.
_UPSTREAM_FAILURES = frozenset({"timeout", "unreachable", "failed", "overloaded"})
_CIRCUIT_OPEN = "is not called for a short time, because it failed repeatedly."


async def _no_other_token(principal: Principal) -> Principal | None:
    return None


class CallPipeline:
    """The steps from retry to value; the cache and the coalescing of reads come before it.

    clients  by service name
    traces   gives each call its trace, and records its attempts
    clock    monotonic seconds
    chance   a random number, uniform in [0, 1), for the jitter of retries
    observe  receives the policy events
    renew    called when a service refuses the user's access token; default: there is no other token
    """

    def __init__(
        self,
        clients: Mapping[str, UpstreamClient],
        traces: CallTraces = NO_TRACES,
        *,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
        observe: Observer = ignore,
        renew: RenewToken = _no_other_token,
    ) -> None:
        self.clients = dict(clients)
        self._renew = renew
        self.clock = clock
        self._chance = chance
        self.traces = traces
        self.observe = guarded(observe)
        # Events of attempts are made only when somebody observes them.
        self._observed = observe is not ignore

    async def run(self, call: Call[Any], request: RequestContext) -> Any:
        """The decoded response; raises an UpstreamError that names the owner."""
        result = await self.exchange(call, request)
        request.record.add_answer(fresh=call.freshness, public=call.shared)
        return result.value

    async def exchange(
        self, call: Call[Any], request: RequestContext, conditions: Mapping[str, str] = NO_CONDITIONS
    ) -> CallResult:
        """As `CallStage.exchange`."""
        client = self.client_of(call)
        context = CallContext(call, request, client, conditions, self.traces.current())
        client.budget.active += 1
        started = self.clock()
        cache = "" if call.options.freshness is None or call.is_write else "miss"
        outcome = "ok"
        try:
            response = await self._with_retries(context)
            credentials = client.credentials
            asker = None if call.shared or not credentials.identifies_user else request.principal
            if response.status == 401 and asker is not None and credentials.sends_user_token:
                response, asker = await self._with_new_token(context, asker, response)
            if response.status == 304 and conditions:
                cache = "revalidated"
                return CallResult(response, None)
            return CallResult(response, decode(call, response, self.observe, asker=asker))
        except UpstreamError as failure:
            outcome = failure.reason
            self.traces.add_event(
                "bff.call.failed",
                {"bff.service": call.owner.service, "bff.call": call.name, "error.type": failure.reason},
            )
            raise
        except asyncio.CancelledError:
            outcome = "cancelled"
            request.record.cut_off = call.name, call.owner
            raise
        finally:
            client.budget.active -= 1
            request.record.add_call(call.name, self.clock() - started, outcome, len(context.attempts), cache)

    def client_of(self, call: Call[Any]) -> UpstreamClient:
        """Raises DeclarationError for an upstream without an address."""
        client = self.clients.get(call.owner.service)
        if client is None:
            raise DeclarationError(
                f"{call.name}: no address for upstream {call.owner.service!r}; "
                f"set BFF_UPSTREAMS__{call.owner.service.upper()}__URL"
            )
        return client

    async def _with_new_token(
        self, context: CallContext, asker: Principal, refused: WireResponse
    ) -> tuple[WireResponse, Principal]:
        """The response with a new access token, after the service refused the old one: a token may be revoked before it
        expires. A write is not repeated here; the client's next attempt uses the new token."""
        request = context.request
        limit = request.timer.limit(request.deadline.left())
        try:
            with limit:
                renewed = await self._renew(asker)
        except TimeoutError:
            if not limit.expired:
                raise
            return refused, asker
        if renewed is None or context.call.is_write:
            return refused, asker
        context = structs.replace(
            context, request=structs.replace(request, principal=renewed), resent=context.resent + 1
        )
        return await self._with_retries(context), renewed

    # ---- retry ---------------------------------------------------------------------------------------------------

    async def _with_retries(self, context: CallContext) -> WireResponse:
        """One or several attempts. When the gateway rejects a later attempt, the result of the earlier one is used."""
        call, client = context.call, context.client
        write = call.is_write
        attempts = 0
        budget_taken = False
        backend: Backend[Wire] | None = None
        earlier: AttemptResult | None = None
        result: AttemptResult
        try:
            while True:
                after = None
                try:
                    # A retry avoids the backend of the attempt before it.
                    backend, breaker = self.choose(context, backend)
                    if client.hedge is None or attempts or write:
                        result = await self.attempt(context, backend, breaker)
                    else:
                        result = await client.hedge.attempt(self, context, backend, breaker)
                except Rejected as error:
                    return _response_of(earlier or error)
                except (Timeout, Unreachable) as error:
                    result = error
                else:
                    if result.status < 500 and result.status != 429:
                        if result.status == 409 and write and isinstance(earlier, UpstreamError):
                            # The 409 may only mean that the earlier attempt, which got no response, is in progress.
                            raise earlier
                        return result
                    after = retry_after(result)
                attempts += 1
                delay = self._retry_delay(context, attempts, result, after, backend)
                if delay is not None and not budget_taken:
                    budget_taken = client.budget.acquire()
                    if not budget_taken:
                        self.observe(events.CallRejected(call.owner.service, call.name, "retry-budget"))
                        delay = None
                not_accepted = isinstance(result, WireResponse) and result.status in (429, 503)
                if delay is None:
                    # A write that may have been carried out must not be reported as not accepted.
                    return _response_of(earlier if earlier is not None and write and not_accepted else result)
                if earlier is None or not not_accepted:
                    earlier = result
                reason = result.reason if isinstance(result, UpstreamError) else str(result.status)
                self.observe(events.Retried(call.owner.service, call.name, attempts + 1, delay, reason))
                await asyncio.sleep(delay)
                context.resent += 1
        finally:
            if budget_taken:
                client.budget.release()

    def _retry_delay(
        self,
        context: CallContext,
        attempts: int,
        result: AttemptResult,
        after: float | None,
        backend: Backend[Wire] | None,
    ) -> float | None:
        """Seconds until the next attempt, None for no further one. attempts: made so far; after: seconds from the
        response's Retry-After, None without one."""
        call, client = context.call, context.client
        if attempts >= (call.attempts or client.retry.attempts) or not repeatable(call, context.request):
            return None
        if isinstance(result, Timeout) and all(other is backend for other in client.backends):
            # The only backend has just used the whole time of an attempt. A second attempt would double the wait for a
            # screen and the load of a slow service. Another backend may be faster.
            return None
        if isinstance(result, WireResponse) and not retryable(result.status, after):
            return None
        left = context.request.deadline.left()
        return client.retry.delay(attempts, left, self._chance(), after, call.attempts)

    # ---- backend, breaker ----------------------------------------------------------------------------------------

    def choose(self, context: CallContext, avoid: Backend[Wire] | None) -> tuple[Backend[Wire], Breaker]:
        """The backend of the next attempt, and its breaker, which has admitted the attempt; the result must be recorded
        there. Raises Timeout or CircuitOpen."""
        call, request, client = context.call, context.request, context.client
        if request.deadline.left() < client.retry.least:
            self._on_rejected(call, "", "deadline", "timeout")
            raise Timeout(call.owner, call.name, "was not called: the deadline had passed.")
        picked = client.backends.pick(avoid)
        breaker = client.breakers.of(call.name, picked.name, restoring=request.restoring)
        wait = breaker.admit()
        if wait is None:
            return picked, breaker
        for other in client.backends:
            if other is picked or other.ejected_until is not None:
                continue
            breaker = client.breakers.of(call.name, other.name, restoring=request.restoring)
            other_wait = breaker.admit()
            if other_wait is None:
                return other, breaker
            wait = min(wait, other_wait)
        self._on_rejected(call, picked.name, "circuit-open", "circuit-open")
        raise CircuitOpen(call.owner, call.name, _CIRCUIT_OPEN, retry_after=wait)

    # ---- bulkhead, attempt, wire ---------------------------------------------------------------------------------

    async def attempt(self, context: CallContext, backend: Backend[Wire], breaker: Breaker) -> WireResponse:
        """One attempt. In every case, also after a cancellation, its permit is returned and its breaker gets exactly
        one result. Raises an UpstreamError."""
        call, request, client = context.call, context.request, context.client
        generation = breaker.generation
        entry = client.permits.bulkhead.acquire()
        if entry != "acquired":
            await self.wait_for_permit(context, backend, breaker, entry == "queued")
        seconds = min(request.deadline.left(), call.timeout or client.timeout)
        side: Side = "client"
        outcome = "cancelled"
        failed = False
        status: int | None = None
        span_id, record = new_span_id(), context.trace.record
        began = time.time_ns() if record is not None else 0
        clock = self.clock
        started = clock()
        backend.pending += 1
        context.attempts.append(started)
        try:
            with request.timer.limit(seconds):
                message = wire_request(
                    *(call, request, seconds, client.credentials, context.conditions, client.headers),
                    trace=context.trace,
                    span_id=span_id,
                )
                try:
                    response = await backend.wire.send(message)
                except WireConnectionError as error:
                    # A keep-alive connection may be closed just when it is used. Sending again is safe for a read and
                    # for a write with a key, and does not count as a retry.
                    if not error.stale or not repeatable(call, request):
                        raise
                    response = await backend.wire.send(message)
                    if response.status == 409 and call.is_write:
                        # The first request may have arrived, and still be in progress.
                        raise
            status = response.status
            outcome, side = _outcome_of(call, status), "origin"
            # A redirect may be for this user only (a sign-in page), and must not open the breaker for all users.
            failed = outcome in _UPSTREAM_FAILURES and not 300 <= status < 400
            return response
        except (TimeoutError, WireTimeout):
            outcome = "timeout"
            # A timeout counts as a failure only after at least half of the upstream's `timeout`, because a request's
            # short deadline is not the upstream's failure.
            if seconds >= client.timeout / 2:
                side, failed = "origin", True
            raise Timeout(call.owner, call.name, f"did not answer within {seconds:.3g} s.") from None
        except WireConnectionError as error:
            outcome, side, failed = "unreachable", "origin", True
            raise Unreachable(call.owner, call.name, f"could not be reached ({error}).") from None
        except WireInvalidResponse as error:
            outcome, side = "invalid", "origin"
            raise Invalid(call.owner, call.name, f"gave an invalid response: {error}.") from None
        except WireResponseTooLarge as error:
            outcome, side = "invalid", "origin"
            raise Invalid(call.owner, call.name, f"answered {error}.") from None
        finally:
            backend.pending -= 1
            client.permits.release()
            duration = clock() - started
            if side == "client":
                breaker.record_abandoned(generation)
            elif failed:
                breaker.record_failure(generation)
                client.backends.record_failure(backend)
            else:
                breaker.record_success(generation, duration)
                client.backends.record_success(backend)
            if record is not None:
                record(
                    AttemptRecord(
                        *(
                            call,
                            backend.url or backend.name,
                            context.trace.context,
                            span_id,
                            began,
                            time.time_ns(),
                        ),
                        *(context.resent, context.hedge, status, outcome),
                    )
                )
            if self._observed:
                self.observe(
                    events.Attempted(
                        call.owner.service,
                        call.name,
                        backend.name,
                        duration * 1000,
                        outcome,
                        side,
                        call.method,
                        status,
                    )
                )

    async def wait_for_permit(
        self, context: CallContext, backend: Backend[Wire], breaker: Breaker, queued: bool
    ) -> None:
        """queued: False when the bulkhead's queue is full. Raises Overloaded, CircuitOpen."""
        call, request, client = context.call, context.request, context.client
        generation = breaker.generation
        started = self.clock() if queued else None
        permitted = False
        try:
            if queued:
                seconds = min(client.permits.bulkhead.rule.wait, request.deadline.left())
                permitted = await client.permits.wait(request.timer.limit(seconds))
        finally:
            if not permitted:
                breaker.record_abandoned(generation)
        if not permitted:
            self._on_rejected(call, backend.name, "bulkhead", "overloaded")
            waited = 0.0 if started is None else self.clock() - started
            self.observe(events.BulkheadFull(call.owner.service, call.name, waited))
            raise Overloaded(
                call.owner, call.name, "has the maximum number of calls in progress.", retry_after=1.0
            )
        if breaker.generation != generation and breaker.state == "open":
            # The breaker opened while this call was waiting.
            client.permits.release()
            self._on_rejected(call, backend.name, "circuit-open", "circuit-open")
            raise CircuitOpen(call.owner, call.name, _CIRCUIT_OPEN, retry_after=breaker.admit())

    def _on_rejected(self, call: Call[Any], backend: str, reason: str, outcome: str) -> None:
        self.traces.add_event(
            "bff.call.rejected",
            {"bff.service": call.owner.service, "bff.call": call.name, "bff.reason": reason},
        )
        if self._observed:
            self.observe(events.CallRejected(call.owner.service, call.name, reason))
            self.observe(events.Attempted(call.owner.service, call.name, backend, 0.0, outcome, "local"))

    async def close(self) -> None:
        """Close every connection."""
        await close_all(
            (f"the connections to {name}", client.backends.close) for name, client in self.clients.items()
        )


def _response_of(result: AttemptResult) -> WireResponse:
    if isinstance(result, UpstreamError):
        raise result
    return result


def _outcome_of(call: Call[Any], status: int) -> str:
    """The outcome's name in metrics and logs: ``ok`` for 2xx and 304, ``throttled`` for 429, otherwise the kind in the
    call's outcome table."""
    if 200 <= status < 300 or status == 304:
        return "ok"
    return "throttled" if status == 429 else call.outcomes.of(status).kind
