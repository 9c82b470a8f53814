"""The layer around everything but admission: whatever happens inside, the client gets an answer as in the contract.

It gives the request its correlation and trace ids, turns exceptions into problem+json, adds `X-Correlation-ID` and the
security headers to every answer, and writes one access line. It buffers no body and knows no route.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from opentelemetry.trace import format_trace_id
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ...stores.redis.client import StoreUnavailable
from ..observe import telemetry
from ..observe.log_lines import AccessLog, RequestLine, bind
from ..observe.observers import RequestEnded
from ..observe.request_traces import RequestTraces
from ..problem import EVERYBODY, OwnerContacts, Problem
from ..state import RequestState, state_of
from .cors import Cors
from .refusal import problem_headers
from .request import VARY
from .security_headers import HeaderPairs, with_security_headers

log = logging.getLogger("bff.edge")

ProblemPageFor = Callable[[Scope, Problem, str], tuple[dict[str, str], bytes] | None]
"""Given a request, its problem and its correlation id: headers and body of the page, None where it gets none."""


class Envelope:
    """Wraps `app`, which is everything else.

    traces      gives each request its span
    public_url  makes a problem's `type` an address that can be opened
    observe     called at the end of each request; must not raise
    cors        gives headers for every answer
    contacts    who is shown how to reach the owner of what failed
    page_for    makes the page that a person gets in place of a problem document
    """

    def __init__(
        self,
        app: ASGIApp,
        traces: RequestTraces,
        public_url: str,
        observe: Callable[[RequestEnded], None] = lambda ended: None,
        cors: Cors | None = None,
        contacts: OwnerContacts = EVERYBODY,
        page_for: ProblemPageFor | None = None,
    ) -> None:
        self._app = app
        self._traces = traces
        self._access = AccessLog()
        self._public_url = public_url
        self._observe = observe
        self._cors = cors
        self._contacts = contacts
        self._page_for = page_for

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        state = state_of(scope)
        try:
            await self._answer(scope, state, receive, send)
        finally:
            # These refer to the request, and the request to them: only the garbage collector would free them.
            state.send = state.principal = state.authenticate = state.record = None
        # A stream lasts for minutes. Its request is logged and measured by now, and what that needed is freed.
        stay, state.stay = state.stay, None
        if stay is not None:
            await stay()

    async def _answer(self, scope: Scope, state: RequestState, receive: Receive, send: Send) -> None:
        began = time.monotonic()
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        state.correlation, replaced = telemetry.correlation_of(headers)
        span = self._traces.begin(scope)
        state.trace_id = format_trace_id(span.calls.context.trace_id)
        bind(state.correlation, state.trace_id)
        state.send = send
        cors = self._cors.headers_for(headers) if self._cors is not None else ()
        answer = _Answer(send, state.correlation, self._public_url, cors)
        try:
            try:
                await self._app(scope, receive, answer.send)
            except ClientDisconnect:
                log.info("the client left before it was answered")
            except Exception as error:
                if answer.status is not None:
                    # The head is sent. The connection must break off, or the client would take half an answer for all.
                    log.exception("failed after the answer had begun")
                    span.failed = True
                    raise
                problem = as_problem(error)
                if isinstance(error, StoreUnavailable):
                    # While Redis is away many requests fail for one reason: stores/redis/outage.py logs it once.
                    log.debug("answered 503: %s", error)
                elif problem.status >= 500 and problem.owner is None:
                    log.error("request failed: %s", error, exc_info=error)
                await self._send_problem(problem, scope, state, answer)
            finally:
                sampled = span.calls.context.trace_flags.sampled
                self._record(scope, state, answer, time.monotonic() - began, replaced, sampled=sampled)
        finally:
            self._traces.end(span, scope, state, status=answer.status, code=answer.code)

    def _record(
        self,
        scope: Scope,
        state: RequestState,
        answer: _Answer,
        seconds: float,
        replaced: str | None,
        *,
        sampled: bool,
    ) -> None:
        """The request has ended: its metrics and access line, which names the person by their pseudonym and a
        refusal by its code. replaced: a correlation id that is no UUID; sampled: whether the trace is recorded."""
        route, status = state.route, answer.status
        who = None if state.principal is None else state.principal.id
        self._observe(
            RequestEnded(
                *(scope["method"], route, status or 499, seconds, state.correlation, state.trace_id, who),
                kind=state.kind,
                code=answer.code,
                is_sampled=sampled,
                record=state.record,
            )
        )
        more: dict[str, object] = {}
        if state.principal is not None:
            more["who"] = state.principal.pseudonym
            client = state.principal.claims.get("client_id")
            if client is not None:
                more["client"] = client
        if answer.code:
            more["code"] = answer.code
        if state.limit:
            more["limit"] = state.limit
        if state.degraded:
            more["degraded"] = True
        if replaced:
            more["correlation_id_given"] = replaced
        if state.frontend is not None:
            more["frontend"] = state.frontend
        self._access.write(
            RequestLine(
                *(
                    scope["method"],
                    scope["path"],
                    route,
                    state.kind,
                    status,
                    seconds * 1000,
                    more,
                    state.record,
                )
            )
        )

    async def _send_problem(
        self, problem: Problem, scope: Scope, state: RequestState, answer: _Answer
    ) -> None:
        answer.code = problem.code
        state.limit = problem.headers.get("ratelimit", state.limit)
        contacts = self._contacts.on(scope)
        headers: dict[str, str] = {}
        page = None
        if self._page_for is not None:
            # Whether a person or a program asked decides about a page, even one that is the same for everybody.
            headers["vary"] = VARY
            page = self._page_for(scope, problem, state.correlation)
        if page is None:
            body = problem.body(
                correlation_id=state.correlation,
                trace_id=state.trace_id,
                base=self._public_url,
                contacts=contacts,
            )
        else:
            headers, body = page
        pairs = problem_headers(problem, body, headers, contacts=contacts)
        await answer.send({"type": "http.response.start", "status": problem.status, "headers": pairs})
        body = b"" if scope["method"] == "HEAD" else body
        await answer.send({"type": "http.response.body", "body": body, "more_body": False})


class _Answer:
    """Passes messages on, remembers status and problem code, and adds the headers that every answer has."""

    def __init__(self, send: Send, correlation: str, public_url: str, cors: HeaderPairs) -> None:
        self._send = send
        self._headers: HeaderPairs = ((b"x-correlation-id", correlation.encode()), *cors)
        self._public_url = public_url
        self.status: int | None = None
        self.code = ""

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = with_security_headers(list(message.get("headers", ())), self._public_url)
            message["headers"] = [*headers, *self._headers]
        await self._send(message)


def as_problem(error: Exception) -> Problem:
    """The answer to an exception. An unknown one is the gateway's mistake, and its answer shows nothing of it."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, HTTPException):
        codes = {
            404: ("not-found", "Look at /docs for the addresses there are."),
            405: ("method-not-allowed", "The Allow header names the methods this address takes."),
        }
        code, detail = codes.get(error.status_code, ("invalid-request", str(error.detail)))
        return Problem(error.status_code, code, detail, headers=dict(error.headers or {}))
    if isinstance(error, StoreUnavailable):
        return Problem(
            503,
            "unavailable",
            "The gateway's store is away for a moment; nothing was done. Try again.",
            retry_after=2,
        )
    return Problem(
        500,
        "internal",
        "The gateway made a mistake; it has been logged. Quote the correlation id when you report it.",
    )
