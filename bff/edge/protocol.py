"""The last refusal that would not be in the contract's words: bytes that are no HTTP request.

No application sees such a request, so the protocol itself answers it with a 400 problem, with a correlation id of its
own, and closes the connection. Everything else is uvicorn's.
"""

from __future__ import annotations

import logging
import secrets
import uuid

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .problem import Problem

log = logging.getLogger("bff.edge")


class HttpProtocol(HttpToolsProtocol):
    """Uvicorn's protocol on httptools."""

    def send_400_response(self, msg: str) -> None:
        correlation = str(uuid.uuid4())
        problem = Problem(
            400, "invalid-request", "What was sent is not an HTTP request this server can read."
        )
        body = problem.body(correlation_id=correlation, trace_id=secrets.token_hex(16))
        headers = problem.response_headers() | {
            "content-length": str(len(body)),
            "x-correlation-id": correlation,
            "connection": "close",
        }
        lines = [f"{name}: {value}" for name, value in headers.items()]
        head = "\r\n".join(["HTTP/1.1 400 Bad Request", *lines, "", ""])
        log.info("not an HTTP request", extra={"fields": {"correlation_id": correlation}})
        self.transport.write(head.encode("latin-1") + body)
        self.transport.close()
