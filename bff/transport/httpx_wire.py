"""The wire through the httpx API over aiohttp's connections.

Stock httpx leaks pool slots when calls are cancelled (encode/httpcore#1093), and a gateway's deadlines are
cancellations; over `AiohttpTransport` nothing is held. tests/wire/test_cancellation.py keeps the measurement.
"""

from __future__ import annotations

import ssl
from functools import lru_cache
from http.cookiejar import DefaultCookiePolicy

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from .wire import Answer, Request, WireBroken, WireTimeout, WireTooLarge

# Shorter than the five seconds after which common servers (uvicorn) close an idle connection, so that a write is not
# sent into one that is just being closed.
KEEP_ALIVE = 4.0


@lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    """One for all: reading the certificate authorities takes 30 ms, which a gateway would pay for each upstream."""
    return httpx.create_ssl_context(trust_env=False)


class HttpxWire:
    """base_url: scheme, host, port and an optional path in front; connections: open at most; max_body: bytes."""

    def __init__(self, base_url: str, *, connections: int, max_body: int) -> None:
        self._max_body = max_body
        self._base = base_url
        self._connections = connections
        self._client = httpx.AsyncClient(
            transport=AiohttpTransport(client=self._session, verify=_tls()),
            timeout=None,  # noqa: S113 - every call is cut by its own time limit, see chain.py
            trust_env=False,
            follow_redirects=False,
        )
        # An upstream's Set-Cookie must never travel on to another caller's request.
        self._client.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._client.headers.clear()

    def _session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._connections, keepalive_timeout=KEEP_ALIVE),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
        )

    async def send(self, request: Request) -> Answer:
        outgoing = httpx.Request(
            request.method, self._base + request.target, headers=dict(request.headers), content=request.body
        )
        answered = False
        try:
            response = await self._client.send(outgoing, stream=True)
            answered = True
            try:
                body = await self._read(response)
            finally:
                await response.aclose()
        except (httpx.HTTPError, aiohttp.ClientError) as error:
            raise _wire_error(error, answered) from error
        return Answer(response.status_code, dict(response.headers), body)

    async def _read(self, response: httpx.Response) -> bytes:
        chunks: list[bytes] = []
        size = 0
        async for chunk in response.aiter_bytes():
            size += len(chunk)
            if size > self._max_body:
                raise WireTooLarge(f"more than {self._max_body} bytes")
            chunks.append(chunk)
        return b"".join(chunks)

    async def close(self) -> None:
        await self._client.aclose()


def _wire_error(error: Exception, answered: bool) -> WireBroken | WireTimeout:
    # The transport maps every lost connection to httpx.ConnectTimeout; only aiohttp's own exception tells the two
    # apart.
    cause = error.__cause__ or error
    if isinstance(cause, TimeoutError | aiohttp.ServerTimeoutError):
        return WireTimeout(type(cause).__name__)
    connecting = isinstance(cause, aiohttp.ClientConnectorError)
    lost = isinstance(cause, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError) and not connecting
    return WireBroken(type(cause).__name__, dropped=lost and not answered)
