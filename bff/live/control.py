"""Ends the streams of browser sessions that have ended, in all processes.

Guarantees that each process ends a session's streams as soon as any process publishes the end of the session. A process
that may have missed such a message (its pub/sub connection was away) asks the session store which of its sessions are
still open, until it gets an answer. Channel: `control` (after the prefix of `stores/keys.py`), JSON.
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

StillOpen = Callable[[Sequence[str]], Awaitable[set[str]]]
"""Returns those of the sessions (hashed ids) that have not ended. May raise StoreUnavailable."""

_BATCH = 500


class Control:
    """The hub runs `run()`. on_end: called with the hashed id of each session that ends, in any process. still_open:
    finds the sessions that have not ended; None when there are no sessions."""

    def __init__(
        self, redis: RedisClient, on_end: Callable[[str], None], still_open: StillOpen | None
    ) -> None:
        self._redis = redis
        self._on_end = on_end
        self._still_open = still_open
        self._streams: dict[str, list[Stream]] = {}
        self._missed = asyncio.Event()

    def add(self, stream: Stream) -> None:
        """Register a stream: it ends with its session, if it has one."""
        session = stream.principal.session
        if session is not None:
            self._streams.setdefault(session, []).append(stream)

    def drop(self, stream: Stream) -> None:
        """Forget a stream whose client has left."""
        session = stream.principal.session
        if session is not None:
            streams = self._streams[session]
            streams.remove(stream)
            if not streams:
                del self._streams[session]

    def end_here(self, session: str) -> None:
        """End the streams of this session in this process."""
        self._on_end(session)
        for stream in self._streams.get(session, ()):
            stream.end("logout", None)

    async def end(self, session: str) -> None:
        """End the streams of this session in every process. Never raises."""
        self.end_here(session)
        message = json.dumps({"end": "session", "session": session})
        try:
            with store_errors("control"):
                await self._redis.call("PUBLISH", CONTROL, message)
        except StoreUnavailable as error:
            log.warning("the end of a session could not be published to other processes: %s", error)

    def on_message(self, channel: str, data: bytes) -> None:
        """Handle a message of the control channel."""
        try:
            message = json.loads(data)
        except ValueError:
            return
        if isinstance(message, dict) and message.get("end") == "session":
            session = message.get("session")
            if isinstance(session, str):
                self.end_here(session)

    def check(self) -> None:
        """The end of a session may have been missed: ask the session store soon."""
        self._missed.set()

    async def run(self) -> None:
        """Ask the session store after each `check`, for ever. While Redis is away sessions end when they expire."""
        failures = 0
        while True:
            await self._missed.wait()
            self._missed.clear()
            try:
                await self._end_missed()
                failures = 0
            except StoreUnavailable as error:
                log.debug("it is unknown which sessions are still open: %s", error)
                failures += 1
                await asyncio.sleep(backoff(failures, 0.1, 5.0))
                self._missed.set()

    async def _end_missed(self) -> None:
        """End the streams of sessions that have ended."""
        if self._still_open is None:
            return
        sessions = list(self._streams)
        for start in range(0, len(sessions), _BATCH):
            batch = sessions[start : start + _BATCH]
            still_open = await self._still_open(batch)
            for session in batch:
                if session not in still_open:
                    self.end_here(session)
