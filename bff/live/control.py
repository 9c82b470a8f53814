"""Browser sessions and their streams: what processes tell each other when a session has ended.

Promises that each process ends a session's streams as soon as any process reports its end, and that a process which may
have missed that (its pub/sub connection was away) asks until it is answered which of its sessions are still valid.
Channel: `control` (after the prefix of `stores/keys.py`), JSON.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Sequence

from ..stores.keys import plain_name
from ..stores.redis.backoff import backoff
from ..stores.redis.client import RedisClient, StoreUnavailable, store_errors
from .stream import Stream

log = logging.getLogger("bff.live")

CONTROL = plain_name("control")

Living = Callable[[Sequence[str]], Awaitable[set[str]]]

_BATCH = 500


class Control:
    """The hub runs `run()`. on_end: called with the hashed id of each session that ends, here or elsewhere. living:
    which of these ids are valid; None where there are no sessions."""

    def __init__(self, redis: RedisClient, on_end: Callable[[str], None], living: Living | None) -> None:
        self._redis = redis
        self._on_end = on_end
        self._living = living
        self._streams: dict[str, list[Stream]] = {}
        self._missed = asyncio.Event()

    def add(self, stream: Stream) -> None:
        """It ends with its session, if it has one."""
        session = stream.principal.session
        if session is not None:
            self._streams.setdefault(session, []).append(stream)

    def drop(self, stream: Stream) -> None:
        """Its client has left."""
        session = stream.principal.session
        if session is not None:
            streams = self._streams[session]
            streams.remove(stream)
            if not streams:
                del self._streams[session]

    def end_here(self, session: str) -> None:
        """This session has ended: end its streams in this process."""
        self._on_end(session)
        for stream in self._streams.get(session, ()):
            stream.end("logout", None)

    async def end(self, session: str) -> None:
        """End its streams in every process. Never raises."""
        self.end_here(session)
        message = json.dumps({"end": "session", "session": session})
        try:
            with store_errors("control"):
                await self._redis.call("PUBLISH", CONTROL, message)
        except StoreUnavailable as error:
            log.warning("other processes could not be told that a session ended: %s", error)

    def on_message(self, channel: str, data: bytes) -> None:
        """Handle what was published to the control channel."""
        try:
            message = json.loads(data)
        except ValueError:
            return
        if isinstance(message, dict) and message.get("end") == "session":
            session = message.get("session")
            if isinstance(session, str):
                self.end_here(session)

    def check(self) -> None:
        """The end of a session may have been missed: ask."""
        self._missed.set()

    async def run(self) -> None:
        """Ask whenever something may have been missed, for ever. While Redis is away sessions end when they expire."""
        failures = 0
        while True:
            await self._missed.wait()
            self._missed.clear()
            try:
                await self._ask()
                failures = 0
            except StoreUnavailable as error:
                log.debug("which sessions are valid cannot be asked: %s", error)
                failures += 1
                await asyncio.sleep(backoff(failures, 0.1, 5.0))
                self._missed.set()

    async def _ask(self) -> None:
        if self._living is None:
            return
        asked = list(self._streams)
        for start in range(0, len(asked), _BATCH):
            batch = asked[start : start + _BATCH]
            alive = await self._living(batch)
            for session in batch:
                if session not in alive:
                    self.end_here(session)
