"""Refusals that no application sees: the whole answer as it goes on the wire, with ids of its own.

`whole_answer` makes one for a request that the connection refuses, and logs it. `PreparedRefusal` is made once and sent
many times, when there is too much to do to make a new one each time.
"""

from __future__ import annotations

import logging
import secrets
import uuid
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from starlette.types import Scope, Send

from ..observe import telemetry
from ..problem import Problem
from .security_headers import HeaderPairs, security_headers, with_security_headers

log = logging.getLogger("bff.edge")

# Stand in a prepared body for the ids of a request, which are as long.
_CORRELATION, _TRACE = b"00000000-0000-4000-8000-000000000000", b"0" * 31 + b"1"


def whole_answer(problem: Problem, public_url: str, cors: HeaderPairs = ()) -> bytes:
    """Head and body; it ends the connection. cors: headers that let another site's page read it (cors.py)."""
    correlation = str(uuid.uuid4())
    body = problem.body(correlation_id=correlation, trace_id=secrets.token_hex(16), base=public_url)
    headers = problem.response_headers() | {
        "content-length": str(len(body)),
        "x-correlation-id": correlation,
        "connection": "close",
    }
    log.info(
        "refused on the connection",
        extra={"fields": {"correlation_id": correlation, "status": problem.status, "code": problem.code}},
    )
    pairs = [*_encoded(headers), *security_headers(public_url), *cors]
    return _head(problem.status, pairs) + b"\r\n" + body


class PreparedRefusal:
    """A problem's answer, made beforehand. page: makes headers and body of what a person gets; None: the problem
    document, with these further `headers`."""

    def __init__(
        self,
        problem: Problem,
        public_url: str,
        headers: dict[str, str] | None = None,
        page: Callable[[Problem, str], tuple[dict[str, str], bytes]] | None = None,
    ) -> None:
        correlation = _CORRELATION.decode()
        more = headers or {}
        if page is None:
            self._body = problem.body(correlation_id=correlation, trace_id=_TRACE.decode(), base=public_url)
        else:
            more, self._body = page(problem, correlation)
        pairs = _encoded(problem.response_headers() | more | {"content-length": str(len(self._body))})
        self._status = problem.status
        self._headers = with_security_headers(pairs, public_url)
        self._wire_head = _head(problem.status, self._headers)

    def on_wire(self, scope: Any, cors: HeaderPairs) -> bytes:
        """The whole answer to this request. cors: headers that let another site's page read it."""
        correlation, body = self._for_request(scope)
        end = b"x-correlation-id: " + correlation + b"\r\n\r\n"
        return self._wire_head + _lines(cors) + end + body

    async def send(self, scope: Scope, send: Send, cors: HeaderPairs) -> None:
        """Send the same through ASGI."""
        correlation, body = self._for_request(scope)
        headers = [*self._headers, *cors, (b"x-correlation-id", correlation)]
        await send({"type": "http.response.start", "status": self._status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})

    def _for_request(self, scope: Any) -> tuple[bytes, bytes]:
        """The correlation id, and the body with it; empty for HEAD."""
        correlation = telemetry.correlation_of(scope["headers"])[0].encode()
        if scope["method"] == "HEAD":
            return correlation, b""
        trace = secrets.token_hex(16).encode()
        return correlation, self._body.replace(_CORRELATION, correlation).replace(_TRACE, trace)


def _encoded(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


def _head(status: int, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n".encode() + _lines(headers)


def _lines(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    return b"".join(name + b": " + value + b"\r\n" for name, value in headers)
