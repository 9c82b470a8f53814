"""The two ids that follow a request through every service: the correlation id and the W3C trace. Promises that
each request has both, continued from the caller where its headers are valid; refuses to pass on what is not."""

from __future__ import annotations

import re
import secrets
import uuid
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass

# https://www.w3.org/TR/trace-context/#traceparent-header: version ff and all-zero ids are invalid.
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})")


@dataclass(frozen=True, slots=True)
class Hop:
    """This service's place in a request's way: its ids and the headers the next hop gets."""

    correlation_id: str
    trace_id: str
    span_id: str
    flags: str = "01"
    tracestate: str | None = None

    @property
    def traceparent(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{self.flags}"

    def headers(self) -> dict[str, str]:
        """What to send along on every call made for this request."""
        headers = {"traceparent": self.traceparent, "X-Correlation-ID": self.correlation_id}
        if self.tracestate:
            headers["tracestate"] = self.tracestate
        return headers


_current: ContextVar[Hop | None] = ContextVar("hop", default=None)


def continued(headers: Mapping[str, str]) -> Hop:
    """A hop that continues the caller's ids (header names in lower case), or begins new ones."""
    try:
        correlation = str(uuid.UUID(headers.get("x-correlation-id", "")))
    except ValueError:
        correlation = str(uuid.uuid4())
    match = _TRACEPARENT.fullmatch(headers.get("traceparent", "").strip())
    if match is None:
        return Hop(correlation, secrets.token_hex(16), secrets.token_hex(8))
    state = headers.get("tracestate", "").strip()
    return Hop(
        correlation, match[1], secrets.token_hex(8), match[2], state if 0 < len(state) <= 512 else None
    )


def current_hop() -> Hop | None:
    """The hop of the request being served; None outside one."""
    return _current.get()


def enter_hop(hop: Hop) -> None:
    """Make this the current task's hop, for its logs and its outgoing calls."""
    _current.set(hop)
