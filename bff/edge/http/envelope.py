"""The outermost layer: whatever happens inside, the client gets an answer in the contract's words.

It gives the request its correlation and trace ids, turns what is raised into problem+json, marks every answer with
`X-Correlation-ID`, and writes one access line. It never buffers a body and knows no route.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode, Tracer
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ...stores.redis.client import StoreUnavailable
from ..observe import telemetry
from ..problem import EVERYBODY, OwnerContacts, Problem
from ..state import RequestState, state_of
from .cors import Cors
from .request import VARY
from .security_headers import HeaderPairs, with_security_headers

access = logging.getLogger("bff.access")
log = logging.getLogger("bff.edge")

Answered = Callable[[str, str | None, int, float], None]
Shown = Callable[[Scope, Problem, str], tuple[dict[str, str], bytes] | None]
"""Given a request, its problem and its correlation id: headers and body of the page, None where it gets none."""


class Envelope:
    """app: everything else; public_url: makes a problem's `type` an address that can be opened; answered: told method,
    route as declared, status (499: the client left before there was one) and seconds of each request; marks: headers
    that every answer to a request gets; contacts: who is shown how to reach the owner of what failed; shown: the page
    that a person gets in place of a problem document."""

    def __init__(
        self,
        app: ASGIApp,
        tracer: Tracer,
        public_url: str,
        answered: Answered | None = None,
        cors: Cors | None = None,
        contacts: OwnerContacts = EVERYBODY,
        shown: Shown | None = None,
    ) -> None:
        self._shown = shown
        self._cors = cors
        self._contacts = contacts
        self._answered = answered
        self._app = app
        self._tracer = tracer
        self._public_url = public_url

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        state = state_of(scope)
        try:
            await self._answered_by(scope, state, receive, send)
        finally:
            # It leads back to the request: left in there, only the garbage collector would find it.
            state.send = None
        # A stream stays for minutes: by now its request is told and measured, and what that took is let go.
        stay, state.stay = state.stay, None
        if stay is not None:
            await stay()

    async def _answered_by(self, scope: Scope, state: RequestState, receive: Receive, send: Send) -> None:
        began = time.monotonic()
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        correlation, replaced = telemetry.correlation_of(headers)
        with self._tracer.start_as_current_span(
            f"{scope['method']} {scope['path']}",
            context=telemetry.extract(headers),
            kind=SpanKind.SERVER,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            trace_id = trace.format_trace_id(span.get_span_context().trace_id)
            telemetry.bind(telemetry.Ids(correlation, trace_id))
            state.correlation = correlation
            state.trace_id = trace_id
            span.set_attribute("bff.correlation_id", correlation)
            state.send = send
            answer = _Answer(
                send, correlation, self._public_url, self._cors.headers_for(headers) if self._cors else ()
            )
            try:
                await self._app(scope, receive, answer.send)
            except ClientDisconnect:
                # Nobody is there to be told.
                log.info("the client left before it was answered")
            except Exception as error:
                if answer.status is not None:
                    # The head is out: all that is left is to cut the connection so that nobody takes half for whole.
                    log.exception("failed after the answer had begun")
                    raise
                problem = as_problem(error)
                if problem.status >= 500 and problem.owner is None:
                    # Redis away is one fault and many requests, and the log tells it once (stores/redis/outage.py).
                    if isinstance(error, StoreUnavailable):
                        log.debug("answered 503: %s", error)
                    else:
                        log.error("request failed: %s", error, exc_info=error)
                await self._send_problem(problem, scope, answer, correlation, trace_id)
            finally:
                route = state.route
                if route:
                    span.update_name(f"{scope['method']} {route}")
                    span.set_attribute("http.route", route)
                if answer.status is not None:
                    span.set_attribute("http.response.status_code", answer.status)
                    if answer.status >= 500:
                        span.set_status(StatusCode.ERROR)
                seconds = time.monotonic() - began
                if self._answered is not None:
                    try:
                        self._answered(scope["method"], route, answer.status or 499, seconds)
                    except Exception:
                        log.exception("what observes answers failed")
                access.info(
                    "%s %s %s",
                    scope["method"],
                    scope["path"],
                    answer.status,
                    extra={
                        "fields": {
                            "method": scope["method"],
                            "path": scope["path"],
                            "route": route,
                            "status": answer.status,
                            "ms": round(seconds * 1000, 1),
                            # One that is no UUID was replaced.
                            **({"correlation_id_given": replaced} if replaced else {}),
                        }
                    },
                )

    async def _send_problem(
        self, problem: Problem, scope: Scope, answer: _Answer, correlation: str, trace_id: str
    ) -> None:
        contacts = self._contacts.on(scope)
        headers = problem.response_headers(contacts=contacts)
        if self._shown is not None:
            # Even a page that is the same for everybody depends on who asked for one.
            headers |= {"vary": VARY}
        page = None if self._shown is None else self._shown(scope, problem, correlation)
        if page is None:
            body = problem.body(
                correlation_id=correlation, trace_id=trace_id, base=self._public_url, contacts=contacts
            )
        else:
            headers, body = headers | page[0], page[1]
        headers["content-length"] = str(len(body))
        await answer.send(
            {
                "type": "http.response.start",
                "status": problem.status,
                "headers": [
                    (name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()
                ],
            }
        )
        await answer.send(
            {
                "type": "http.response.body",
                "body": b"" if scope["method"] == "HEAD" else body,
                "more_body": False,
            }
        )


class _Answer:
    """Sends on, remembers the status, and adds the headers every answer has."""

    def __init__(self, send: Send, correlation: str, public_url: str, marks: HeaderPairs) -> None:
        self._send = send
        self._marks: HeaderPairs = ((b"x-correlation-id", correlation.encode()), *marks)
        self._public_url = public_url
        self.status: int | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = with_security_headers(list(message.get("headers", ())), self._public_url)
            message["headers"] = [*headers, *self._marks]
        await self._send(message)


def as_problem(error: Exception) -> Problem:
    """What the client is told of an exception. An unknown one is our mistake and says nothing of its inside."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, HTTPException):
        return _from_starlette(error)
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


def _from_starlette(error: HTTPException) -> Problem:
    codes = {
        404: ("not-found", "Look at /docs for the addresses there are."),
        405: ("method-not-allowed", "The Allow header names the methods this address takes."),
    }
    code, detail = codes.get(error.status_code, ("invalid-request", str(error.detail)))
    return Problem(error.status_code, code, detail, headers=dict(error.headers or {}))
