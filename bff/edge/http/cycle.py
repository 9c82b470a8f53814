"""How the connection of `bff serve` writes an answer: head and first piece of the body together, and header lines that
most answers have checked and encoded once. Everything else about a request is uvicorn's.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any, cast

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from .security_headers import NAMES

_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")
_UNSAFE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
# Names that were checked before.
_CHECKED: set[bytes] = set()
_CHECKED_AT_MOST = 256
# Headers with few values, none of which is about one person or one request.
_REPEATED = frozenset({b"bff-complete", b"cache-control", b"content-type", b"vary", *NAMES})
_LINES: dict[tuple[bytes, bytes], bytes] = {}
_LINES_AT_MOST = 512
_LINE_AT_MOST = 512


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
                self.send_head()

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
            self._later = asyncio.get_running_loop().call_soon(self.send_head)
        elif self.response_started and not self.response_complete and kind == "http.response.body":
            body: Any = message.get("body", b"")
            self._send_body(body, bool(message.get("more_body", False)))
        else:
            raise RuntimeError(f"unexpected message {kind}")

    def send_head(self) -> None:
        """Write the head now, if it was not written yet."""
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
        if body and self._head:
            # Not joined: many answers may share one body.
            head, self._head = self._head, b""
            self.transport.writelines((head, body))
        elif body:
            self.transport.write(body)
        self.send_head()
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
    # Values are nearly always printable ASCII, which is quicker to see.
    plain = value.isascii() and value.decode("ascii").isprintable()
    if (name not in _CHECKED and not _is_name(name)) or (not plain and _UNSAFE.search(value)):
        raise RuntimeError("a header has a name or value that cannot be sent")
    line = name + b": " + value + b"\r\n"
    if name in _REPEATED and len(line) <= _LINE_AT_MOST and len(_LINES) < _LINES_AT_MOST:
        _LINES[name, value] = line
    return line


def _is_name(name: bytes) -> bool:
    if not _NAME.fullmatch(name):
        return False
    if len(_CHECKED) < _CHECKED_AT_MOST:
        _CHECKED.add(name)
    return True
