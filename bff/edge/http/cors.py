"""Which pages of other sites may call with a bearer token, and what they may send and read (Fetch standard, CORS
without credentials).

Every answer to a listed origin has the headers that let its page read it, whether a route, admission or the connection
gives it, and also if it is a refusal: without them the page would see a network failure where it should wait or correct
something. The header `X-BFF` is never granted: it proves that a write with a cookie comes from our own page.
"""

from __future__ import annotations

from collections.abc import Iterable

from starlette.types import Scope

from ..settings.http import HttpSettings
from .security_headers import HeaderPairs

_ALLOWED = (
    "authorization",
    "content-type",
    "dpop",
    "idempotency-key",
    "last-event-id",
    "traceparent",
    "tracestate",
    "x-correlation-id",
)
# The contract's response headers, and those that a client needs to wait, to resume and to report a problem.
_READABLE = (
    "allow",
    "bff-complete",
    "bff-user",
    "content-disposition",
    "date",
    "dpop-nonce",
    "etag",
    "idempotency-replayed",
    "link",
    "location",
    "ratelimit",
    "ratelimit-policy",
    "retry-after",
    "server-timing",
    "www-authenticate",
    "x-correlation-id",
)
# Seconds a browser may remember a preflight's answer; Chromium caps it at two hours.
_MAX_AGE = b"7200"


class Cors:
    """The rule of one gateway's settings: `origins` and `cors_headers`."""

    def __init__(self, settings: HttpSettings) -> None:
        self._origins = frozenset(origin.encode() for origin in settings.origins)
        allowed = dict.fromkeys((*_ALLOWED, *settings.cors_headers))
        self.granted: HeaderPairs = (
            (b"access-control-allow-methods", b"GET, HEAD, POST, PUT, PATCH, DELETE"),
            (b"access-control-allow-headers", ", ".join(allowed).encode()),
            (b"access-control-max-age", _MAX_AGE),
        )
        self._readable = ", ".join(_READABLE).encode()

    def headers_for(self, headers: Iterable[tuple[bytes, bytes]]) -> HeaderPairs:
        """The headers of every answer to a request with these headers."""
        if not self._origins:
            return ()
        vary = (b"vary", b"Origin")
        origin = [value for name, value in headers if name == b"origin"]
        if len(origin) != 1 or origin[0] not in self._origins:
            return (vary,)
        return (
            vary,
            (b"access-control-allow-origin", origin[0]),
            (b"access-control-expose-headers", self._readable),
            # Without it a page of another origin sees no Server-Timing in its performance entries.
            (b"timing-allow-origin", origin[0]),
        )

    def is_preflight(self, scope: Scope) -> bool:
        """Whether a browser asks what a page of a listed site may send."""
        return (
            scope["method"] == "OPTIONS"
            and len(self.headers_for(scope["headers"])) > 1
            and any(name == b"access-control-request-method" for name, _ in scope["headers"])
        )
