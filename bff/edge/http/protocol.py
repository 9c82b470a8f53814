"""The connection of `bff serve`: what it accepts, how long it waits, and what it answers before any application runs.

Guarantees:
- A head, a body, and a client that does not read each have a deadline; their sizes and numbers are bounded.
- Bytes that two readers could read differently are refused (head.py).
- A refusal is a problem with a correlation id of its own. It is sent in its turn, never before the answer to an earlier
  request on the same connection.
- Bounded in sum: what a message carries beside its address, headers and body (padding, chunk extensions), and the bytes
  of the requests that wait for their turn. At that bound, and while the client does not read its answers, nothing more
  is read.
- A lost connection releases all that it held at once, without the garbage collector.

Trailers are dropped, because they would become headers after the head was handed over. Other protocols are not spoken:
`Upgrade` is ignored, and the connection ends with the answer. Everything else is uvicorn's.

`RequestState.lost` of each request holds what is called when the connection is lost before the answer is complete.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from ..problem import Problem
from ..settings import Settings
from ..state import ConnectionLost, Reservation, begin, state_of
from .connection import (
    ConnectionFlow,
    LightEvent,
    RequestPipeline,
    StalledReader,
    body_parser,
    disconnect,
    for_version,
)
from .cors import Cors
from .head import Head, read_head, too_large, unreadable
from .refusal import whole_answer
from .request import body_too_large
from .security_headers import HeaderPairs

AdmissionHook = Callable[[dict[str, Any]], Reservation | bytes | None]
"""Decides on a request before it becomes a task. Bytes are the refusal as it goes on the wire; a reservation is
released when the task ends; None: admitted and not counted."""

# Requests that may wait on one connection for their turn.
PIPELINE = 16
# Seconds a refused client has to read the answer, while what it still sends is thrown away.
LINGER = 2.0
# Seconds, enough for the event loop to read once more.
RECHECK = 0.02
# Bytes that a request line and the end of a head, a header's separators, and one chunk's frame take: what is beyond
# these is padding.
LINE, SEPARATORS, FRAME = 32, 4, 12
# Bytes given to the parser at once: it reports no position, so bounds are exact to within this much.
SLICE = 8_192
# Seconds beyond the body's deadline: the reader of the body (request.py) answers first, with a better message.
BODY_GRACE = 1.0


def _on_task_end(tasks: set[asyncio.Task[None]], reservation: Reservation, task: asyncio.Task[None]) -> None:
    tasks.discard(task)
    reservation.release()


class HttpProtocol(HttpToolsProtocol):
    """Uvicorn's protocol on httptools. admit: decides before a request becomes a task; None: the application decides.
    cors: makes refusals readable for pages of other sites, where the head could be read."""

    # With these in it, an instance's dictionary would grow past what CPython keeps small: 1.1 kB for each connection.
    # fmt: off
    __slots__ = (
        "_admit", "_announced", "_body", "_bounds", "_closing", "_cors", "_cors_headers", "_current", "_fields",
        "_head", "_max_body", "_padding", "_parsed", "_pending_refusal", "_phase", "_public_url", "_raised", "_stalled",
        "_step", "_timed_step", "_timer", "_upgrade",
    )
    # fmt: on

    flow: ConnectionFlow
    pipeline: RequestPipeline  # type: ignore[assignment]  # all of a deque that uvicorn uses

    def __init__(
        self,
        *args: Any,
        settings: Settings,
        admit: AdmissionHook | None = None,
        cors: Cors | None = None,
        **rest: Any,
    ) -> None:
        super().__init__(*args, **rest)
        self._admit = admit
        self._cors = cors
        # For a refusal of the request whose head was read last.
        self._cors_headers: HeaderPairs = ()
        self.pipeline = RequestPipeline()
        self._bounds = settings.http
        self._max_body = settings.max_body
        self._public_url = settings.public_url
        # Where in a message the parser is, and a number that changes with every step.
        self._phase: Literal["between", "head", "body"] = "between"
        self._step = 0
        self._head = self._body = self._fields = 0
        # Bytes that the parser reported since the last read, and those of this message that it did not report: padding,
        # chunk extensions, and a line that has not ended yet.
        self._parsed = self._padding = 0
        # The message offers another protocol, and its head, if a body follows that the parser takes for that protocol.
        self._upgrade = False
        self._announced: Head | None = None
        # The problem that a callback raised, and one to send after the answers to earlier requests.
        self._raised: Problem | None = None
        self._pending_refusal: Problem | None = None
        # Whatever still comes is ignored.
        self._closing = False
        # The request being answered, which may be older than uvicorn's `cycle`.
        self._current: RequestResponseCycle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timed_step = -1
        self._stalled: StalledReader | None = None

    # ---- the connection --------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self.flow = ConnectionFlow(transport)
        if len(self.connections) > self._bounds.connections:
            self._send_refusal(
                Problem(503, "unavailable", "There are too many connections at the moment.", retry_after=1)
            )
        else:
            self._set_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._timer, self._stalled):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        current, self._current = self._current, None
        # Uvicorn tells the newest request; the one being answered may be an older one.
        if current is not None and not current.response_complete:
            disconnect(current)
        # Requests and their connection refer to each other: without this they stay until the garbage collector runs,
        # with every body that was sent.
        self.pipeline.release()
        self.cycle = self.scope = self.headers = None  # type: ignore[assignment]  # as uvicorn begins
        self.url = b""
        self._raised = self._pending_refusal = self._announced = self._timer = self._stalled = None

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        for start in range(0, len(data), SLICE):
            if self._closing:
                return
            self._feed(data[start : start + SLICE] if len(data) > SLICE else data)
        if not self._closing:
            self._limit_waiting()
            self._set_deadline()

    def _feed(self, data: bytes) -> None:
        try:
            self._parse(data)
        except httptools.HttpParserError:
            if not self._closing:
                raised, self._raised = self._raised, None
                self._refuse(
                    raised or unreadable("What was sent is not an HTTP request this server can read.")
                )
            return
        self._padding = max(0, self._padding + len(data) - self._parsed)
        self._parsed = 0
        if self._padding > self._bounds.head_bytes and not self._closing:
            self._refuse(
                too_large(
                    f"More than {self._bounds.head_bytes} bytes of it are padding, chunk extensions, or a line that "
                    "does not end."
                )
            )

    def _parse(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offered:
            announced, self._announced = self._announced, None
            if announced is None:
                self.ignore_rest()
                return
            # This parser takes the body for the other protocol's: another parser reads it.
            self.parser = body_parser(self, announced)
            rest = data[offered.args[0] :]
            if rest:
                self.parser.feed_data(rest)

    def ignore_rest(self) -> None:
        """The request that is now complete is the last one: what follows it is not read."""
        self._closing = True
        self.cycle.keep_alive = False
        if self.cycle.response_complete:
            self._close_gracefully()

    def _limit_waiting(self) -> None:
        self.flow.limit_waiting(self.pipeline.size > self._max_body)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._stalled is None:
            self._stalled = StalledReader(self.transport, self.loop, self._bounds.unread)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    # ---- the parser's callbacks ------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        super().on_message_begin()
        begin(cast(dict[str, Any], self.scope), ConnectionLost())
        self._phase = "head"
        self._cors_headers = ()
        self._step += 1
        self._head = self._body = self._fields = self._padding = 0
        self._parsed += LINE

    def on_url(self, url: bytes) -> None:
        self._parsed += len(url)
        self.url += url
        most = self._bounds.target_bytes
        if len(self.url) > most:
            raise self._raising(Problem(414, "head-too-large", f"An address has at most {most} bytes here."))

    def on_header(self, name: bytes, value: bytes) -> None:
        size = len(name) + len(value) + SEPARATORS
        self._parsed += size
        self._head += size
        self._fields += 1
        if self._head > self._bounds.head_bytes:
            raise self._raising(too_large(f"They have at most {self._bounds.head_bytes} bytes together."))
        if self._fields > self._bounds.headers:
            raise self._raising(too_large(f"There are at most {self._bounds.headers}."))
        # Headers after the head are trailers, and the head was handed over already.
        if self._phase == "head":
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._cors is not None:
            self._cors_headers = self._cors.headers_for(self.headers)
        parser = self.parser
        try:
            head = read_head(parser.get_method(), parser.get_http_version(), self.url, self.headers)
        except Problem as problem:
            raise self._raising(problem) from None
        if head.length > self._max_body:
            raise self._raising(body_too_large(self._max_body))
        if len(self.pipeline) >= PIPELINE:
            raise self._raising(unreadable(f"At most {PIPELINE} requests may wait on one connection."))
        self.url = head.target
        self._upgrade = parser.should_upgrade()
        self._announced = head if self._upgrade and (head.length or head.chunked) else None
        super().on_headers_complete()
        if self._upgrade:
            self.cycle.keep_alive = False
        if self.pipeline:
            # Uvicorn would stop reading, and not notice that the client leaves. What waits here is bounded by its bytes
            # and its number.
            self.pipeline.grow(self._head + len(self.url))
            self.flow.resume_reading()
        self._phase = "body"
        self._step += 1

    def on_chunk_header(self) -> None:
        self._parsed += FRAME

    def on_body(self, body: bytes) -> None:
        self._parsed += len(body)
        self._body += len(body)
        if self._body > self._max_body:
            raise self._raising(body_too_large(self._max_body))
        super().on_body(body)
        if self.pipeline and self.pipeline[0][0] is self.cycle:
            self.pipeline.grow(len(body))

    def on_message_complete(self) -> None:
        if self._announced is not None:
            # For this parser the message ends here: it takes the body for another protocol's.
            return
        super().on_message_complete()
        self._phase = "between"
        self._cors_headers = ()

    # ---- deadlines -------------------------------------------------------------------------------------------

    def _set_deadline(self) -> None:
        """Set a deadline for what is awaited from the client, and none while nothing is."""
        if self._phase == "between" and (
            self.timeout_keep_alive_task is not None
            or (self._current is not None and not self._current.response_complete)
        ):
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            return
        if self._timer is not None:
            if self._timed_step == self._step:
                return
            self._timer.cancel()
        self._timed_step = self._step
        bounds = self._bounds
        seconds = bounds.body_timeout + BODY_GRACE if self._phase == "body" else bounds.head_timeout
        self._timer = self.loop.call_later(seconds, self._on_deadline)

    def _on_deadline(self) -> None:
        # If the loop itself is late, the bytes may have come and not been read: let it read once more.
        self._timer = self.loop.call_later(RECHECK, self._on_timeout)

    def _on_timeout(self) -> None:
        self._timer = None
        if self._closing or self.transport.is_closing():
            return
        if self.flow.read_paused:
            # The client is not slow: an earlier request is not answered yet.
            self._set_deadline()
        elif self._phase == "between":
            self.transport.close()
        else:
            what = "headers" if self._phase == "head" else "body"
            self._refuse(Problem(408, "too-slow", f"The request's {what} did not arrive in time."))

    # ---- starting and refusing requests ----------------------------------------------------------------------

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._current = cycle
        if not cycle.message_event.is_set():
            cycle.message_event = LightEvent()  # type: ignore[assignment]  # all of an Event that uvicorn uses
        admitted: Reservation | bytes | None = None
        # A client that does not read its answers gets no refusal from here: a task waits until it reads.
        if self._admit is not None and not self.flow.write_paused:
            admitted = self._admit(cast(dict[str, Any], cycle.scope))
        if admitted is None:
            super()._start_asgi_task(for_version(cycle), app)
        elif not isinstance(admitted, bytes):
            # As uvicorn starts a task. The reservation is released even if the task never comes to the gateway.
            task = self.loop.create_task(for_version(cycle).run_asgi(app))
            task.add_done_callback(partial(_on_task_end, self.tasks, admitted))
            self.tasks.add(task)
        else:
            cycle.response_started = cycle.response_complete = True
            self.transport.write(admitted)
            if cycle.keep_alive:
                self.on_response_complete()
            else:
                self._close_gracefully()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._limit_waiting()
        if self._current is not None and self._current.response_complete:
            # What its task still does, such as closing a file, keeps no client waiting.
            reservation = state_of(cast(dict[str, Any], self._current.scope)).reservation
            if reservation is not None:
                reservation.release()
        if (
            self._pending_refusal is not None
            and self._current is not None
            and self._current.response_complete
        ):
            pending, self._pending_refusal = self._pending_refusal, None
            if not self.transport.is_closing():
                self._unset_keepalive_if_required()
                self._send_refusal(pending)
        elif self._phase != "between" and self._timer is not None:
            # The next request has begun to arrive: its own deadline runs.
            self._unset_keepalive_if_required()

    def _raising(self, problem: Problem) -> Problem:
        """Remember what a callback raises: the parser stops, and reports only that a callback failed."""
        self._raised = problem
        return problem

    def _refuse(self, problem: Problem) -> None:
        """Stop reading, send the problem after the answers to earlier requests, and close the connection."""
        self._closing = True
        # The traceback refers to this connection.
        problem.with_traceback(None)
        refused = self.cycle if self._phase == "body" else None
        if refused is not None and any(cycle is refused for cycle, _ in self.pipeline):
            self.pipeline.popleft()
            refused = None
        before = self.pipeline[0][0] if self.pipeline else self._current
        if before is not None and before is not refused and not before.response_complete:
            self._pending_refusal = problem
        elif refused is not None and refused.response_started:
            # Its answer has begun or is complete: a second one would be taken for the next request's.
            self.transport.close() if refused.response_complete else self.transport.abort()
        else:
            self._send_refusal(problem)
            if refused is not None:
                disconnect(refused)

    def _send_refusal(self, problem: Problem) -> None:
        self.transport.write(whole_answer(problem, self._public_url, self._cors_headers))
        self._close_gracefully()

    def _close_gracefully(self) -> None:
        """Read and drop what comes for a while before closing: a close with unread bytes would reset the connection,
        and the client could lose the answer."""
        self._closing = True
        if not self.transport.can_write_eof():
            self.transport.close()
            return
        self.transport.write_eof()
        self.flow.read_to_end()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(LINGER, self.transport.close)
