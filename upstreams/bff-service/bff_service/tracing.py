"""The two ids that follow a request through every service: the correlation id and the W3C trace context.

Guarantees that each request has both, continued from the caller where its headers are valid. Refuses to pass on what
is not valid.
"""

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
class TraceContext:
    """The ids of one request in this service, and the headers that its outgoing calls get."""

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

    @classmethod
    def continued(cls, headers: Mapping[str, str]) -> TraceContext:
        """Continues the caller's ids (header names in lower case), or begins new ones."""
        try:
            correlation = str(uuid.UUID(headers.get("x-correlation-id", "")))
        except ValueError:
            correlation = str(uuid.uuid4())
        match = _TRACEPARENT.fullmatch(headers.get("traceparent", "").strip())
        if match is None:
            return cls(correlation, secrets.token_hex(16), secrets.token_hex(8))
        state = headers.get("tracestate", "").strip()
        valid_state = state if 0 < len(state) <= 512 else None
        return cls(correlation, match[1], secrets.token_hex(8), match[2], valid_state)


_current: ContextVar[TraceContext | None] = ContextVar("trace_context", default=None)


def current_trace() -> TraceContext | None:
    """The trace context of the current task; None where nobody has set one."""
    return _current.get()


def set_trace(context: TraceContext) -> None:
    """Make this the current task's trace context, for its logs and its outgoing calls."""
    _current.set(context)
