"""The body of a request that offers another protocol (`Upgrade`, RFC 9110 section 7.8), which is ignored here.

httptools takes whatever follows such a head for the other protocol and parses no body. So the body is given to a second
parser, which is told how the head framed it and nothing else. h2c is offered in this way by `curl --http2` and by
Java's HttpClient, with whatever request comes first.
"""

from __future__ import annotations

from typing import Protocol

import httptools

from .head import Head


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
