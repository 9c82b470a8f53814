"""Other sites' pages: which of them may call with a bearer token, and what they may send and read (Fetch standard, CORS
without credentials).

Every answer to a listed origin carries the headers that let its page read it, a refusal too, whether it comes from a
route, from admission or from the connection: without them a page is told of a network failure where it is to wait or
to correct something. The header `X-BFF` is never granted: it proves that a write with a cookie comes from our own page.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..settings.http import HttpSettings
from .security_headers import HeaderPairs

_ALLOWED = (
    "authorization",
    "content-type",
    "idempotency-key",
    "last-event-id",
    "traceparent",
    "tracestate",
    "x-correlation-id",
)
# What the contract says in headers, and what a client needs for waiting, resuming and reporting.
_READABLE = (
    "allow",
    "bff-complete",
    "bff-user",
    "content-disposition",
    "date",
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

Headers = Iterable[tuple[bytes, bytes]]


class Cors:
    """The rule of one gateway's settings: `origins` and `cors_headers`."""

    def __init__(self, settings: HttpSettings) -> None:
        self._origins = frozenset(one.encode() for one in settings.origins)
        allowed = dict.fromkeys((*_ALLOWED, *settings.cors_headers))
        self.granted: HeaderPairs = (
            (b"access-control-allow-methods", b"GET, HEAD, POST"),
            (b"access-control-allow-headers", ", ".join(allowed).encode()),
            (b"access-control-max-age", _MAX_AGE),
        )
        self._readable = ", ".join(_READABLE).encode()

    def marks(self, headers: Headers) -> HeaderPairs:
        """What an answer to a request with these headers carries."""
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

    def preflight(self, method: str, headers: list[tuple[bytes, bytes]]) -> bool:
        """Whether a browser asks what another site's page may send, and is told."""
        return (
            method == "OPTIONS"
            and len(self.marks(headers)) > 1
            and any(name == b"access-control-request-method" for name, _ in headers)
        )
