"""Browser sessions and their streams: what processes tell each other when one has ended.

Promises that each process ends a session's streams here as soon as any says so, and that one which may have missed it
(its pub/sub connection was away) asks until it is answered which of its sessions are still alive. Channel:
`bff:control`, JSON.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Sequence

from ..stores.redis.backoff import backoff
from ..stores.redis.client import RedisClient, StoreUnavailable, store_errors
from .stream import Stream

log = logging.getLogger("bff.live")

CONTROL = "bff:control"

Living = Callable[[Sequence[str]], Awaitable[set[str]]]

_BATCH = 500


class Control:
    """told: each hashed id of a session that ends, here or elsewhere. living: which of these ids are alive; None where
    there are no sessions. The hub runs `run()`."""

    def __init__(self, redis: RedisClient, told: Callable[[str], None], living: Living | None) -> None:
        self._redis = redis
        self._told = told
        self._living = living
        self._streams: dict[str, list[Stream]] = {}
        self._doubted = asyncio.Event()

    def add(self, stream: Stream) -> None:
        """It ends with its session, if it has one."""
        session = stream.principal.session
        if session is not None:
            self._streams.setdefault(session, []).append(stream)

    def drop(self, stream: Stream) -> None:
        """Its client is gone."""
        session = stream.principal.session
        if session is not None:
            mine = self._streams[session]
            mine.remove(stream)
            if not mine:
                del self._streams[session]

    def ended(self, session: str) -> None:
        """This session has ended, whoever found out."""
        self._told(session)
        for stream in self._streams.get(session, ()):
            stream.end("logout", None)

    async def end(self, session: str) -> None:
        """End it here and everywhere. Never raises."""
        self.ended(session)
        message = json.dumps({"end": "session", "session": session})
        try:
            with store_errors("control"):
                await self._redis.call("PUBLISH", CONTROL, message)
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
                self.ended(session)

    def doubt(self) -> None:
        """A logout may have gone unheard: ask."""
        self._doubted.set()

    async def run(self) -> None:
        """Ask whenever there is doubt, for ever; with Redis away sessions end at their own time."""
        failures = 0
        while True:
            await self._doubted.wait()
            self._doubted.clear()
            try:
                await self._ask()
                failures = 0
            except StoreUnavailable as error:
                log.debug("which sessions are alive cannot be asked: %s", error)
                failures += 1
                await asyncio.sleep(backoff(failures, 0.1, 5.0))
                self._doubted.set()

    async def _ask(self) -> None:
        if self._living is None:
            return
        asked = list(self._streams)
        for start in range(0, len(asked), _BATCH):
            batch = asked[start : start + _BATCH]
            alive = await self._living(batch)
            for session in batch:
                if session not in alive:
                    self.ended(session)
