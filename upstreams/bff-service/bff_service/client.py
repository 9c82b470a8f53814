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

from bff_service.tracing import current_trace


async def _trace_headers(request: httpx.Request) -> None:
    context = current_trace()
    if context is not None:
        for name, value in context.headers().items():
            request.headers.setdefault(name, value)


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
        transport=AiohttpTransport(client=session),
        event_hooks={"request": [_trace_headers]},
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
