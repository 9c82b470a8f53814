"""One plain HTTP/1.1 connection: one request is sent, one whole response is received, then the next.

httptools (llhttp in its strict form) parses the response. This file decides what the parser leaves open: how large head
and body may be, which framing is accepted (RFC 9112 section 6.3), and when a connection may be used again. Ambiguous
framing is refused and closes the connection. The result is a whole response or an error, never a part of one.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from httptools import HttpParserError, HttpResponseParser

from .wire import WireConnectionError, WireError, WireInvalidResponse, WireResponse, WireResponseTooLarge

MAX_HEAD = 65_536
"""Bytes of a response's head, including interim responses before it. Also the bytes of a body's framing in sum (chunk
extensions, trailers), without CHUNK_FRAMING bytes for each chunk."""
CHUNK_FRAMING = 12
MAX_FIELDS = 256
MAX_INTERIM = 16

# Field names as they were sent → in lower case. A service sends the same few names in every response.
_NAMES: dict[bytes, str] = {}
_NAMES_AT_MOST = 1024
_NAME_AT_MOST = 64

_IDLE, _HEAD, _BODY, _WHOLE = range(4)


class Pool(Protocol):
    """The pool that a connection belongs to."""

    def release(self, connection: Connection) -> None:
        """Its response is whole and it may be used again."""

    def on_lost(self, connection: Connection) -> None:
        """Its socket is closed; called once for each connection that joined."""


class Connection(asyncio.Protocol):
    """max_body: bytes of a response's body without its framing. `loop`: the event loop; `idle_since`: its time at which
    the connection became idle."""

    __slots__ = (
        "_body", "_chunks", "_closed", "_fields", "_headers", "_interim", "_keep_alive", "_left",
        "_max_body", "_more", "_no_body", "_parser", "_pending", "_pool", "_responded", "_size", "_stage", "_status",
        "_transport", "_until_close", "_used", "idle_since", "loop",
    )  # fmt: skip

    def __init__(self, max_body: int) -> None:
        self._pool: Pool | None = None
        self._max_body = max_body
        self.loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._pending: asyncio.Future[WireResponse] | None = None
        self._used = False
        self._closed = False
        self._stage = _IDLE
        self.idle_since = 0.0

    @property
    def usable(self) -> bool:
        """Open, and without a request in progress."""
        transport = self._transport
        return transport is not None and self._pending is None and not transport.is_closing()

    def send(self, request: bytes, *, no_body: bool) -> asyncio.Future[WireResponse]:
        """Send it; only on a usable connection. no_body: the method is HEAD.

        The future gets the response, or WireConnectionError, WireInvalidResponse or WireResponseTooLarge. A caller that
        stops waiting calls `abandon`.
        """
        transport = self._transport
        if transport is None or self._pending is not None:
            raise RuntimeError("the connection is not usable")
        self._no_body = no_body
        self._stage = _HEAD
        self._responded = False
        self._left = MAX_HEAD
        self._interim = 0
        self._size = self._chunks = 0
        self._body = b""
        self._more: bytearray | None = None
        self._pending = pending = self.loop.create_future()
        transport.write(request)
        return pending

    def abandon(self, pending: asyncio.Future[WireResponse]) -> None:
        """The caller no longer waits for this response: close the connection, unless the response is complete."""
        if self._pending is pending:
            self.abort()

    def abort(self) -> None:
        """Close it at once, or as soon as it opens. A caller that still waits gets a WireConnectionError."""
        self._closed = True
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()

    def join(self, pool: Pool) -> None:
        """It is open and belongs to the pool from now on: `pool.on_lost` is called when its socket is closed."""
        self._pool = pool

    # Called by the transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # a TCP transport both reads and writes
        self._parser = HttpResponseParser(self)
        if self._closed:
            self.abort()

    def data_received(self, data: bytes) -> None:
        if self._pending is None:
            # No request is in progress: these bytes must not become the response to the next request.
            self.abort()
            return
        self._responded = True
        try:
            if self._stage == _HEAD:
                self._feed_head(data)
            else:
                before = self._size + CHUNK_FRAMING * self._chunks
                self._parser.feed_data(data)
                self._left -= max(0, len(data) - (self._size + CHUNK_FRAMING * self._chunks - before))
                if self._left < 0 and self._stage == _BODY:
                    raise WireInvalidResponse("the framing of its body is too large")
        except HttpParserError as error:
            # Bytes after a complete response do not make it invalid; they only end the connection.
            self._keep_alive = False
            if self._stage != _WHOLE:
                why = error.__context__
                if not isinstance(why, WireError):
                    why = WireInvalidResponse(f"it is not valid HTTP: {error}")
                self._fail(why)
        except WireError as error:
            self._fail(error)
        if self._stage == _WHOLE:
            self._finish()

    def _feed_head(self, data: bytes) -> None:
        """The bound of a head must not depend on the pieces in which it arrives."""
        left = self._left
        if len(data) <= left:
            self._parser.feed_data(data)
            self._left = left - len(data) if self._stage == _HEAD else MAX_HEAD
            return
        self._parser.feed_data(data[:left])
        if self._stage == _HEAD:
            raise WireInvalidResponse(f"its head has more than {MAX_HEAD} bytes")
        self._left = MAX_HEAD
        self._parser.feed_data(data[left:])

    def eof_received(self) -> None:
        if self._pending is not None and self._stage == _BODY and self._until_close:
            self._stage = _WHOLE
            self._finish()
        # A half-open connection is useless, and a graceful close would wait for unwritten bytes.
        self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        detail = "it closed the connection" if exc is None else type(exc).__name__
        self._fail(
            WireConnectionError(detail, stale=self._used and not self._responded) if self._pending else None
        )
        # The parser refers to this object's methods. Without this cycle both are freed at once.
        del self._parser
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.on_lost(self)

    # Called by the parser.

    def on_message_begin(self) -> None:
        if self._stage == _WHOLE:
            raise WireInvalidResponse("other bytes follow it")
        self._headers: dict[str, str] = {}
        self._fields = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields += 1
        if self._fields > MAX_FIELDS:
            raise WireInvalidResponse(f"it has more than {MAX_FIELDS} header fields")
        if self._stage != _HEAD:
            # A trailer: skipped, never merged into the head (RFC 9110 section 6.5.1).
            return
        key = _NAMES.get(name) or _name(name)
        text = value.strip(b" \t").decode("latin-1")
        headers = self._headers
        headers[key] = f"{headers[key]}, {text}" if key in headers else text

    def on_headers_complete(self) -> None:
        parser, headers = self._parser, self._headers
        status = parser.get_status_code()
        length, coding = headers.get("content-length"), headers.get("transfer-encoding")
        if status < 200:
            self._interim += 1
            if status < 100 or status == 101:
                raise WireInvalidResponse(
                    "it switched protocols" if status == 101 else f"its status is {status}"
                )
            if length is not None or coding is not None or self._interim > MAX_INTERIM:
                raise WireInvalidResponse("its interim responses have a body, or are too many")
            return
        keep = parser.should_keep_alive()
        # Reading the version costs as much as two fields. What llhttp keeps alive without the header is HTTP/1.1.
        if not keep or coding is not None or "connection" in headers:
            version = parser.get_http_version()
            # RFC 9112 section 6.1: a transfer coding in HTTP/1.0 is faulty framing.
            if version not in ("1.0", "1.1") or (version == "1.0" and coding is not None):
                raise WireInvalidResponse(f"HTTP/{version} or its framing is not supported")
            keep = keep and version == "1.1"
        if coding is not None and coding.lower() != "chunked":
            raise WireInvalidResponse("its transfer coding is not supported")
        if status == 204 or status == 304 or self._no_body:
            # llhttp ends 204 and 304 here. For HEAD, which it does not know, it waits for the announced body. A 204
            # that announces a body may be followed by one.
            self._keep_alive = keep and (status == 304 or (coding is None and length in (None, "0")))
            self._until_close = False
            self._stage = _WHOLE if self._no_body else _BODY
        else:
            if length is not None and int(length) > self._max_body:
                raise WireResponseTooLarge(f"more than {self._max_body} bytes")
            self._keep_alive = keep
            self._until_close = length is None and coding is None
            self._stage = _BODY
        self._status = status

    def on_chunk_header(self) -> None:
        self._chunks += 1

    def on_body(self, data: bytes) -> None:
        if self._stage != _BODY:
            raise WireInvalidResponse("other bytes follow it")
        self._size += len(data)
        if self._size > self._max_body:
            raise WireResponseTooLarge(f"more than {self._max_body} bytes")
        if not self._body:
            self._body = data
        elif self._more is None:
            # One buffer, so that a body in pieces of one byte takes no more memory than its bytes.
            self._more = bytearray(self._body)
            self._more += data
        else:
            self._more += data

    def on_message_complete(self) -> None:
        if self._stage == _BODY:
            self._stage = _WHOLE

    # The end of a request.

    def _finish(self) -> None:
        pending, self._pending = self._pending, None
        self._stage = _IDLE
        self._used = True
        if pending is not None and not pending.done():
            body = self._body if self._more is None else bytes(self._more)
            pending.set_result(WireResponse(self._status, self._headers, body))
        self._body, self._more = b"", None
        transport, pool = self._transport, self._pool
        # When a service responds before it has read the whole request, the rest is still in the write buffer.
        if (
            self._keep_alive
            and transport is not None
            and pool is not None
            and not transport.is_closing()
            and not transport.get_write_buffer_size()
        ):
            pool.release(self)
        else:
            self.abort()

    def _fail(self, why: WireError | None) -> None:
        pending, self._pending = self._pending, None
        self._stage = _IDLE
        if pending is not None and why is not None and not pending.done():
            pending.set_exception(why)
        self.abort()


def _name(name: bytes) -> str:
    text = name.decode("latin-1").lower()
    if len(_NAMES) < _NAMES_AT_MOST and len(name) <= _NAME_AT_MOST:
        _NAMES[name] = text
    return text
