"""Revoked tokens, which are refused though they are signed and have not expired, and sessions that ended elsewhere.

Guarantees that a revocation takes effect on every gateway within a second, that a token is checked without I/O (two
dictionary look-ups), and that the end of a session reaches streams here even when the message about it was lost. While
Redis is away the last list stays in force. A gateway that has not reached Redis since its start knows of no
revocation, and tokens are then valid until they expire.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...calls import Clock
from ...calls.principal import RevocationKeys
from ...calls.shutdown import cancel_tasks
from ...stores.keys import hashed
from ...stores.redis.client import StoreUnavailable
from ...stores.revocations import RevocationStore, Revoked

log = logging.getLogger("bff.session")

POLL_INTERVAL = 0.5
"""Seconds between two polls."""
OVERLAP = 1000
"""Milliseconds by which a poll reaches back beyond the last one: two ends may have the same millisecond."""


def marks_of(issuer: str, claims: Mapping[str, Any]) -> RevocationKeys:
    """What a token with these checked claims can be revoked by."""
    id = claims.get("jti")
    return RevocationKeys(
        hashed(issuer, id) if isinstance(id, str) else None,
        hashed(issuer, str(claims["sub"])),
        float(claims["iat"]),
    )


class RevocationList:
    """This process's copy of the list in Redis.

    on_session_end  called with the id of each session that ended on any gateway
    on_change       called when something was added
    clock           Unix seconds
    """

    def __init__(
        self,
        store: RevocationStore,
        *,
        on_session_end: Callable[[str], None] = lambda session: None,
        on_change: Callable[[], None] = lambda: None,
        clock: Clock = time.time,
    ) -> None:
        self._store = store
        self._on_session_end = on_session_end
        self._on_change = on_change
        self._clock = clock
        self._tokens: dict[str, float] = {}
        self._subjects: dict[str, Revoked] = {}
        self._version = ""
        self._since: int | None = None
        self._task: asyncio.Task[None] | None = None

    def is_revoked(self, revocation_keys: RevocationKeys) -> bool:
        if revocation_keys.token in self._tokens:
            return True
        subject = self._subjects.get(revocation_keys.subject)
        return subject is not None and subject.at is not None and revocation_keys.issued <= subject.at

    async def record_session_end(self, session: str) -> None:
        """Let every gateway's next poll find that a session has ended. Raises StoreUnavailable."""
        await self._store.record_session_end(session)

    async def poll(self) -> None:
        """Read what is new. Raises StoreUnavailable."""
        since = self._since
        news = await self._store.changes(self._version, 0 if since is None else since - OVERLAP)
        self._version, self._since = news.version, news.now
        if since is not None:
            for session in news.ended:
                self._on_session_end(session)
        if news.revoked is not None and self._merge(news.revoked):
            self._on_change()

    def _merge(self, entries: Sequence[Revoked]) -> bool:
        """Add entries, and drop those that may be forgotten; returns whether one is new. Known entries stay, also when
        Redis has lost its list."""
        changed, now = False, self._clock()
        for entry in entries:
            known = self._subjects.get(entry.key)
            if entry.at is None:
                changed |= entry.key not in self._tokens
                self._tokens[entry.key] = entry.until
            elif known is None or known.at is None or known.at < entry.at:
                changed = True
                self._subjects[entry.key] = entry
        self._tokens = {key: until for key, until in self._tokens.items() if until > now}
        self._subjects = {key: entry for key, entry in self._subjects.items() if entry.until > now}
        return changed

    async def start(self) -> None:
        """Read the list, if Redis is there, and keep polling."""
        with contextlib.suppress(StoreUnavailable):
            await self.poll()
        self._task = asyncio.create_task(self._run(), name="bff-revocations")

    async def stop(self) -> None:
        if self._task is not None:
            await cancel_tasks([self._task])

    @property
    def alive(self) -> bool:
        """False when polling has ended though nobody stopped it."""
        return self._task is not None and not self._task.done()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(POLL_INTERVAL)
            try:
                await self.poll()
            except StoreUnavailable as error:
                log.debug("revocations cannot be read, the last ones stay in force: %s", error)
