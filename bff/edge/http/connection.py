"""The parts of a connection that differ from uvicorn's: flow control, events, the pipeline, how answers are written.

They are smaller than uvicorn's, because each of ten thousand open streams has its own.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any, cast

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from ..state import state_of
from .security_headers import NAMES

_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")
_UNSAFE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
# Headers with few values, none of which is about one person or one request.
_REPEATED = frozenset({b"bff-complete", b"cache-control", b"content-type", b"vary", *NAMES})
_LINES: dict[tuple[bytes, bytes], bytes] = {}
_LINES_AT_MOST = 512
_LINE_AT_MOST = 512
# Bytes of a piece that is copied behind its head; a longer one is written by itself.
_TOGETHER = 65_536

# Reasons to pause reading: a body that its request has not read (uvicorn's reason), waiting requests that hold as many
# bytes as are allowed, a client that does not read its answers.
_BODY, _WAITING, _WRITING = 1, 2, 4


class ConnectionFlow(FlowControl):
    """Uvicorn's, without the event that it makes for every connection in case writing is paused: a tenth of an open
    stream's memory. Reading is resumed when no reason to pause it is left. unread: seconds for which a client may read
    nothing while writing is paused (see StalledReader)."""

    def __init__(self, transport: asyncio.Transport, unread: float) -> None:
        self._transport = transport
        self._unread = unread
        self.read_paused = self.write_paused = False
        self._reasons = 0
        self._writable: asyncio.Event | None = None
        self._stalled: StalledReader | None = None

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
        """Read all that arrives; the caller drops it."""
        self._set(_BODY | _WAITING | _WRITING, False)

    def pause_writing(self) -> None:
        self.write_paused = True
        self._set(_WRITING, True)
        self._stalled = StalledReader(self._transport, self._unread)

    def resume_writing(self) -> None:
        self.write_paused = False
        self._set(_WRITING, False)
        stalled, self._stalled = self._stalled, None
        if stalled is not None:
            stalled.cancel()
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
    """Aborts the connection of a client that reads nothing for `seconds`: the bytes that wait to be sent must become
    fewer. They are counted four times in that time, so a client is never cut off early, and at most a quarter of the
    time late."""

    def __init__(self, transport: asyncio.Transport, seconds: float) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._seconds = seconds
        self._unsent = transport.get_write_buffer_size()
        self._since = self._loop.time()
        self._timer = self._loop.call_later(seconds / 4, self._check)

    def cancel(self) -> None:
        """The client reads again, or is gone."""
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
    """An `asyncio.Event` without its deque of waiters, which takes 600 bytes. A request's task waits on it for more of
    the body or for the client to leave."""

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
    """Requests that wait for their turn, the newest first, each as `[request, application, bytes]`. size: the bytes
    that all of them hold. A list, because requests hardly ever wait, and an empty deque takes 700 bytes."""

    __slots__ = ("size",)

    def __init__(self) -> None:
        super().__init__()
        self.size = 0

    def appendleft(self, waiting: tuple[RequestResponseCycle, Any]) -> None:
        self.insert(0, [*waiting, 0])

    def grow(self, size: int) -> None:
        """So many more bytes of the newest request have arrived."""
        self[0][2] += size
        self.size += size

    def pop(self, at: Any = -1) -> tuple[RequestResponseCycle, Any]:
        cycle, app, size = super().pop(at)
        self.size -= size
        return cycle, app

    def release(self) -> None:
        """These requests will not be answered: drop their bodies and their references to the connection."""
        while self:
            cycle, _ = self.pop()
            cycle.on_response = lambda: None
            cycle.body = bytearray()


def disconnect(cycle: RequestResponseCycle) -> None:
    """Notify a request, once, that its client is gone."""
    cycle.disconnected = True
    cycle.message_event.set()
    state = state_of(cast(dict[str, Any], cycle.scope))
    state.is_lost = True
    while state.on_lost:
        state.on_lost.pop()()


class Cycle(RequestResponseCycle):
    """One request and its answer. The head is sent together with the first piece of the body, or in the next turn of
    the loop where that is not there yet. Header lines that most answers have are checked and encoded once."""

    _head = b""
    _later: asyncio.Handle | None = None

    async def run_asgi(self, app: Any) -> None:
        async def run(scope: Any, receive: Any, send: Any) -> Any:
            try:
                return await app(scope, receive, send)
            finally:
                # Uvicorn may close the connection now.
                self._send_head()

        await super().run_asgi(run)

    async def send(self, message: ASGISendEvent) -> None:
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        kind: str = message["type"]
        if not self.response_started and kind == "http.response.start":
            self.response_started = True
            self.waiting_for_100_continue = False
            self._head = self._encoded(cast(dict[str, Any], message))
            self._later = asyncio.get_running_loop().call_soon(self._send_head)
        elif self.response_started and not self.response_complete and kind == "http.response.body":
            body: Any = message.get("body", b"")
            self._send_body(body, bool(message.get("more_body", False)))
        else:
            raise RuntimeError(f"unexpected message {kind}")

    def _send_head(self) -> None:
        if self._later is not None:
            self._later.cancel()
            self._later = None
        head, self._head = self._head, b""
        if head and not self.disconnected:
            self.transport.write(head)

    def _encoded(self, message: dict[str, Any]) -> bytes:
        """The head. Sets how the body is framed."""
        status: int = message["status"]
        lines = [STATUS_LINE[status]]
        closes = False
        for name, value in (*self.default_headers, *message.get("headers", ())):
            line = _LINES.get((name, value))
            if line is None:
                name = name.lower()
                line = _line(name, value)
                if name == b"content-length" and self.chunked_encoding is None:
                    self.expected_content_length = int(value)
                    self.chunked_encoding = False
                elif name == b"transfer-encoding" and value.lower() == b"chunked":
                    self.expected_content_length = 0
                    self.chunked_encoding = True
                elif name == b"connection" and b"close" in [
                    token.strip() for token in value.lower().split(b",")
                ]:
                    self.keep_alive = False
                    closes = True
            lines.append(line)
        if not self.keep_alive and not closes:
            lines.append(b"connection: close\r\n")
        if self.chunked_encoding is None and self.scope["method"] != "HEAD" and status not in (204, 304):
            self.chunked_encoding = True
            lines.append(b"transfer-encoding: chunked\r\n")
        lines.append(b"\r\n")
        return b"".join(lines)

    def _send_body(self, body: bytes, more: bool) -> None:
        if self.scope["method"] == "HEAD":
            self.expected_content_length = 0
            body = b""
        elif self.chunked_encoding:
            body = (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + (b"" if more else b"0\r\n\r\n")
        else:
            self.expected_content_length -= len(body)
            if self.expected_content_length < 0:
                raise RuntimeError("the body is longer than its Content-Length")
        if self._head and len(body) <= _TOGETHER:
            body, self._head = self._head + body, b""
        self._send_head()
        if body:
            self.transport.write(body)
        if more:
            return
        if self.expected_content_length:
            raise RuntimeError("the body is shorter than its Content-Length")
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()


class Http10Cycle(Cycle):
    """A request by HTTP/1.0, which has no chunks (RFC 9112 section 6.1): an answer whose length is not known beforehand
    ends with the connection."""

    _sized = False

    async def send(self, message: ASGISendEvent) -> None:
        if message["type"] == "http.response.start":
            self._sized = any(name.lower() == b"content-length" for name, _ in message.get("headers", ()))
            if not self._sized:
                self.chunked_encoding = False
        elif message["type"] == "http.response.body" and not self._sized:
            # None is announced: each part is all that is expected.
            self.expected_content_length = len(message.get("body", b""))
        await super().send(message)


def _line(name: bytes, value: bytes) -> bytes:
    """A header as a line. Raises RuntimeError for one that would be more than a line."""
    if not _NAME.fullmatch(name) or _UNSAFE.search(value):
        raise RuntimeError("a header has a name or value that cannot be sent")
    line = name + b": " + value + b"\r\n"
    if name in _REPEATED and len(line) <= _LINE_AT_MOST and len(_LINES) < _LINES_AT_MOST:
        _LINES[name, value] = line
    return line
