"""A refusal that no application sees: the whole answer as it goes on the wire, with ids of its own and a log line."""

from __future__ import annotations

import http
import logging
import secrets
import uuid

from ..problem import Problem
from .security_headers import HeaderPairs, security_headers

log = logging.getLogger("bff.edge")


def whole_answer(problem: Problem, public_url: str, marks: HeaderPairs = ()) -> bytes:
    """Head and body; it ends the connection. marks: further headers, for another site's page (cors.py)."""
    correlation = str(uuid.uuid4())
    body = problem.body(correlation_id=correlation, trace_id=secrets.token_hex(16), base=public_url)
    headers = problem.response_headers() | {
        "content-length": str(len(body)),
        "x-correlation-id": correlation,
        "connection": "close",
    }
    lines = [f"{name}: {value}" for name, value in headers.items()]
    lines += [f"{name.decode()}: {value.decode()}" for name, value in (*security_headers(public_url), *marks)]
    status = f"HTTP/1.1 {problem.status} {http.HTTPStatus(problem.status).phrase}"
    log.info(
        "refused on the connection",
        extra={"fields": {"correlation_id": correlation, "status": problem.status, "code": problem.code}},
    )
    return "\r\n".join([status, *lines, "", ""]).encode("latin-1") + body
