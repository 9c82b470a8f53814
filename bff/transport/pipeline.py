"""The walk of one upstream call: retry → balance → breaker → bulkhead → attempt → answer, with an honest error.

One way for every call. The chain decides nothing itself: it asks the policies, carries out what they say and tells
observers what came of it. A rejection of ours never counts as the upstream's failure, nothing begins that cannot end
before the deadline, and a write is repeated only under an idempotency key its service honours.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

from opentelemetry.trace import INVALID_SPAN, Span, SpanKind, StatusCode, Tracer, get_current_span

from ..calls import (
    Call,
    DeclarationError,
    Principal,
    Rejected,
    Scope,
    Timeout,
    Unreachable,
    UpstreamError,
)
from ..calls.ending import close_all
from ..policies import events
from ..policies.balance import Backend
from ..policies.events import Observer, guarded, ignore
from ..policies.retry import passing
from .answers import decode
from .attempt import Attempts, CallContext
from .client import UpstreamClient
from .exchange import NO_CONDITIONS, Exchanged
from .headers import repeatable
from .refused import retry_after
from .wire import Answer, Wire

Found: TypeAlias = Answer | UpstreamError

Renew: TypeAlias = Callable[[Principal], Awaitable[Principal | None]]
"""The same person with another access token than the one they have, which a service refused; None: there is none."""


async def _never(principal: Principal) -> Principal | None:
    return None


class CallPipeline:
    """lanes: by service name; tracer: begins the span of each hop; clock: monotonic seconds; chance: uniform in
    [0, 1); observe: told what happened; renew: asked when a service refuses a person's own token (default: nobody has
    another one)."""

    def __init__(
        self,
        clients: Mapping[str, UpstreamClient],
        tracer: Tracer,
        *,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
        observe: Observer = ignore,
        renew: Renew = _never,
    ) -> None:
        self.clients = dict(clients)
        self._renew = renew
        self._clock = clock
        self._chance = chance
        self._tracer = tracer
        self._observe = guarded(observe)
        self._attempts = Attempts(clock, observe)

    async def run(self, call: Call[Any], scope: Scope) -> Any:
        """The decoded answer; raises an UpstreamError that names the owner."""
        exchanged = await self.exchange(call, scope)
        scope.ledger.saw(fresh=call.freshness, public=call.shared)
        return exchanged.value

    async def exchange(
        self, call: Call[Any], scope: Scope, conditions: Mapping[str, str] = NO_CONDITIONS
    ) -> Exchanged:
        """The answer with what came over the wire; see `Exchange`."""
        client = self.clients.get(call.owner.service)
        if client is None:
            raise DeclarationError(
                f"{call.name}: no address for upstream {call.owner.service!r}; "
                f"set BFF_UPSTREAMS__{call.owner.service.upper()}__URL"
            )
        client.budget.active += 1
        parent = get_current_span().get_span_context()
        try:
            if parent.is_valid and not parent.trace_flags.sampled:
                # Nobody records this trace: a span of the SDK would cost 5 µs to say so.
                return await self._exchange(CallContext(call, scope, client, conditions), INVALID_SPAN)
            with self._tracer.start_as_current_span(
                call.name,
                kind=SpanKind.CLIENT,
                attributes={"http.request.method": call.method, "url.template": call.template},
                record_exception=False,
                set_status_on_exception=False,
            ) as span:
                return await self._exchange(CallContext(call, scope, client, conditions), span)
        finally:
            client.budget.active -= 1

    async def _exchange(self, walk: CallContext, span: Span) -> Exchanged:
        call, scope = walk.call, walk.scope
        began = self._clock()
        outcome = "ok"
        try:
            answer = await self._answer(walk)
            asker = None if call.shared or not walk.client.credentials.named else scope.principal
            if answer.status == 401 and asker is not None and walk.client.credentials.personal:
                answer, asker = await self._with_new_token(walk, asker, answer)
            span.set_attribute("http.response.status_code", answer.status)
            if answer.status == 304 and walk.conditions:
                return Exchanged(answer, None)
            return Exchanged(answer, decode(call, answer, self._observe, asker=asker))
        except UpstreamError as error:
            outcome = error.reason
            span.set_status(StatusCode.ERROR, error.reason)
            raise
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        finally:
            scope.ledger.took(call.name, self._clock() - began, outcome)

    async def _with_new_token(
        self, walk: CallContext, asker: Principal, refused: Answer
    ) -> tuple[Answer, Principal]:
        """What the service says to a new access token, when it refused the session's: a token may have been withdrawn
        before its time. A write is not repeated here; its client's next attempt finds the new token."""
        scope = walk.scope
        limit = scope.alarm.limit(scope.deadline.left())
        try:
            with limit:
                renewed = await self._renew(asker)
        except TimeoutError:
            if not limit.was_cut:
                raise
            return refused, asker
        if renewed is None or walk.call.method != "GET":
            return refused, asker
        return await self._answer(replace(walk, scope=replace(scope, principal=renewed))), renewed

    # ---- the attempts ----------------------------------------------------------------------------------------

    async def _answer(self, walk: CallContext) -> Answer:
        """One attempt, or several. What an upstream did to an earlier attempt outranks a later refusal of our own."""
        call, client = walk.call, walk.client
        made = 0
        taken = False
        tried: Backend[Wire] | None = None
        backend: Backend[Wire] | None = None
        earlier: Found | None = None
        found: Found
        try:
            while True:
                try:
                    backend, breaker = self._attempts.choose(walk, tried)
                    if client.hedge is not None and not made and call.method == "GET":
                        answer = await client.hedge.make(self._attempts, walk, backend, breaker)
                    else:
                        answer = await self._attempts.make(walk, backend, breaker)
                    found = answer
                except Rejected as error:
                    return _told(earlier or error)
                except (Timeout, Unreachable) as error:
                    found, after = error, None
                else:
                    if answer.status < 500 and answer.status != 429:
                        if (
                            answer.status == 409
                            and isinstance(earlier, UpstreamError)
                            and call.method != "GET"
                        ):
                            # It may only say that the earlier attempt, which got no answer, is still being carried out.
                            return _told(earlier)
                        return answer
                    after = retry_after(answer)
                made += 1
                delay = self._again(walk, made, found, after, backend)
                if delay is not None and not taken:
                    taken = client.budget.take()
                    if not taken:
                        self._observe(events.Rejected(call.owner.service, call.name, "retry-budget"))
                        delay = None
                if delay is None:
                    if earlier is not None and call.method != "GET" and _refused(found):
                        # A write that may have been done must not be reported as one that was not.
                        return _told(earlier)
                    return _told(found)
                if earlier is None or not _refused(found):
                    earlier = found
                tried = backend
                why = found.reason if isinstance(found, UpstreamError) else str(found.status)
                self._observe(events.Retried(call.owner.service, call.name, made + 1, delay, why))
                await asyncio.sleep(delay)
        finally:
            if taken:
                client.budget.give()

    def _again(
        self, walk: CallContext, made: int, found: Found, after: float | None, backend: Backend[Wire] | None
    ) -> float | None:
        """Seconds until the next attempt, None for no further one."""
        call = walk.call
        if made >= (call.attempts or walk.client.retry.attempts) or not repeatable(call, walk.scope):
            return None
        if isinstance(found, Timeout) and all(other is backend for other in walk.client.backends):
            # It has just been given its whole time. Asking the same place again would double the wait of a screen and
            # the load of a service that is slow already; another place may be well.
            return None
        if isinstance(found, Answer) and not passing(found.status, after):
            return None
        left = walk.scope.deadline.left()
        return walk.client.retry.delay(made, left, self._chance(), after, call.attempts)

    async def close(self) -> None:
        await close_all(
            (f"the connections to {name}", client.backends.close) for name, client in self.clients.items()
        )


def _told(found: Found) -> Answer:
    if isinstance(found, UpstreamError):
        raise found
    return found


def _refused(found: Found) -> bool:
    """The upstream said that it did not take it."""
    return isinstance(found, Answer) and found.status in (429, 503)
