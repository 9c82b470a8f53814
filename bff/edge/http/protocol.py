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
from ..state import ConnectionLost, Reservation, begin
from .connection import (
    ConnectionFlow,
    LightEvent,
    RequestPipeline,
    StalledReader,
    body_parser,
    disconnect,
    http10_answering,
)
from .cors import Cors
from .head import Head, judge, too_large, unreadable
from .refusal import whole_answer
from .security_headers import HeaderPairs

AdmissionHook = Callable[[dict[str, Any]], Reservation | bytes | None]
"""Decides on a request before it becomes a task. Bytes are the refusal as it goes on the wire; a reservation is
released when the task ends; None: admitted and not counted."""

# Requests that may wait on one connection for their turn.
PIPELINE = 16
# Seconds a refused client has to read why, while what it still sends is thrown away.
LINGER = 2.0
# Seconds, enough for the event loop to read once more.
GLANCE = 0.02
# Bytes that a request line and the end of a head, a header's separators, and one chunk's frame take: what is beyond
# these is padding.
LINE, SEPARATORS, FRAME = 32, 4, 12
# Bytes given to the parser at once: it tells no position, so that bounds are kept to within this much.
SLICE = 8_192
# Seconds more than the body's deadline: whoever reads the body says so first, in better words.
AFTER = 1.0


def _on_task_end(tasks: set[asyncio.Task[None]], reservation: Reservation, task: asyncio.Task[None]) -> None:
    tasks.discard(task)
    reservation.release()


