"""Exchanges through aiohttp's session, as `exchange.py` promises them: the framing is aiohttp's or it is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from ..network import Proxy, TlsTrust
from . import aiohttp_session
from .exchange import ExchangeRequest
from .wire import WireInvalidResponse


class AiohttpExchangeResponse:
    """See `exchange.ExchangeResponse`."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers = [
            (name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in response.raw_headers
        ]

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._response.content.iter_any():
                yield chunk
        except (aiohttp.ClientError, OSError) as error:
            raise aiohttp_session.wire_error(error, responded=True) from error

    def close(self) -> None:
        if self._response.content.at_eof():
            self._response.release()
        else:
            self._response.close()


class AiohttpExchanges:
    """See `exchanges.Exchanges`."""

    def __init__(
        self,
        base_url: str,
        *,
        connections: int,
        at: str | None = None,
        trust: TlsTrust | None = None,
        proxy: Proxy | None = None,
    ) -> None:
        parts = urlsplit(base_url)
        self._scheme, self._authority, self._prefix = parts.scheme, parts.netloc, parts.path
        self._connections = connections
        self._at = at
        self._trust = trust
        self._proxy = proxy
        self._session: aiohttp.ClientSession | None = None

    async def open(self, request: ExchangeRequest) -> AiohttpExchangeResponse:
        session = self._session
        if session is None:
            session = self._session = aiohttp_session.session(
                self._connections, self._at, self._trust, self._proxy
            )
        aiohttp_session.opened.set(False)
        path, _, query = request.target.partition("?")
        url = URL.build(
            scheme=self._scheme,
            authority=self._authority,
            path=self._prefix + path,
            query_string=query,
            encoded=True,
        )
        headers = list(request.headers)
        if request.body is not None and request.length is not None:
            headers.append(("content-length", str(request.length)))
        failed: list[Exception] = []
        body = None if request.body is None else _watched(request.body, failed)
        try:
            response = await session.request(
                request.method, url, headers=headers, data=body, allow_redirects=False
            )
        except (aiohttp.ClientError, OSError) as error:
            if failed:
                raise failed[0] from error
            raise aiohttp_session.wire_error(error, responded=False) from error
        if (
            response.status == 101
            or response.headers.get("transfer-encoding", "chunked").lower() != "chunked"
        ):
            response.close()
            raise WireInvalidResponse("it switched protocols, or its transfer coding is not supported")
        return AiohttpExchangeResponse(response)

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()
            await asyncio.sleep(0)


async def _watched(body: AsyncIterator[bytes], failed: list[Exception]) -> AsyncIterator[bytes]:
    """The body; what it raises is kept, for the library reports a lost connection instead."""
    try:
        async for chunk in body:
            yield chunk
    except Exception as error:
        failed.append(error)
        raise
