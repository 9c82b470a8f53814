"""What the gateway did lately, for the demo's tour: its requests with their calls, and what its policies decided.

An observer as `Gateway(observers=)` takes it. It keeps the newest `KEPT` entries and numbers them from 1, so that a
page can tell which are new. Requests for static files, the stream and the demo's own routes are not kept.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

from bff.edge.observe.telemetry import trace_id
from bff.events import (
    Attempted,
    BreakerChanged,
    CallRejected,
    Event,
    RequestEnded,
    Retried,
    ScreenIncomplete,
    Served,
)

KEPT = 200


class Activity:
    """Entries are JSON objects with `n`, `at` (seconds since the epoch), `kind`, `trace` (W3C trace id) and what their
    kind has:

    request     method, route, status, milliseconds
    attempt     service, call, outcome, milliseconds
    retry       service, call, attempt, why
    rejected    service, call, why
    cached      service, call, how
    breaker     service, state
    incomplete  route, missing
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._entries: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self._count = 0

    def __call__(self, event: Event, /) -> None:
        match event:
            case RequestEnded(route=str() as route) if route.startswith("/api/"):
                self._keep(
                    "request",
                    trace=event.trace_id,
                    method=event.method,
                    route=route,
                    status=event.status,
                    milliseconds=round(event.seconds * 1000, 1),
                )
            case Attempted():
                self._keep(
                    "attempt",
                    service=event.service,
                    call=event.call,
                    outcome=event.outcome,
                    milliseconds=round(event.milliseconds, 1),
                )
            case Retried():
                self._keep(
                    "retry", service=event.service, call=event.call, attempt=event.attempt, why=event.why
                )
            case CallRejected():
                self._keep("rejected", service=event.service, call=event.call, why=event.why)
            case Served(how="hit" | "stale" | "revalidated" | "coalesced"):
                self._keep("cached", service=event.service, call=event.call, how=event.how)
            case BreakerChanged():
                self._keep("breaker", service=event.service, state=event.state)
            case ScreenIncomplete():
                self._keep("incomplete", route=event.route, missing=event.missing)
            case _:
                pass

    def entries(self) -> list[dict[str, Any]]:
        """Oldest first."""
        return list(self._entries)

    def _keep(self, kind: str, *, trace: str | None = None, **what: Any) -> None:
        self._count += 1
        entry = {"n": self._count, "at": self._clock(), "kind": kind, "trace": trace or trace_id(), **what}
        self._entries.append(entry)
