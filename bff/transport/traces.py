"""The port for the spans of calls: what the pipeline needs of a trace."""

from __future__ import annotations

from typing import Any, Protocol

from opentelemetry.trace import SpanContext

from ..calls import Call


class CallTraces(Protocol):
    """The client span of each call. One that is recorded is made when the call has ended."""

    def begin(self, parent: SpanContext) -> SpanContext:
        """The span that a call below `parent` belongs to: its own, or `parent` in a trace that is not recorded."""

    def end(
        self,
        call: Call[Any],
        span: SpanContext,
        parent: SpanContext,
        began: int,
        status: int | None,
        error: str | None,
    ) -> None:
        """The call has ended. span: from `begin`; began: nanoseconds since the epoch; status: of its response, None
        without one; error: why it failed."""


class NoTraces:
    """Records nothing; calls pass the trace of their request on."""

    def begin(self, parent: SpanContext) -> SpanContext:
        return parent

    def end(
        self,
        call: Call[Any],
        span: SpanContext,
        parent: SpanContext,
        began: int,
        status: int | None,
        error: str | None,
    ) -> None:
        pass


NO_TRACES = NoTraces()
