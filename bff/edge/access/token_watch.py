"""Asks issuers again about the opaque tokens of open streams, which live longer than an answer is believed.

Guarantees that a stream ends with `bye` `logout` within `INTERVAL` after the issuer has said that its token is not
active, where the last answer is no longer believed. While the issuer gives no answer the streams stay open: nobody is
signed out by an issuer's fault, and a stream ends at its age, after at most `live.age`, and needs a token then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from ...calls import Principal
from ...stores.background import Background
from .jwt import TokenVerifier

INTERVAL = 5.0
"""Seconds between two rounds."""
AT_ONCE = 16
"""Questions of a round under way at once: those of requests go first."""


class OpenStreams(Protocol):
    """The streams of this process."""

    @property
    def principals(self) -> Sequence[Principal]: ...

    def end_revoked(self, revoked: Callable[[Principal], bool]) -> None: ...


class TokenWatch(Background):
    """streams: returns the streams, which are made after this."""

    def __init__(self, verifier: TokenVerifier, streams: Callable[[], OpenStreams]) -> None:
        super().__init__("bff-token-watch", "opaque tokens of open streams are not checked")
        self._verifier = verifier
        self._streams = streams

    async def check(self) -> None:
        """One round: ask about each token that streams have, and end the streams of those that were refused."""
        streams, slots = self._streams(), asyncio.Semaphore(AT_ONCE)
        watched = {one.token: one for one in streams.principals if self._verifier.is_introspected(one)}

        refused: set[str] = set()

        async def ask(principal: Principal) -> None:
            async with slots:
                if not await self._verifier.is_active(principal):
                    refused.add(principal.token)

        await asyncio.gather(*(ask(one) for one in watched.values()))
        if refused:
            streams.end_revoked(lambda principal: principal.token in refused)

    async def _run(self, started: asyncio.Event) -> None:
        started.set()
        while True:
            await asyncio.sleep(INTERVAL)
            await self.check()
