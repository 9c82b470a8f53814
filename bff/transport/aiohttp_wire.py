"""The wire for plain http(s): aiohttp's session without anything between it and the port.

The same rules as `HttpxWire`, a third of the CPU time. A call that is cancelled closes its connection unless the answer
was whole, and nothing else: tests/wire/test_cancellation.py keeps the measurement.
"""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from . import connections as links
from .coding import decoded
from .headers import PASSED_ON
from .tls import TlsTrust
from .wire import Answer, Request, WireInvalid, WireTooLarge


class AiohttpWire:
    """base_url: scheme, host, port and an optional path in front; connections: open at most; max_body: bytes of an
    answer after decoding; at: connect to this IP address instead of asking DNS for the host; trust: TLS of its own."""

    def __init__(
        self,
        base_url: str,
        *,
        connections: int,
        max_body: int,
        at: str | None = None,
        trust: TlsTrust | None = None,
    ) -> None:
        parts = urlsplit(base_url)
        self._scheme, self._authority, self._prefix = parts.scheme, parts.netloc, parts.path
        self._connections = connections
        self._max_body = max_body
        self._at = at
        self._trust = trust
        self._session: aiohttp.ClientSession | None = None

    async def send(self, request: Request) -> Answer:
        session = self._session
        if session is None:
            # A session belongs to the loop it is opened on, and a wire may be made before there is one.
            session = self._session = links.session(self._connections, self._at, self._trust)
        links.opened.set(False)
        response: aiohttp.ClientResponse | None = None
        try:
            response = await session.request(
                request.method,
                self._url(request.target),
                headers=request.headers,
                data=request.body,
                allow_redirects=False,
            )
            body = await self._read(response)
        except (aiohttp.ClientError, OSError) as error:
            raise links.wire_error(error, answered=response is not None) from error
        finally:
            if response is not None:
                # Back to the pool when the body was read to its end, closed otherwise.
                response.release()
        headers: dict[str, str] = {}
        for name, value in response.headers.items():
            name = name.lower()
            if name in PASSED_ON:
                headers[name] = f"{headers[name]}, {value}" if name in headers else value
        # Several fields are several codings, in order (RFC 9110 section 8.4).
        coding = ", ".join(response.headers.getall("content-encoding", ())) or None
        return Answer(response.status, headers, decoded(body, coding, self._max_body))

    def _url(self, target: str) -> URL:
        path, _, query = target.partition("?")
        # Already encoded: an escaped slash in a segment must reach the service as it is. Built of its parts it costs
        # a third of what the whole one costs to be taken apart.
        return URL.build(
            scheme=self._scheme,
            authority=self._authority,
            path=self._prefix + path,
            query_string=query,
            encoded=True,
        )

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        if response.status == 101:
            response.close()
            raise WireInvalid("it switched protocols")
        if response.headers.get("transfer-encoding", "chunked").lower() != "chunked":
            response.close()
            raise WireInvalid("its transfer coding is unknown")
        length = response.content_length
        if length is not None and length > self._max_body:
            response.close()
            raise WireTooLarge(f"more than {self._max_body} bytes")
        content = response.content
        whole = await content.readany()
        if content.at_eof():
            if len(whole) > self._max_body:
                raise WireTooLarge(f"more than {self._max_body} bytes")
            return whole
        chunks = [whole]
        size = len(whole)
        while not content.at_eof():
            if size > self._max_body:
                response.close()
                raise WireTooLarge(f"more than {self._max_body} bytes")
            chunk = await content.readany()
            size += len(chunk)
            chunks.append(chunk)
        if size > self._max_body:
            raise WireTooLarge(f"more than {self._max_body} bytes")
        return b"".join(chunks)

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()
            # aiohttp closes its transports on the loop's next turn.
            await asyncio.sleep(0)
