"""Back-channel logout: tells the gateway that a sign-in has ended (OpenID Connect Back-Channel Logout 1.0 section 2.5).

Guarantees one attempt for each ended sign-in, within five seconds; a gateway that does not take it is logged. At most
100 attempts run at once; a further one is dropped and logged.
"""

from __future__ import annotations

import asyncio
import logging

import httpx
from httpx_aiohttp import AiohttpTransport

from .state import SignIn
from .tokens import TokenIssuer

log = logging.getLogger("bff.sign_in")

MOST = 100
TIMEOUT = 5.0


class BackchannelLogout:
    """uri: where the gateway takes logout tokens."""

    def __init__(self, uri: str, tokens: TokenIssuer) -> None:
        self._uri, self._tokens = uri, tokens
        self._client = httpx.AsyncClient(transport=AiohttpTransport(), timeout=TIMEOUT, trust_env=False)
        self._running: set[asyncio.Task[None]] = set()

    def announce(self, one: SignIn) -> None:
        """Tell the gateway, in the background."""
        if len(self._running) >= MOST:
            log.warning("too many logouts at once: the gateway is not told of one")
            return
        task = asyncio.create_task(self._send(one), name="back-channel logout")
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _send(self, one: SignIn) -> None:
        try:
            answer = await self._client.post(self._uri, data={"logout_token": self._tokens.logout_token(one)})
        except httpx.HTTPError as error:
            log.warning("the gateway was not told of a logout: %s", type(error).__name__)
            return
        if answer.status_code not in (200, 204):
            log.warning("the gateway answered a logout with %d", answer.status_code)

    async def close(self) -> None:
        """End what is under way."""
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(list(self._running), timeout=TIMEOUT)
        await self._client.aclose()
