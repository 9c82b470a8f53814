"""The port to the wire: one request out, one whole answer in, in the gateway's own words.

An adapter sends exactly what it is given and keeps nothing between requests but connections: no cookies, no
redirects, no proxies from the environment. What goes wrong leaves it as one of four exceptions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Request:
    """target: path and query as they go on the wire; headers: lower-case names."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """status, headers (lower-case names, repeated ones joined by commas, RFC 9110 section 5.3) and the whole body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class WireError(Exception):
    """The answer did not arrive whole."""


class WireTimeout(WireError):
    """The wire itself gave up waiting; the caller's own time limit cancels instead."""


class WireBroken(WireError):
    """No connection, or it broke. `dropped`: an idle connection, used before, turned out to be closed and no byte of an
    answer came; a connection just opened never counts as dropped, it says that the service is down."""

    def __init__(self, detail: str, *, dropped: bool) -> None:
        super().__init__(detail)
        self.dropped = dropped


class WireInvalid(WireError):
    """An answer came, but no valid one: its HTTP is malformed or ambiguous, or its content coding cannot be undone."""


class WireTooLarge(WireError):
    """The answer's body is larger than the upstream's `max_body`."""


class Wire(Protocol):
    """A pool of connections to one upstream."""

    async def send(self, request: Request) -> Answer:
        """Raises WireError. Cancelling it frees its connection."""

    async def close(self) -> None:
        """Close every connection."""
