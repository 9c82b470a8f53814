"""The outermost layer of a service. Guarantees that each request has its ids, each answer carries the correlation id,
each crash is a problem, and each request leaves one log line. Refuses more than 500 requests at once, and bodies of
more than 64 KB or that take longer than 10 s: a request reaches the application with its whole body."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from dataclasses import replace

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bff_service.problems import Problem, broken
from bff_service.tracing import ServiceSpan, TraceContext, span

_log = logging.getLogger("bff_service.access")
_crash = logging.getLogger("bff_service.crash")
MAX_REQUESTS = 500
MAX_BODY_BYTES = 64 * 1024
BODY_SECONDS = 10.0
_HEALTH = frozenset({"/livez", "/readyz"})


class _Disconnected(Exception):
    """The client went away before its request was whole."""


class RequestContext:
    """Wraps an application; with `limit` requests in flight (500) the next one gets 503 with Retry-After."""

    def __init__(self, app: ASGIApp, *, limit: int = MAX_REQUESTS) -> None:
        self._app = app
        self._limit = limit
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        trace = TraceContext.continued(headers)
        if not trace.parent_id and scope["path"] in _HEALTH:
            # A probe asks every few seconds.
            trace = replace(trace, flags="00")
        with span(scope["method"], "server", context=trace) as made:
            await self._answer(scope, receive, send, headers, made)

    async def _answer(
        self, scope: Scope, receive: Receive, send: Send, headers: Headers, made: ServiceSpan
    ) -> None:
        trace = made.context
        scope.setdefault("state", {})["trace"] = trace
        began = time.perf_counter()
        status = 0
        finished = False

        async def tagged(message: Message) -> None:
            nonlocal status, finished
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Correlation-ID"] = trace.correlation_id
            await send(message)
            finished = message["type"] == "http.response.body" and not message.get("more_body", False)

        async def answer(problem: Problem) -> None:
            await problem.response(f"urn:uuid:{trace.correlation_id}")(scope, receive, tagged)

        self._running += 1
        try:
            if self._running > self._limit:
                busy = Problem(503, "overloaded", "Too many requests at once.", headers={"Retry-After": "1"})
                await answer(busy)
            else:
                await self._app(scope, await _whole(headers, receive), tagged)
        except Problem as problem:
            await answer(problem)
        except _Disconnected:
            status = 499
        except Exception:
            _crash.exception("a request crashed")
            if status and not finished:
                # Half an answer cannot be taken back: the server must break the connection.
                raise
            if not status:
                await answer(broken())
        finally:
            self._running -= 1
            _describe(made, scope, status)
            _log.info(
                "request",
                extra={
                    "method": scope["method"],
                    "path": scope["path"],
                    "status": status,
                    "ms": round((time.perf_counter() - began) * 1000, 1),
                    "caller_span": headers.get("traceparent", ""),
                },
            )


def _describe(made: ServiceSpan, scope: Scope, status: int) -> None:
    """What the span of a request says of it."""
    route = getattr(scope.get("route"), "path", None)
    made.attributes |= {
        "http.request.method": scope["method"],
        "url.path": scope["path"][:1000],
        "url.scheme": scope.get("scheme", "http"),
    }
    if isinstance(route, str):
        made.name = f"{scope['method']} {route}"
        made.attributes["http.route"] = route
    if status:
        made.attributes["http.response.status_code"] = status
    if status >= 500:
        made.error = str(status)


async def _whole(headers: Headers, receive: Receive) -> Receive:
    """A `receive` that gives the whole body at once: an effect needs its client no longer. 413 or 408 problems."""
    declared = headers.get("content-length", "0")
    if declared == "0" and "transfer-encoding" not in headers:
        return receive
    too_large = Problem(413, "body-too-large", f"A body may have {MAX_BODY_BYTES} bytes.")
    if declared.isdecimal() and int(declared) > MAX_BODY_BYTES:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            more = True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise _Disconnected
                body += message.get("body", b"")
                if len(body) > MAX_BODY_BYTES:
                    raise too_large
                more = message.get("more_body", False)
    except TimeoutError:
        raise Problem(
            408, "body-too-slow", "The body took too long.", headers={"Connection": "close"}
        ) from None
    first: Iterator[Message] = iter([{"type": "http.request", "body": bytes(body), "more_body": False}])

    async def replayed() -> Message:
        message = next(first, None)
        return await receive() if message is None else message

    return replayed
