"""The connection: what it takes, how long it waits, and what it answers before any application is asked.

Promises that a head, a body and a client that does not read each have a deadline, that their sizes and numbers are
bounded, that bytes on which two readers could differ are refused (head.py), and that a refusal is a problem with a
correlation id of its own, sent in its turn: never before the answer to an earlier request on the same connection.
Trailers are dropped: they would become headers after the fact. Everything else is uvicorn's.

Each request's scope holds a list, ``bff.lost``; what is in it is called when the connection is lost before the answer
is whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Literal, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from ..problem import Problem
from ..settings import Settings
from .cors import Cors
from .flow import Flow, Pipeline, Told, Unread, leave
from .head import judge, too_large, unreadable
from .refusal import whole_answer
from .security import Pairs
from .unframed import answering

Door = Callable[[dict[str, Any]], bytes | None]

# Requests that may wait on one connection for their turn.
PIPELINE = 16
# Seconds a refused client has to read why, while what it still sends is thrown away.
LINGER = 2.0
# Seconds, enough for the event loop to read once more.
GLANCE = 0.02
# Seconds more than the body's deadline: whoever reads the body says so first, in better words.
AFTER = 1.0


class HttpProtocol(HttpToolsProtocol):
    """Uvicorn's protocol on httptools. door: asked before a request becomes a task; bytes it gives are the answer.
    cors: what lets another site's page read a refusal, where the head could be read; None: nothing does."""

    # With these beside uvicorn's an instance's dictionary would be past what CPython keeps small: 1.1 kB a connection.
    __slots__ = (
        "_body", "_bounds", "_cors", "_deaf", "_door", "_fields", "_head", "_later", "_marks", "_max_body", "_phase",
        "_public_url", "_running", "_said", "_stalled", "_step", "_timer", "_unsaid", "_watched", "_why",
    )  # fmt: skip

    def __init__(
        self, *args: Any, settings: Settings, door: Door | None = None, cors: Cors | None = None, **rest: Any
    ) -> None:
        super().__init__(*args, **rest)
        self._door = door
        self._cors = cors
        # Of the request whose head was read last, for its refusal.
        self._marks: Pairs = ()
        self.pipeline = Pipeline()  # type: ignore[assignment]  # all of a deque that uvicorn uses
        self._bounds = settings.http
        self._max_body = settings.max_body
        self._public_url = settings.public_url
        # Where in a message the parser is, and a number that changes with every step.
        self._phase: Literal["between", "head", "body"] = "between"
        self._step = 0
        self._head = self._body = self._fields = 0
        # Bytes since the parser last said something: of one line or one chunk's head that does not end.
        self._unsaid = 0
        self._said = False
        self._why: Problem | None = None
        self._later: Problem | None = None
        self._deaf = False
        self._running: RequestResponseCycle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._watched = -1
        self._stalled: Unread | None = None

    # ---- the connection --------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self.flow = Flow(transport)
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
        # Uvicorn tells the newest request; the one being answered may be an older one.
        if self._running is not None and not self._running.response_complete:
            leave(self._running)

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        self._unset_keepalive_if_required()
        self._said = False
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # No other protocol is spoken: the request is answered as it is, and what follows it is not read.
            self._deaf = True
            self.cycle.keep_alive = False
            if self.cycle.response_complete:
                self.transport.close()
            return
        except httptools.HttpParserError:
            self._refuse(
                self._why or unreadable("What was sent is not an HTTP request this server can read.")
            )
            return
        self._unsaid = 0 if self._said else self._unsaid + len(data)
        if self._unsaid > self._bounds.head_bytes:
            self._refuse(too_large("A line of it does not end."))
            return
        self._watch()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._stalled is None:
            self._stalled = Unread(self.transport, self.loop, self._bounds.unread)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    # ---- the parser ------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        super().on_message_begin()
        cast(dict[str, Any], self.scope)["bff.lost"] = []
        self._phase = "head"
        self._marks = ()
        self._step += 1
        self._head = self._body = self._fields = 0
        self._said = True

    def on_url(self, url: bytes) -> None:
        self._said = True
        self.url += url
        if len(self.url) > self._bounds.target_bytes:
            raise self._because(
                Problem(
                    414, "head-too-large", f"An address has at most {self._bounds.target_bytes} bytes here."
                )
            )

    def on_header(self, name: bytes, value: bytes) -> None:
        self._said = True
        self._head += len(name) + len(value) + 4
        if self._head > self._bounds.head_bytes:
            raise self._because(too_large(f"They have at most {self._bounds.head_bytes} bytes together."))
        self._fields += 1
        if self._fields > self._bounds.headers:
            raise self._because(too_large(f"There are at most {self._bounds.headers}."))
        # After the head they are trailers, and the head is in somebody's hands already.
        if self._phase == "head":
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._said = True
        if self._cors is not None:
            self._marks = self._cors.marks(self.headers)
        parser = self.parser
        method, version = parser.get_method(), parser.get_http_version()
        try:
            self.url, length = judge(method, version, self.url, self.headers, upgrade=parser.should_upgrade())
        except Problem as problem:
            raise self._because(problem) from None
        if length > self._max_body:
            raise self._because(self._too_much())
        if len(self.pipeline) >= PIPELINE:
            raise self._because(unreadable(f"At most {PIPELINE} requests may wait on one connection."))
        super().on_headers_complete()
        if self.pipeline:
            # Uvicorn would read no further, and not see that the client leaves: their number bounds what waits here.
            self.flow.resume_reading()
        self._phase = "body"
        self._step += 1

    def on_body(self, body: bytes) -> None:
        self._said = True
        self._body += len(body)
        if self._body > self._max_body:
            raise self._because(self._too_much())
        super().on_body(body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._phase = "between"
        self._marks = ()
        self._said = True

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
            cycle.message_event = Told()  # type: ignore[assignment]  # all of an Event that uvicorn uses
        refusal = None if self._door is None else self._door(cast(dict[str, Any], cycle.scope))
        if refusal is None:
            super()._start_asgi_task(answering(cycle), app)
            return
        cycle.response_started = cycle.response_complete = True
        self.transport.write(refusal)
        if not cycle.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
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
            leave(own)

    def _end(self, problem: Problem) -> None:
        self._deaf = True
        self.transport.write(whole_answer(problem, self._public_url, self._marks))
        if not self.transport.can_write_eof():
            self.transport.close()
            return
        # Closing with bytes unread would reset the connection, and the answer with it.
        self.transport.write_eof()
        self.flow.resume_reading()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(LINGER, self.transport.close)