class HttpProtocol(HttpToolsProtocol):
    """Uvicorn's protocol on httptools. admit: decides before a request becomes a task; None: the application decides.
    cors: what lets another site's page read a refusal, where the head could be read; None: nothing does."""

    # With these beside uvicorn's an instance's dictionary would be past what CPython keeps small: 1.1 kB a connection.
    __slots__ = (
        "_admit",
        "_announced",
        "_body",
        "_bounds",
        "_cors",
        "_deaf",
        "_fields",
        "_head",
        "_later",
        "_marks",
        "_max_body",
        "_padding",
        "_phase",
        "_public_url",
        "_running",
        "_stalled",
        "_step",
        "_timer",
        "_told",
        "_upgrade",
        "_watched",
        "_why",
    )  # fmt: skip

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
        # Of the request whose head was read last, for its refusal.
        self._marks: HeaderPairs = ()
        self.pipeline = RequestPipeline()
        self._bounds = settings.http
        self._max_body = settings.max_body
        self._public_url = settings.public_url
        # Where in a message the parser is, and a number that changes with every step.
        self._phase: Literal["between", "head", "body"] = "between"
        self._step = 0
        self._head = self._body = self._fields = 0
        # Bytes that the parser told of since the last read, and those of this message that it did not tell of: padding,
        # chunk extensions, and a line that has not ended yet.
        self._told = self._padding = 0
        # The message offers another protocol; and what it says of its body, which the parser takes for that protocol.
        self._upgrade = False
        self._announced: Head | None = None
        self._why: Problem | None = None
        self._later: Problem | None = None
        self._deaf = False
        self._running: RequestResponseCycle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._watched = -1
        self._stalled: StalledReader | None = None

    # ---- the connection --------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self.flow = ConnectionFlow(transport)
        if len(self.connections) > self._bounds.connections:
            self._end(
                Problem(503, "unavailable", "There are too many connections at the moment.", retry_after=1)
            )
            return
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._timer, self._stalled):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        running, self._running = self._running, None
        # Uvicorn tells the newest request; the one being answered may be an older one.
        if running is not None and not running.response_complete:
            disconnect(running)
        # Requests know the connection and the connection knows them: what is not undone here stays until the collector
        # comes, with every body that was sent.
        self.pipeline.release()
        self.cycle = self.scope = self.headers = None  # type: ignore[assignment]  # as uvicorn begins
        self.url = b""
        self._why = self._later = self._announced = self._timer = self._stalled = None

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        for start in range(0, len(data), SLICE):
            if self._deaf:
                return
            self._feed(data[start : start + SLICE] if len(data) > SLICE else data)
        if not self._deaf:
            self._hold()
            self._watch()

    def _feed(self, data: bytes) -> None:
        try:
            self._parse(data)
        except httptools.HttpParserError:
            if not self._deaf:
                why, self._why = self._why, None
                self._refuse(why or unreadable("What was sent is not an HTTP request this server can read."))
            return
        self._padding = max(0, self._padding + len(data) - self._told)
        self._told = 0
        if self._padding > self._bounds.head_bytes and not self._deaf:
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
            # The parser takes the body for the other protocol's: another parser reads it.
            self.parser = body_parser(self, announced)
            rest = data[offered.args[0] :]
            if rest:
                self.parser.feed_data(rest)

    def ignore_rest(self) -> None:
        """The request that has just come whole is the last one: what follows it is not read."""
        self._deaf = True
        self.cycle.keep_alive = False
        if self.cycle.response_complete:
            self._close_gently()

    def _hold(self) -> None:
        self.flow.hold(self.pipeline.size > self._max_body)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._stalled is None:
            self._stalled = StalledReader(self.transport, self.loop, self._bounds.unread)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    # ---- the parser ------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        super().on_message_begin()
        begin(cast(dict[str, Any], self.scope), ConnectionLost())
        self._phase = "head"
        self._marks = ()
        self._step += 1
        self._head = self._body = self._fields = self._padding = 0
        self._told += LINE

    def on_url(self, url: bytes) -> None:
        self._told += len(url)
        self.url += url
        if len(self.url) > self._bounds.target_bytes:
            raise self._because(
                Problem(
                    414, "head-too-large", f"An address has at most {self._bounds.target_bytes} bytes here."
                )
            )

    def on_header(self, name: bytes, value: bytes) -> None:
        self._told += len(name) + len(value) + SEPARATORS
        self._head += len(name) + len(value) + SEPARATORS
        if self._head > self._bounds.head_bytes:
            raise self._because(too_large(f"They have at most {self._bounds.head_bytes} bytes together."))
        self._fields += 1
        if self._fields > self._bounds.headers:
            raise self._because(too_large(f"There are at most {self._bounds.headers}."))
        # After the head they are trailers, and the head is in somebody's hands already.
        if self._phase == "head":
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._cors is not None:
            self._marks = self._cors.headers_for(self.headers)
        parser = self.parser
        try:
            head = judge(parser.get_method(), parser.get_http_version(), self.url, self.headers)
        except Problem as problem:
            raise self._because(problem) from None
        if head.length > self._max_body:
            raise self._because(self._too_much())
        if len(self.pipeline) >= PIPELINE:
            raise self._because(unreadable(f"At most {PIPELINE} requests may wait on one connection."))
        self.url = head.target
        self._upgrade = parser.should_upgrade()
        self._announced = head if self._upgrade and (head.length or head.chunked) else None
        super().on_headers_complete()
        if self._upgrade:
            self.cycle.keep_alive = False
        if self.pipeline:
            # Uvicorn would read no further, and not see that the client leaves: their bytes and their number bound
            # what waits here.
            self.pipeline.grow(self._head + len(self.url))
            self.flow.resume_reading()
        self._phase = "body"
        self._step += 1

    def on_chunk_header(self) -> None:
        self._told += FRAME

    def on_body(self, body: bytes) -> None:
        self._told += len(body)
        self._body += len(body)
        if self._body > self._max_body:
            raise self._because(self._too_much())
        super().on_body(body)
        if self.pipeline and self.pipeline[0][0] is self.cycle:
            self.pipeline.grow(len(body))

    def on_message_complete(self) -> None:
        if self._announced is not None:
            # To the parser it is over: what follows would be another protocol's.
            return
        super().on_message_complete()
        self._phase = "between"
        self._marks = ()

    # ---- deadlines -------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """See to it that what is awaited from the client has a deadline."""
        if self._phase == "between" and (
            self.timeout_keep_alive_task is not None
            or (self._running is not None and not self._running.response_complete)
        ):
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            return
        if self._timer is not None:
            if self._watched == self._step:
                return
            self._timer.cancel()
        self._watched = self._step
        seconds = self._bounds.body_timeout + AFTER if self._phase == "body" else self._bounds.head_timeout
        self._timer = self.loop.call_later(seconds, self._late)

    def _late(self) -> None:
        # When it is the loop that is late, what was awaited may lie there unread: one look before the cut.
        self._timer = self.loop.call_later(GLANCE, self._cut)

    def _cut(self) -> None:
        self._timer = None
        if self._deaf or self.transport.is_closing():
            return
        if self.flow.read_paused:
            # It is not the client who is slow: a request before this one is not answered yet.
            self._watch()
        elif self._phase == "between":
            self.transport.close()
        else:
            what = "headers" if self._phase == "head" else "body"
            self._refuse(Problem(408, "too-slow", f"The request's {what} did not arrive in time."))

    # ---- refusing --------------------------------------------------------------------------------------------

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        if not cycle.message_event.is_set():
            cycle.message_event = LightEvent()  # type: ignore[assignment]  # all of an Event that uvicorn uses
        admitted: Reservation | bytes | None = None
        # A client that does not read its answers gets no refusal from here: a task waits until it reads.
        if self._admit is not None and not self.flow.write_paused:
            admitted = self._admit(cast(dict[str, Any], cycle.scope))
        if admitted is None:
            super()._start_asgi_task(http10_answering(cycle), app)
        elif not isinstance(admitted, bytes):
            # As uvicorn starts a task. The reservation is released even if the task never comes to the gateway.
            task = self.loop.create_task(http10_answering(cycle).run_asgi(app))
            task.add_done_callback(partial(_on_task_end, self.tasks, admitted))
            self.tasks.add(task)
        else:
            cycle.response_started = cycle.response_complete = True
            self.transport.write(admitted)
            if cycle.keep_alive:
                self.on_response_complete()
            else:
                self._close_gently()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._hold()
        if self._later is not None and self._running is not None and self._running.response_complete:
            later, self._later = self._later, None
            if not self.transport.is_closing():
                self._unset_keepalive_if_required()
                self._end(later)
        elif self._phase != "between" and self._timer is not None:
            # The next one has begun to arrive: its own deadline runs.
            self._unset_keepalive_if_required()

    def _because(self, problem: Problem) -> Exception:
        """What a callback raises: the parser stops, and tells only that there was something."""
        self._why = problem
        return problem

    def _too_much(self) -> Problem:
        return Problem(413, "body-too-large", f"At most {self._max_body} bytes are taken here.")

    def _refuse(self, problem: Problem) -> None:
        """Read no further, and say why once what came before is answered; then it is the connection's end."""
        self._deaf = True
        # Where it was raised leads back to this connection.
        problem.with_traceback(None)
        own = self.cycle if self._phase == "body" else None
        if own is not None and any(cycle is own for cycle, _ in self.pipeline):
            self.pipeline.popleft()
            own = None
        before = self.pipeline[0][0] if self.pipeline else self._running
        if before is not None and before is not own and not before.response_complete:
            self._later = problem
            return
        if own is not None and own.response_started:
            # Its answer has begun or is over: another one would be taken for the next request's.
            self.transport.close() if own.response_complete else self.transport.abort()
            return
        self._end(problem)
        if own is not None:
            disconnect(own)

    def _end(self, problem: Problem) -> None:
        self.transport.write(whole_answer(problem, self._public_url, self._marks))
        self._close_gently()

    def _close_gently(self) -> None:
        """Closing with bytes unread would reset the connection, and the answer with it: read and forget for a while."""
        self._deaf = True
        if not self.transport.can_write_eof():
            self.transport.close()
            return
        self.transport.write_eof()
        self.flow.read_to_end()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(LINGER, self.transport.close)
