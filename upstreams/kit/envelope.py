"""The outermost ASGI layer of every service. Promises that each request has its ids, each answer carries the
correlation id, each failure is a problem, and each request leaves one log line; refuses more than 500 at once."""

from __future__ import annotations

import logging
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from upstreams.kit.problems import Problem
from upstreams.kit.tracing import continued, enter_hop

_log = logging.getLogger("upstreams.access")
_crash = logging.getLogger("upstreams.crash")
MAX_REQUESTS = 500


class Envelope:
    """Wraps a service's routes; with `limit` requests in flight (500) the next one gets 503 with Retry-After."""

    def __init__(self, app: ASGIApp, *, limit: int = MAX_REQUESTS) -> None:
        self._app = app
        self._limit = limit
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        hop = continued(headers)
        enter_hop(hop)
        scope.setdefault("state", {})["hop"] = hop
        began = time.perf_counter()
        status = 0
        finished = False

        async def tagged(message: Message) -> None:
            nonlocal status, finished
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Correlation-ID"] = hop.correlation_id
            await send(message)
            finished = message["type"] == "http.response.body" and not message.get("more_body", False)

        self._running += 1
        try:
            if self._running > self._limit:
                busy = Problem(503, "overloaded", "Too many requests at once.", headers={"Retry-After": "1"})
                await busy.response(f"urn:uuid:{hop.correlation_id}")(scope, receive, tagged)
            else:
                await self._app(scope, receive, tagged)
        except Exception:
            _crash.exception("a request crashed")
            if status and not finished:
                # Half an answer cannot be taken back: the server must break the connection.
                raise
            if not status:
                broken = Problem(500, "internal-error", "This service failed; its log knows why.")
                await broken.response(f"urn:uuid:{hop.correlation_id}")(scope, receive, tagged)
        finally:
            self._running -= 1
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
