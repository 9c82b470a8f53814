"""One forwarded exchange with an upstream: under its breaker, bulkhead, balance and deadline, and never repeated.

The breaker learns of the head: a failure is a status of 5xx, no connection, or no head in time. The permit is held
until the body has ended, so the bulkhead bounds the exchanges in progress. The time for the head counts from the last
byte of the request that was sent; before that, each piece has its own time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from ..calls import Call, Invalid, RequestContext, Timeout, Unreachable
from ..policies import events
from .client import CallContext
from .exchange import ExchangeRequest, ExchangeResponse
from .pipeline import CallPipeline
from .request import NO_CONDITIONS, request_headers, traced
from .traces import AttemptRecord, new_span_id
from .wire import WireConnectionError, WireInvalidResponse


class HeadTimer:
    """The time until the head of the response must have arrived. seconds: from the end of the request. It ends with the
    head: of a request that is still being sent then, each piece has the time of `Upload` alone."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._limit = asyncio.timeout(seconds)
        self._is_running = False

    def sending(self, seconds: float) -> None:
        """The next piece of the request may take this long."""
        self._set(seconds)

    def sent(self) -> None:
        """All of the request is sent."""
        self._set(self._seconds)

    def _set(self, seconds: float) -> None:
        if self._is_running and not self._limit.expired():
            self._limit.reschedule(asyncio.get_running_loop().time() + seconds)

    async def __aenter__(self) -> HeadTimer:
        await self._limit.__aenter__()
        self._is_running = True
        return self

    async def __aexit__(self, *raised: Any) -> None:
        self._is_running = False
        await self._limit.__aexit__(*raised)
        # From here on the pieces of the response have their own time.


Make = Callable[[Mapping[str, str]], ExchangeRequest]
"""Given the headers that the gateway sets, the whole request."""


class Forwarding:
    """pipeline: whose clients are used, with their policies."""

    def __init__(self, pipeline: CallPipeline) -> None:
        self._pipeline = pipeline

    @asynccontextmanager
    async def exchange(
        self, call: Call[Any], request: RequestContext, make: Make, head: HeadTimer
    ) -> AsyncIterator[ExchangeResponse]:
        """The response while inside; its head has arrived. Raises an UpstreamError, or what the body of the request
        raised."""
        pipeline = self._pipeline
        client = pipeline.client_of(call)
        trace = pipeline.traces.current()
        context = CallContext(call, request, client, NO_CONDITIONS, trace)
        seconds = request.deadline.left()
        backend, breaker = pipeline.choose(context, None)
        generation = breaker.generation
        entry = client.permits.bulkhead.acquire()
        if entry != "acquired":
            await pipeline.wait_for_permit(context, backend, breaker, entry == "queued")
        started, span_id, began = pipeline.clock(), new_span_id(), time.time_ns()
        outcome, side, failed = "cancelled", "client", False
        response: ExchangeResponse | None = None
        backend.pending += 1
        try:
            try:
                headers = request_headers(call, request, seconds, client.credentials)
                headers.update(client.headers)
                traced(headers, trace, span_id)
                async with head:
                    response = await client.backends.exchanges(backend).open(make(headers))
                failed = response.status >= 500
                outcome, side = ("failed" if failed else "ok"), "origin"
            except TimeoutError:
                outcome, side, failed = "timeout", "origin", True
                raise Timeout(call.owner, call.name, f"did not answer within {seconds:.3g} s.") from None
            except WireConnectionError as error:
                outcome, side, failed = "unreachable", "origin", True
                raise Unreachable(call.owner, call.name, f"could not be reached ({error}).") from None
            except WireInvalidResponse as error:
                outcome, side = "invalid", "origin"
                raise Invalid(call.owner, call.name, f"gave an invalid response: {error}.") from None
            finally:
                duration = pipeline.clock() - started
                if side == "client":
                    breaker.record_abandoned(generation)
                elif failed:
                    breaker.record_failure(generation)
                    client.backends.record_failure(backend)
                else:
                    breaker.record_success(generation, duration)
                    client.backends.record_success(backend)
                request.record.add_call(call.name, duration, outcome, 1)
                if trace.record is not None:
                    status = None if response is None else response.status
                    trace.record(
                        AttemptRecord(
                            *(
                                call,
                                backend.url or backend.name,
                                trace.context,
                                span_id,
                                began,
                                time.time_ns(),
                            ),
                            *(0, False, status, outcome),
                        )
                    )
                pipeline.observe(
                    events.Attempted(
                        call.owner.service,
                        call.name,
                        backend.name,
                        duration * 1000,
                        outcome,
                        side,  # type: ignore[arg-type]
                    )
                )
            yield response
        finally:
            if response is not None:
                response.close()
            backend.pending -= 1
            client.permits.release()
