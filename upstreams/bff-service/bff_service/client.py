"""Calls to other services: the httpx API over aiohttp's connections, and the service's own token. Guarantees bounded
pools and timeouts, and one fetch of the token for all callers. Refuses retries, redirects, cookies and proxies.

Of this pairing: a connection that breaks in the middle of an answer may arrive as `httpx.ConnectTimeout`, so no
`httpx.TransportError` proves that the other side did nothing. Retry only what carries an idempotency key."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from bff_service.tracing import current_trace, span


class _TracedTransport(AiohttpTransport):
    """Sends the current trace along on every call, and makes a client span of it."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if current_trace() is None:
            return await super().handle_async_request(request)
        url = request.url
        about: dict[str, str | int | bool] = {
            "http.request.method": request.method,
            # Without the query, which may hold what no trace should.
            "url.full": f"{url.scheme}://{url.netloc.decode('ascii', 'replace').rpartition('@')[2]}{url.path}",
            "server.address": url.host,
            "server.port": url.port or (443 if url.scheme == "https" else 80),
        }
        with span(request.method, "client", about) as made:
            for name, value in made.context.headers().items():
                request.headers.setdefault(name, value)
            response = await super().handle_async_request(request)
            made.attributes["http.response.status_code"] = response.status_code
            if response.status_code >= 400:
                made.error = str(response.status_code)
            return response


def http_client(
    base_url: str = "", *, timeout: float = 5.0, connections: int = 100, keepalive: float = 15.0
) -> httpx.AsyncClient:
    """A client for one service; the current request's trace and correlation id go along on every call.

    `timeout` in seconds for each of connect, read, write and pool; `keepalive` seconds an idle connection stays.
    Make it inside the running loop's lifetime and close it with `aclose()`.
    """

    def session() -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=connections, keepalive_timeout=keepalive),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    return httpx.AsyncClient(
        base_url=base_url,
        timeout=timeout,
        trust_env=False,
        transport=_TracedTransport(client=session),
    )


class ServiceToken:
    """This service's own access token, by the client credentials grant (RFC 6749, section 4.4).

    Fetched on first use, kept until 30 s before its end, one fetch at a time whatever the number of callers.
    `get()` raises `httpx.HTTPError` when identity does not answer or refuses.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        token_url: str,
        *,
        client_id: str,
        client_secret: str,
        scope: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._url = token_url
        self._auth = httpx.BasicAuth(client_id, client_secret)
        self._scope = scope
        self._clock = clock
        self._lock = asyncio.Lock()
        self._token = ""
        self._until = float("-inf")

    async def get(self) -> str:
        """A token with at least 30 s of life, or half of its life where that is shorter."""
        if self._clock() < self._until:
            return self._token
        async with self._lock:
            if self._clock() < self._until:
                return self._token
            asked = self._clock()
            form = {"grant_type": "client_credentials", "scope": self._scope}
            answer = await self._client.post(self._url, data=form, auth=self._auth)
            answer.raise_for_status()
            grant = answer.json()
            life = float(grant.get("expires_in", 60))
            self._token = str(grant["access_token"])
            self._until = asked + max(life - 30.0, life / 2)
            return self._token

    def forget(self) -> None:
        """Drop the token: the next `get()` fetches a new one (after a 401)."""
        self._until = float("-inf")

    async def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {await self.get()}"}
