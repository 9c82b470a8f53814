"""The wire for http(s) over aiohttp's session.

It follows the same rules as `HttpxWire` in a third of the CPU time. A call that is cancelled closes its own connection,
unless the response was whole, and no other (measured in tests/wire/test_cancellation.py).
"""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from ..network import Proxy, TlsTrust
from . import aiohttp_session
from .content_coding import decode_body
from .wire import WireInvalidResponse, WireRequest, WireResponse, WireResponseTooLarge


class AiohttpWire:
    """base_url: scheme, host, port and an optional path in front; connections: open at most; max_body: bytes of a
    response after decoding; at: connect to this IP address instead of asking DNS for the host; trust: the upstream's
    TLS settings; proxy: for the hosts that it applies to."""

    def __init__(
        self,
        base_url: str,
        *,
        connections: int,
        max_body: int,
        at: str | None = None,
        trust: TlsTrust | None = None,
        proxy: Proxy | None = None,
    ) -> None:
        parts = urlsplit(base_url)
        self._scheme, self._authority, self._prefix = parts.scheme, parts.netloc, parts.path
        self._connections = connections
        self._max_body = max_body
        self._at = at
        self._trust = trust
        self._proxy = proxy
        self._session: aiohttp.ClientSession | None = None

    async def send(self, request: WireRequest) -> WireResponse:
        session = self._session
        if session is None:
            # A session belongs to the loop it is opened on, and a wire may be made before the loop runs.
            session = self._session = aiohttp_session.session(
                self._connections, self._at, self._trust, self._proxy
            )
        aiohttp_session.opened.set(False)
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
            raise aiohttp_session.wire_error(error, responded=response is not None) from error
        finally:
            if response is not None:
                # The connection returns to the pool when the body was read to its end; otherwise it is closed.
                response.release()
        headers: dict[str, str] = {}
        for name, value in response.headers.items():
            name = name.lower()
            if request.passes(name):
                headers[name] = f"{headers[name]}, {value}" if name in headers else value
        # Several fields are several codings, in order (RFC 9110 section 8.4).
        coding = ", ".join(response.headers.getall("content-encoding", ())) or None
        return WireResponse(response.status, headers, decode_body(body, coding, self._max_body))

    def _url(self, target: str) -> URL:
        path, _, query = target.partition("?")
        # The path is already encoded: an escaped slash in a segment must reach the service unchanged. Building the URL
        # from parts costs a third of parsing it as a whole.
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
            raise WireInvalidResponse("it switched protocols")
        if response.headers.get("transfer-encoding", "chunked").lower() != "chunked":
            response.close()
            raise WireInvalidResponse("its transfer coding is not supported")
        length = response.content_length
        if length is not None and length > self._max_body:
            response.close()
            raise WireResponseTooLarge(f"more than {self._max_body} bytes")
        content = response.content
        whole = await content.readany()
        if content.at_eof():
            if len(whole) > self._max_body:
                raise WireResponseTooLarge(f"more than {self._max_body} bytes")
            return whole
        chunks = [whole]
        size = len(whole)
        while not content.at_eof():
            if size > self._max_body:
                response.close()
                raise WireResponseTooLarge(f"more than {self._max_body} bytes")
            chunk = await content.readany()
            size += len(chunk)
            chunks.append(chunk)
        if size > self._max_body:
            raise WireResponseTooLarge(f"more than {self._max_body} bytes")
        return b"".join(chunks)

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()
            # aiohttp closes its transports on the loop's next turn.
            await asyncio.sleep(0)
