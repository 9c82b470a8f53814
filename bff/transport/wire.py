"""The port to the network: one request is sent, one whole response is returned.

An adapter sends the request unchanged and keeps only connections between requests: no cookies. It follows no redirects
and uses no proxy from the environment. Every failure is one of the four subclasses of WireError.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct

KEEP_ALIVE = 4.0
"""Seconds for which an idle connection stays open. Common servers (uvicorn) close it after five. A shorter time avoids
writes to a connection that is just being closed."""

RESPONSE_HEADERS = frozenset(
    {
        "age",
        "cache-control",
        "content-type",
        "date",
        "etag",
        "expires",
        "last-modified",
        "retry-after",
        "vary",
    }
)
"""The response headers that an adapter passes on: how to read the body, how long it may be cached, when to retry. All
others are dropped, but for those that a request takes."""


class WireRequest(Struct, frozen=True):
    """target: path and query as they are sent; headers: lower-case names; takes: further headers of the response that
    are passed on, names in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes | None = None
    takes: tuple[str, ...] = ()

    def passes(self, name: str) -> bool:
        """Whether a header of the response is passed on."""
        return name in RESPONSE_HEADERS or name in self.takes


class WireResponse(Struct, frozen=True):
    """status, headers (lower-case names, repeated ones joined by commas, RFC 9110 section 5.3) and the whole body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class WireError(Exception):
    """There is no complete, valid response."""


class WireTimeout(WireError):
    """The adapter itself stopped waiting. The caller's time limit cancels the call instead."""


class WireConnectionError(WireError):
    """No connection, or it was lost. stale: an idle keep-alive connection turned out to be closed, and no byte of a
    response arrived. A connection that was just opened is never stale: losing it means that the service is down."""

    def __init__(self, detail: str, *, stale: bool) -> None:
        super().__init__(detail)
        self.stale = stale


class WireInvalidResponse(WireError):
    """The response is not valid: its HTTP is malformed or ambiguous, or its content coding cannot be decoded."""


class WireResponseTooLarge(WireError):
    """The response's body is larger than the upstream's `max_body`."""


class Wire(Protocol):
    """A pool of connections to one backend. The setting `wire` of an upstream selects the adapter."""

    async def send(self, request: WireRequest) -> WireResponse:
        """Send a request and return its response. Raises WireError. Cancelling it frees its connection."""

    async def close(self) -> None:
        """Close every connection."""
