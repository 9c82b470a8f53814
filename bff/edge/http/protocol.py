"""The connection of `bff serve`: what it accepts, how long it waits, and what it answers before any application runs.

Guarantees:
- A head, a body, and a client that does not read each have a deadline; their sizes and numbers are bounded.
- Bytes that two readers could read differently are refused (head.py).
- A refusal is a problem with a new correlation id. It is sent in its turn, never before the answer to an earlier
  request on the same connection.
- Bounded in sum: what a message carries beside its address, headers and body (padding, chunk extensions), and the bytes
  of the requests that wait for their turn. At that bound, and while the client does not read its answers, nothing more
  is read.
- A lost connection releases all that it held at once, without the garbage collector.

Trailers are dropped, because they would become headers after the head was handed over. No other protocol is spoken:
`Upgrade` is ignored, and the connection ends with the answer. Everything else is uvicorn's.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, Literal, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from ..problem import Problem
from ..settings import Settings
from ..state import Reservation, state_of
from .admission import Admission
from .body_bounds import BodyBounds
from .connection import ConnectionFlow, LightEvent, RequestPipeline, disconnect
from .cycle import Cycle, Http10Cycle
from .head import read_head, too_large, unreadable
from .refusal import whole_answer
from .request import body_too_large
from .security_headers import HeaderPairs

# Requests that may wait on one connection for their turn.
PIPELINE = 16
# Seconds a refused client has to read the answer, while what it still sends is thrown away.
LINGER = 2.0
# Seconds that are enough for the event loop to read once more.
RECHECK = 0.02
# Bytes of a request line and the end of a head, of a header's separators, and of one chunk's frame. Further bytes are
# padding.
LINE, SEPARATORS, FRAME = 32, 4, 12
# Bytes given to the parser at once. It reports no position, so bounds are exact to within so many bytes.
SLICE = 8_192
# Seconds beyond the body's deadline: the reader of the body (request.py) answers first, with a better message.
BODY_GRACE = 1.0


def _on_task_end(tasks: set[asyncio.Task[None]], reservation: Reservation, task: asyncio.Task[None]) -> None:
    tasks.discard(task)
    reservation.release()


class HttpProtocol(HttpToolsProtocol):
    """Uvicorn's protocol on httptools. admission: decides before a request becomes a task, and makes refusals readable
    for pages of other sites; None: every request becomes a task."""

    # Slots, because with these attributes an instance's dictionary would take 1.1 kB more for each connection.
    # fmt: off
    __slots__ = (
        "_admission", "_bodies", "_body", "_body_framing", "_bound", "_bounds", "_closing", "_current", "_fields",
        "_head", "_padding", "_parsed", "_pending_refusal", "_phase", "_settings", "_timed_phase", "_timer",
    )
    # fmt: on

    flow: ConnectionFlow
    pipeline: RequestPipeline  # type: ignore[assignment]  # all of a deque that uvicorn uses

    def __init__(
        self,
        *args: Any,
        settings: Settings,
        admission: Admission | None = None,
        bodies: BodyBounds | None = None,
        **rest: Any,
    ) -> None:
        super().__init__(*args, **rest)
        self._bodies = bodies or BodyBounds(settings)
        self._bound = self._bodies.default
        self._admission = admission
        self.pipeline = RequestPipeline()
        self._settings = settings
        self._bounds = settings.http
        # Where in a message the parser is, and the phase of this message for which the timer runs.
        self._phase: Literal["between", "head", "body"] = "between"
        self._timed_phase = ""
        self._head = self._body = self._fields = 0
        # Bytes that the parser reported since the last read, and those of this message that it did not report: padding,
        # chunk extensions, and a line that has not ended yet.
        self._parsed = self._padding = 0
        # The header that announces the body of a message which offers another protocol.
        self._body_framing = b""
        # The problem to send after the answers to earlier requests.
        self._pending_refusal: Problem | None = None
        # Further bytes from the client are ignored.
        self._closing = False
        # The request being answered, which may be older than uvicorn's `cycle`.
        self._current: RequestResponseCycle | None = None
        self._timer: asyncio.TimerHandle | None = None

    # ---- the connection --------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self.flow = ConnectionFlow(transport, self._bounds.unread)
        if len(self.connections) > self._bounds.connections:
            self._send_refusal(
                Problem(503, "unavailable", "There are too many connections at the moment.", retry_after=1)
            )
        else:
            self._set_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        current, self._current = self._current, None
        # Uvicorn notifies the newest request; the one being answered may be an older one.
        if current is not None and not current.response_complete:
            disconnect(current)
        # Requests and their connection refer to each other: without this they stay until the garbage collector runs,
        # with every body that was sent.
        self.pipeline.release()
        self.cycle = self.scope = self.headers = None  # type: ignore[assignment]  # as uvicorn begins
        self.url = b""
        self._pending_refusal = self._timer = None

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        for start in range(0, len(data), SLICE):
            if self._closing:
                return
            self._feed(data[start : start + SLICE])
        if not self._closing:
            self.flow.limit_waiting(self.pipeline.size > self._settings.max_body)
            self._set_deadline()

    def _feed(self, data: bytes) -> None:
        try:
            self._parse(data)
        except httptools.HttpParserError as error:
            # What a callback raised is the context of the parser's error.
            raised = error.__context__
            if not self._closing:
                self._refuse(
                    raised
                    if isinstance(raised, Problem)
                    else unreadable("What was sent is not an HTTP request this server can read.")
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
            return
        except httptools.HttpParserUpgrade as offered:
            rest = data[offered.args[0] :]
        # `Upgrade` (RFC 9110 section 7.8) is ignored here, but this parser leaves all that follows the head to the
        # other protocol. So another parser reads the body; because of its `close`, more than the body is an error.
        # `curl --http2` and Java's HttpClient offer h2c in this way with their first request, whatever its method.
        self.parser = httptools.HttpRequestParser(_BodyCallbacks(self))
        framing, self._body_framing = self._body_framing, b""
        self.parser.feed_data(b"POST / HTTP/1.1\r\nconnection: close\r\n" + framing + b"\r\n\r\n" + rest)

    # ---- the parser's callbacks ------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        super().on_message_begin()
        # Made here, so that a layer that copies the scope shares it with this connection.
        state_of(cast(dict[str, Any], self.scope))
        self._phase = "head"
        self._timed_phase = ""
        self._head = self._body = self._fields = self._padding = 0
        self._parsed += LINE

    def on_url(self, url: bytes) -> None:
        self._parsed += len(url)
        self.url += url
        if len(self.url) > self._bounds.target_bytes:
            raise Problem(
                414, "head-too-large", f"An address has at most {self._bounds.target_bytes} bytes here."
            )

    def on_header(self, name: bytes, value: bytes) -> None:
        size = len(name) + len(value) + SEPARATORS
        self._parsed += size
        self._head += size
        self._fields += 1
        if self._head > self._bounds.head_bytes:
            raise too_large(f"They have at most {self._bounds.head_bytes} bytes together.")
        if self._fields > self._bounds.headers:
            raise too_large(f"There are at most {self._bounds.headers}.")
        # Headers after the head are trailers, and the head was handed over already.
        if self._phase == "head":
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        parser = self.parser
        head = read_head(parser.get_method(), parser.get_http_version(), self.url, self.headers)
        self._bound = self._bodies.of(head.target) if head.length or head.chunked else self._bodies.default
        if head.length > self._bound.most:
            raise body_too_large(self._bound.most)
        if len(self.pipeline) >= PIPELINE:
            raise unreadable(f"At most {PIPELINE} requests may wait on one connection.")
        self.url = head.target
        super().on_headers_complete()
        if parser.should_upgrade():
            self._body_framing = head.framing
            self.cycle.keep_alive = False
        if self.pipeline:
            # Uvicorn would stop reading, and not notice that the client leaves. What waits here is bounded by its bytes
            # and its number.
            self.pipeline.grow(self._head + len(self.url))
            self.flow.resume_reading()
        self._phase = "body"

    def on_chunk_header(self) -> None:
        self._parsed += FRAME

    def on_body(self, body: bytes) -> None:
        self._parsed += len(body)
        self._body += len(body)
        if self._body > self._bound.most:
            raise body_too_large(self._bound.most)
        super().on_body(body)
        if self._bound.each:
            # The next piece has its own time.
            self._timed_phase = ""
        if self.pipeline:
            self.pipeline.grow(len(body))

    def on_message_complete(self) -> None:
        # For this parser a message that offers another protocol ends with its head.
        if not self._body_framing:
            super().on_message_complete()
            self._phase = "between"

    def on_last_message_complete(self) -> None:
        """The message offered another protocol: what follows it is not read."""
        self.on_message_complete()
        self._closing = True
        if self.cycle.response_complete:
            self._close_gracefully()

    # ---- deadlines -------------------------------------------------------------------------------------------

    def _set_deadline(self) -> None:
        """Set a deadline for what is awaited from the client, and none while nothing is."""
        idle = self._phase == "between" and (
            self.timeout_keep_alive_task is not None
            or (self._current is not None and not self._current.response_complete)
        )
        if self._timer is not None:
            if self._timed_phase == self._phase and not idle:
                return
            self._timer.cancel()
            self._timer = None
        if not idle:
            self._timed_phase = self._phase
            bounds = self._bounds
            seconds = self._bound.seconds + BODY_GRACE if self._phase == "body" else bounds.head_timeout
            self._timer = self.loop.call_later(seconds, self._on_deadline)

    def _on_deadline(self) -> None:
        # If the loop itself is late, the bytes may have arrived unread: let it read once more.
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
        cycle.__class__ = Http10Cycle if cycle.scope["http_version"] == "1.0" else Cycle
        admitted: Reservation | bytes | None = None
        # A client that does not read its answers gets no refusal from here: a task waits until it reads.
        if self._admission is not None and not self.flow.write_paused:
            admitted = self._admission.on_connection(cast(dict[str, Any], cycle.scope))
        if isinstance(admitted, bytes):
            cycle.response_started = cycle.response_complete = True
            self.transport.write(admitted)
            if cycle.keep_alive:
                self.on_response_complete()
            else:
                self._close_gracefully()
            return
        # As uvicorn starts a task. The reservation is released even if the task never reaches the gateway.
        task = self.loop.create_task(cycle.run_asgi(app))
        task.add_done_callback(
            self.tasks.discard if admitted is None else partial(_on_task_end, self.tasks, admitted)
        )
        self.tasks.add(task)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self.flow.limit_waiting(self.pipeline.size > self._settings.max_body)
        if self._current is not None and self._current.response_complete:
            # The task may still do something, such as closing a file, but no client waits for that.
            reservation = state_of(cast(dict[str, Any], self._current.scope)).reservation
            if reservation is not None:
                reservation.release()
            if self._pending_refusal is not None and not self.transport.is_closing():
                pending, self._pending_refusal = self._pending_refusal, None
                self._unset_keepalive_if_required()
                self._send_refusal(pending)
        if self._phase != "between" and self._timer is not None:
            # The next request has begun to arrive, and its deadline is set.
            self._unset_keepalive_if_required()

    def _refuse(self, problem: Problem) -> None:
        """Stop reading, send the problem after the answers to earlier requests, and close the connection."""
        self._closing = True
        # The traceback refers to this connection.
        problem.with_traceback(None)
        refused = self.cycle if self._phase == "body" else None
        if refused is not None and self.pipeline:
            # It waits for its turn, and is the newest request.
            self.pipeline.pop(0)
            refused = None
        current = self._current
        if current is not None and current is not refused and not current.response_complete:
            self._pending_refusal = problem
        elif refused is not None and refused.response_started:
            # Its answer has begun or is complete: a second one would be taken for the next request's.
            self.transport.close() if refused.response_complete else self.transport.abort()
        else:
            self._send_refusal(problem)
            if refused is not None:
                disconnect(refused)

    def _send_refusal(self, problem: Problem) -> None:
        cors: HeaderPairs = ()
        if self._admission is not None and self._phase != "between":
            cors = self._admission.cors.headers_for(self.headers)
        self.transport.write(whole_answer(problem, self._settings.public_url, cors))
        self._close_gracefully()

    def _close_gracefully(self) -> None:
        """Close after LINGER seconds in which all that arrives is dropped: a close with unread bytes would reset the
        connection, and the client could lose the answer."""
        self._closing = True
        if not self.transport.can_write_eof():
            self.transport.close()
            return
        self.transport.write_eof()
        self.flow.read_to_end()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(LINGER, self.transport.close)


class _BodyCallbacks:
    """Passes on the body and its trailers; the head that the parser was started with is dropped."""

    def __init__(self, protocol: HttpProtocol) -> None:
        self._protocol = protocol
        self._begun = False
        self.on_body = protocol.on_body
        self.on_chunk_header = protocol.on_chunk_header
        self.on_message_complete = protocol.on_last_message_complete

    def on_headers_complete(self) -> None:
        self._begun = True

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._begun:
            self._protocol.on_header(name, value)
