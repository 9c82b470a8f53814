"""The parts of a connection that differ from uvicorn's: flow control, events, pipeline, HTTP/1.0, bodies after Upgrade.

What uvicorn keeps for every connection is made smaller, because ten thousand open streams pay for it each.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol, cast

import httptools
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from ..state import state_of
from .head import Head

# Reasons to pause reading: a body that its request has not read (uvicorn's reason), waiting requests that hold as many
# bytes as are allowed, a client that does not read its answers.
_BODY, _WAITING, _WRITING = 1, 2, 4


class ConnectionFlow(FlowControl):
    """Uvicorn's, without the event that it keeps for every connection in case writing is paused: a tenth of an open
    stream's memory. Reading goes on when no reason to pause it is left."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.read_paused = self.write_paused = False
        self._reasons = 0
        self._writable: asyncio.Event | None = None

    async def drain(self) -> None:
        if self.write_paused:
            if self._writable is None:
                self._writable = asyncio.Event()
            await self._writable.wait()

    def pause_reading(self) -> None:
        self._set(_BODY, True)

    def resume_reading(self) -> None:
        self._set(_BODY, False)

    def limit_waiting(self, full: bool) -> None:
        """full: waiting requests hold as many bytes as are allowed; read nothing until they hold fewer."""
        self._set(_WAITING, full)

    def read_to_end(self) -> None:
        """Read whatever comes, to throw it away."""
        self._set(_BODY | _WAITING | _WRITING, False)

    def pause_writing(self) -> None:
        self.write_paused = True
        self._set(_WRITING, True)

    def resume_writing(self) -> None:
        self.write_paused = False
        self._set(_WRITING, False)
        writable, self._writable = self._writable, None
        if writable is not None:
            writable.set()

    def _set(self, reason: int, pause: bool) -> None:
        self._reasons = self._reasons | reason if pause else self._reasons & ~reason
        if self.read_paused != bool(self._reasons):
            self.read_paused = not self.read_paused
            if not self._transport.is_closing():
                self._transport.pause_reading() if self.read_paused else self._transport.resume_reading()


class StalledReader:
    """Aborts the connection of a client that reads nothing for `seconds`: what waits to be sent has to become less. It
    is checked four times in that time, so a client is never cut early, and at most a quarter of the time late."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        self._transport = transport
        self._loop = loop
        self._seconds = seconds
        self._unsent = transport.get_write_buffer_size()
        self._since = loop.time()
        self._timer = loop.call_later(seconds / 4, self._check)

    def cancel(self) -> None:
        """The client reads again."""
        self._timer.cancel()

    def _check(self) -> None:
        unsent, now = self._transport.get_write_buffer_size(), self._loop.time()
        if unsent < self._unsent:
            self._since = now
        elif now - self._since >= self._seconds:
            self._transport.abort()
            return
        self._unsent = unsent
        self._timer = self._loop.call_later(self._seconds / 4, self._check)


class LightEvent:
    """An `asyncio.Event` without the deque of 600 bytes that one makes for its waiters. A request's task waits on it
    for news of its body or its client."""

    __slots__ = ("_is_set", "_waiters")

    def __init__(self) -> None:
        self._is_set = False
        self._waiters: list[asyncio.Future[None]] = []

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        self._is_set = True
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    def clear(self) -> None:
        self._is_set = False

    async def wait(self) -> None:
        if self._is_set:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        finally:
            self._waiters.remove(waiter)


class RequestPipeline(list[Any]):
    """Requests that wait for their turn, the newest first. size: the bytes that they hold. A list, because there is
    hardly ever a waiting request and an empty deque takes 700 bytes."""

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
        """So many bytes of the newest request have come."""
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
        """Nobody will answer these requests: drop their bodies and their references to the connection."""
        while self:
            cycle, _ = self.pop()
            cycle.on_response = _nothing
            cycle.body = bytearray()


def _nothing() -> None:
    pass


def disconnect(cycle: RequestResponseCycle) -> None:
    """Tell a request, once, that its client is gone."""
    cycle.disconnected = True
    cycle.message_event.set()
    lost = state_of(cast(dict[str, Any], cycle.scope)).lost
    if lost is not None:
        lost.is_lost = True
        while lost:
            lost.pop()()


class Http10Cycle(RequestResponseCycle):
    """A request by HTTP/1.0, which has no chunks (RFC 9112 section 6.1): an answer whose length is not known beforehand
    ends with the connection. Everything else about it is uvicorn's."""

    _sized = False

    async def send(self, message: ASGISendEvent) -> None:
        if message["type"] == "http.response.start":
            self._sized = any(name.lower() == b"content-length" for name, _ in message.get("headers", ()))
            if not self._sized:
                self.chunked_encoding = False
        elif message["type"] == "http.response.body" and not self._sized:
            # Uvicorn counts down the announced length: here each part is all there is so far.
            self.expected_content_length = len(message.get("body", b""))
        await super().send(message)


def for_version(cycle: RequestResponseCycle) -> RequestResponseCycle:
    """The same request, answered in the form of its HTTP version."""
    if cycle.scope["http_version"] == "1.0":
        cycle.__class__ = Http10Cycle
    return cycle


class BodyReceiver(Protocol):
    """What a `body_parser` calls."""

    def on_header(self, name: bytes, value: bytes) -> None: ...

    def on_chunk_header(self) -> None: ...

    def on_body(self, body: bytes) -> None: ...

    def on_message_complete(self) -> None: ...

    def ignore_rest(self) -> None: ...


class _BodyCallbacks:
    """Passes on the body and its trailers; the head that the parser was started with is dropped."""

    def __init__(self, receiver: BodyReceiver) -> None:
        self._receiver = receiver
        self._begun = False
        self.on_body = receiver.on_body
        self.on_chunk_header = receiver.on_chunk_header

    def on_headers_complete(self) -> None:
        self._begun = True

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._begun:
            self._receiver.on_header(name, value)

    def on_message_complete(self) -> None:
        self._receiver.on_message_complete()
        self._receiver.ignore_rest()


def body_parser(receiver: BodyReceiver, head: Head) -> httptools.HttpRequestParser:
    """A parser for the body that this head announced; anything after the body is an error to it.

    For a request that offers another protocol (`Upgrade`, RFC 9110 section 7.8), which is ignored here. httptools takes
    what follows such a head for the other protocol and parses no body. `curl --http2` and Java's HttpClient offer h2c
    in this way with whatever request comes first.
    """
    parser = httptools.HttpRequestParser(_BodyCallbacks(receiver))
    framing = b"transfer-encoding: chunked" if head.chunked else b"content-length: %d" % head.length
    parser.feed_data(b"POST / HTTP/1.1\r\nconnection: close\r\n" + framing + b"\r\n\r\n")
    return parser
