"""Answers to HTTP/1.0, which knows no chunks (RFC 9112, 6.1): one whose length is not known beforehand ends with the
connection, and everything else about it is uvicorn's.
"""

from __future__ import annotations

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle


class Unframed(RequestResponseCycle):
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


def answering(cycle: RequestResponseCycle) -> RequestResponseCycle:
    """The same request, answered as its version of HTTP has it."""
    if cycle.scope["http_version"] == "1.0":
        cycle.__class__ = Unframed
    return cycle
