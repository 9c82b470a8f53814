"""What uvicorn keeps for every connection, made smaller: ten thousand open streams pay for it ten thousand times."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol, cast

import httptools
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from ..state import state_of
from .head import Head

# What can stand against reading on: uvicorn (a body that its request has not read), requests that wait for their turn
# and hold as many bytes as may wait, a client that does not take its answers.
_BODY, _WAITING, _WRITING = 1, 2, 4


class ConnectionFlow(FlowControl):
    """Uvicorn's, less what it keeps for every connection in case writing is paused: a tenth of an open stream. Reading
    goes on once nothing stands against it any more."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.read_paused = self.write_paused = False
        self._against = 0
        self._writable: asyncio.Event | None = None

    async def drain(self) -> None:
        if self.write_paused:
            if self._writable is None:
                self._writable = asyncio.Event()
            await self._writable.wait()

    def pause_reading(self) -> None:
        self._stop(_BODY, True)

    def resume_reading(self) -> None:
        self._stop(_BODY, False)

    def hold(self, full: bool) -> None:
        """full: as many bytes wait on this connection as may; read no further until they are fewer."""
        self._stop(_WAITING, full)

    def read_to_end(self) -> None:
        """Read whatever comes: it is thrown away."""
        self._stop(_BODY | _WAITING | _WRITING, False)

    def pause_writing(self) -> None:
        self.write_paused = True
        self._stop(_WRITING, True)

    def resume_writing(self) -> None:
        self.write_paused = False
        self._stop(_WRITING, False)
        writable, self._writable = self._writable, None
        if writable is not None:
            writable.set()

    def _stop(self, why: int, stop: bool) -> None:
        self._against = self._against | why if stop else self._against & ~why
        if self.read_paused != bool(self._against):
            self.read_paused = not self.read_paused
            if not self._transport.is_closing():
                self._transport.pause_reading() if self.read_paused else self._transport.resume_reading()


class StalledReader:
    """Cuts a connection off that takes nothing for `seconds`: what waits for it has to become less. Looks a few times
    in between, so a client is not cut early, and is at most a quarter late."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        self._transport = transport
        self._loop = loop
        self._seconds = seconds
        self._left = transport.get_write_buffer_size()
        self._since = loop.time()
        self._timer = loop.call_later(seconds / 4, self._look)

    def cancel(self) -> None:
        """It takes what it is given."""
        self._timer.cancel()

    def _look(self) -> None:
        left, now = self._transport.get_write_buffer_size(), self._loop.time()
        if left < self._left:
            self._since = now
        elif now - self._since >= self._seconds:
            self._transport.abort()
            return
        self._left = left
        self._timer = self._loop.call_later(self._seconds / 4, self._look)


class LightEvent:
    """What a request's task waits on for news of its body or its client: an `asyncio.Event` without the deque of 600
    bytes that one makes for those who may wait."""

    __slots__ = ("_told", "_waiting")

    def __init__(self) -> None:
        self._told = False
        self._waiting: list[asyncio.Future[None]] = []

    def is_set(self) -> bool:
        return self._told

    def set(self) -> None:
        self._told = True
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)

    def clear(self) -> None:
        self._told = False

    async def wait(self) -> None:
        if self._told:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            await waiter
        finally:
            self._waiting.remove(waiter)


class RequestPipeline(list[Any]):
    """Requests that wait for their turn, the newest first, and how many bytes they hold: hardly ever one, and an empty
    deque takes 700 bytes."""

    __slots__ = ("_sizes", "size")

    def __init__(self) -> None:
        super().__init__()
        self.size = 0
        self._sizes: list[int] | None = None

    def appendleft(self, waiting: Any) -> None:
        if self._sizes is None:
            self._sizes = []
        self.insert(0, waiting)
        self._sizes.insert(0, 0)

    def grow(self, size: int) -> None:
        """So many bytes of the newest one have come."""
        if self._sizes:
            self._sizes[0] += size
            self.size += size

    def pop(self, at: Any = -1) -> Any:
        if self._sizes:
            self.size -= self._sizes.pop(at)
        return super().pop(at)

    def popleft(self) -> Any:
        return self.pop(0)

    def release(self) -> None:
        """Nobody will answer them: let go of what they hold and of the connection they would tell."""
        while self:
            cycle, _ = self.pop()
            cycle.on_response = _nothing
            cycle.body = bytearray()


def _nothing() -> None:
    pass


def disconnect(cycle: RequestResponseCycle) -> None:
    """Tell a request, once, that nobody waits for its answer any more."""
    cycle.disconnected = True
    cycle.message_event.set()
    lost = state_of(cast(dict[str, Any], cycle.scope)).lost
    if lost is None:
        return
    lost.is_lost = True
    while lost:
        lost.pop()()


class Http10Cycle(RequestResponseCycle):
    """A request by HTTP/1.0."""

    _sized = False

    async def send(self, message: ASGISendEvent) -> None:
        if message["type"] == "http.response.start":
            self._sized = any(name.lower() == b"content-length" for name, _ in message.get("headers", ()))
            if not self._sized:
                self.chunked_encoding = False
        elif message["type"] == "http.response.body" and not self._sized:
            # Uvicorn counts down what was announced: of this answer each part is all there is so far.
            self.expected_content_length = len(message.get("body", b""))
        await super().send(message)


def http10_answering(cycle: RequestResponseCycle) -> RequestResponseCycle:
    """The same request, answered as its version of HTTP has it."""
    if cycle.scope["http_version"] == "1.0":
        cycle.__class__ = Http10Cycle
    return cycle


class Connection(Protocol):
    """Who reads the body."""

    def on_header(self, name: bytes, value: bytes) -> None: ...

    def on_chunk_header(self) -> None: ...

    def on_body(self, body: bytes) -> None: ...

    def on_message_complete(self) -> None: ...

    def ignore_rest(self) -> None: ...


class _Body:
    """What the parser of a body says: trailers and the body's bytes, of the head it was made with nothing."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._begun = False
        self.on_body = connection.on_body
        self.on_chunk_header = connection.on_chunk_header

    def on_headers_complete(self) -> None:
        self._begun = True

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._begun:
            self._connection.on_header(name, value)

    def on_message_complete(self) -> None:
        self._connection.on_message_complete()
        self._connection.ignore_rest()


def body_parser(connection: Connection, head: Head) -> httptools.HttpRequestParser:
    """A parser that is about to read the body this head announced; what follows the body is an error to it."""
    parser = httptools.HttpRequestParser(_Body(connection))
    framing = b"transfer-encoding: chunked" if head.chunked else b"content-length: %d" % head.length
    parser.feed_data(b"POST / HTTP/1.1\r\nconnection: close\r\n" + framing + b"\r\n\r\n")
    return parser
