"""The wire through the httpx API over aiohttp's connections.

Stock httpx leaks pool slots when calls are cancelled (encode/httpcore#1093), and a gateway's deadlines are
cancellations; over `AiohttpTransport` nothing is held. tests/wire/test_cancellation.py keeps the measurement.
"""

from __future__ import annotations

from http.cookiejar import DefaultCookiePolicy

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from . import connections as links
from .coding import decoded
from .headers import PASSED_ON
from .tls import TlsTrust
from .wire import Answer, Request, WireBroken, WireInvalid, WireTimeout, WireTooLarge


class HttpxWire:
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
        self._max_body = max_body
        self._base = base_url
        self._client = httpx.AsyncClient(
            transport=AiohttpTransport(
                client=lambda: links.session(connections, at, trust),
                # Used by nothing, but made anew for 30 ms where it is not given.
                verify=links.tls(),
            ),
            timeout=None,  # noqa: S113 - every call is cut by its own time limit, see chain.py
            trust_env=False,
            follow_redirects=False,
        )
        # An upstream's Set-Cookie must never travel on to another caller's request.
        self._client.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._client.headers.clear()

    async def send(self, request: Request) -> Answer:
        outgoing = httpx.Request(
            request.method, self._base + request.target, headers=dict(request.headers), content=request.body
        )
        answered = False
        links.opened.set(False)
        try:
            response = await self._client.send(outgoing, stream=True)
            answered = True
            try:
                if response.status_code == 101:
                    raise WireInvalid("it switched protocols")
                if response.headers.get("transfer-encoding", "chunked").lower() != "chunked":
                    raise WireInvalid("its transfer coding is unknown")
                body = await self._read(response)
            finally:
                await response.aclose()
        except (httpx.HTTPError, aiohttp.ClientError) as error:
            raise _wire_error(error, answered) from error
        headers = {name: value for name, value in response.headers.items() if name in PASSED_ON}
        body = decoded(body, response.headers.get("content-encoding"), self._max_body)
        return Answer(response.status_code, headers, body)

    async def _read(self, response: httpx.Response) -> bytes:
        chunks: list[bytes] = []
        size = 0
        async for chunk in response.aiter_raw():
            size += len(chunk)
            if size > self._max_body:
                raise WireTooLarge(f"more than {self._max_body} bytes")
            chunks.append(chunk)
        return b"".join(chunks)

    async def close(self) -> None:
        await self._client.aclose()


def _wire_error(error: Exception, answered: bool) -> WireBroken | WireInvalid | WireTimeout:
    # The transport maps every lost connection to httpx.ConnectTimeout; only aiohttp's own exception tells the two
    # apart.
    found = error if isinstance(error, aiohttp.ClientError) else error.__cause__ or error
    return links.wire_error(found, answered=answered)
