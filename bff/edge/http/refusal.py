"""Refusals that the application does not see: the whole answer, as it is sent on the connection.

`whole_answer` makes one for a request that the connection refuses, and logs it. `PreparedRefusal` is made once and sent
many times, when there is too much to do to make a new one each time.
"""

from __future__ import annotations

import logging
import secrets
import uuid
from collections.abc import Callable, Iterable

from starlette.types import Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from ..observe import telemetry
from ..problem import Problem
from .head import Headers
from .security_headers import HeaderPairs, with_security_headers

log = logging.getLogger("bff.edge")

# Placeholders in a prepared body for the ids of a request, which have the same length.
_CORRELATION, _TRACE = b"00000000-0000-4000-8000-000000000000", b"0" * 31 + b"1"


def whole_answer(problem: Problem, public_url: str, cors: HeaderPairs = ()) -> bytes:
    """Head and body, with a new correlation id; it ends the connection. cors: headers that let another site's page read
    it (cors.py)."""
    correlation = str(uuid.uuid4())
    log.info(
        "refused on the connection",
        extra={"fields": {"correlation_id": correlation, "status": problem.status, "code": problem.code}},
    )
    refusal = PreparedRefusal(problem, public_url, {"connection": "close"})
    return refusal.on_wire("GET", [(b"x-correlation-id", correlation.encode())], cors)


class PreparedRefusal:
    """A problem's answer, made beforehand. headers: further ones of the problem document; page: makes headers and body
    of what a person gets in its place."""

    def __init__(
        self,
        problem: Problem,
        public_url: str,
        headers: dict[str, str],
        page: Callable[[Problem, str], tuple[dict[str, str], bytes]] | None = None,
    ) -> None:
        correlation = _CORRELATION.decode()
        if page is None:
            self._body = problem.body(correlation_id=correlation, trace_id=_TRACE.decode(), base=public_url)
        else:
            headers, self._body = page(problem, correlation)
        self._status = problem.status
        self._headers = with_security_headers(problem_headers(problem, self._body, headers), public_url)
        self._wire_head = STATUS_LINE[problem.status] + _lines(self._headers)

    def on_wire(self, method: str, headers: Headers, cors: HeaderPairs) -> bytes:
        """The whole answer to a request with this method and these headers. cors: headers that let another site's page
        read it."""
        correlation, body = self._for_request(method, headers)
        return self._wire_head + _lines((*cors, (b"x-correlation-id", correlation))) + b"\r\n" + body

    async def send(self, scope: Scope, send: Send, cors: HeaderPairs) -> None:
        """Send the same through ASGI."""
        correlation, body = self._for_request(scope["method"], scope["headers"])
        headers = [*self._headers, *cors, (b"x-correlation-id", correlation)]
        await send({"type": "http.response.start", "status": self._status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})

    def _for_request(self, method: str, headers: Headers) -> tuple[bytes, bytes]:
        """The correlation id, and the body with it; empty for HEAD."""
        correlation = telemetry.correlation_of(headers)[0].encode()
        if method == "HEAD":
            return correlation, b""
        trace = secrets.token_hex(16).encode()
        return correlation, self._body.replace(_CORRELATION, correlation).replace(_TRACE, trace)


def problem_headers(
    problem: Problem, body: bytes, more: dict[str, str], *, contacts: bool = True
) -> list[tuple[bytes, bytes]]:
    """The headers of a problem's answer with this body. more: further ones, in place of the problem's own of the same
    name; contacts: whether they say how to reach the owner."""
    headers = problem.response_headers(contacts=contacts) | more | {"content-length": str(len(body))}
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


def _lines(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    return b"".join(name + b": " + value + b"\r\n" for name, value in headers)
