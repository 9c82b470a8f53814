"""What processes tell each other: that a browser session has ended.

Promises that each process ends a session here as soon as any says so, and that one which may have missed it (its
pub/sub connection was away) asks which of its sessions are still alive. Channel: `bff:control`, JSON.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence

from ..stores.link import RedisLink, StoreUnavailable, reaching

log = logging.getLogger("bff.live")

CONTROL = "bff:control"

Living = Callable[[Sequence[str]], Awaitable[set[str]]]


class Control:
    """ended: told the hashed id of each session that ends, here or elsewhere. living: which of these ids are alive;
    None where there are no sessions."""

    def __init__(self, link: RedisLink, ended: Callable[[str], None], living: Living | None) -> None:
        self._link = link
        self._ended = ended
        self._living = living

    async def end(self, session: str) -> None:
        """End it here and everywhere. Never raises."""
        self._ended(session)
        message = json.dumps({"end": "session", "session": session})
        try:
            with reaching("control"):
                await self._link.client.publish(CONTROL, message)
        except StoreUnavailable as error:
            log.warning("other processes were not told of a logout: %s", error)

    def heard(self, channel: str, data: bytes) -> None:
        """What came on it."""
        try:
            message = json.loads(data)
        except ValueError:
            return
        if isinstance(message, dict) and message.get("end") == "session":
            session = message.get("session")
            if isinstance(session, str):
                self._ended(session)

    async def ask(self, sessions: Iterable[str]) -> None:
        """End those of the sessions that are not alive. Never raises: with Redis away they end at their own time."""
        asked = list(dict.fromkeys(sessions))
        if self._living is None or not asked:
            return
        try:
            alive = await self._living(asked)
        except StoreUnavailable as error:
            log.warning("which sessions are alive cannot be asked: %s", error)
            return
        for session in asked:
            if session not in alive:
                self._ended(session)
