"""Revoked tokens, which are refused though they are signed and have not expired, and sessions that ended elsewhere.

Guarantees that a revocation takes effect on every gateway within a second, that a token is checked without I/O (two
look-ups in memory), and that the end of a session reaches streams here even when the message about it was lost. While
Redis is away the last list stays in force. A gateway that has not reached Redis since its start knows of no
revocation, and tokens are then valid until they expire.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...calls import Clock
from ...calls.principal import RevocationKeys
from ...stores.background import Background
from ...stores.keys import hashed
from ...stores.redis.client import StoreUnavailable
from ...stores.revocations import RevocationStore, Revoked

log = logging.getLogger("bff.session")

POLL_INTERVAL = 0.5
"""Seconds between two polls."""
OVERLAP = 1000
"""Milliseconds by which a poll reaches back beyond the last one: two ends may have the same millisecond."""


def revocation_keys_of(issuer: str, claims: Mapping[str, Any]) -> RevocationKeys:
    """What a token with these checked claims can be revoked by."""
    id = claims.get("jti")
    return RevocationKeys(
        hashed(issuer, id) if isinstance(id, str) else None,
        hashed(issuer, str(claims["sub"])),
        float(claims["iat"]),
    )


class RevocationList(Background):
    """This process's copy of the list in Redis. `start` returns after the first attempt to read it.

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
        super().__init__("bff-revocations", "new revocations are not read")
        self._store = store
        self._on_session_end = on_session_end
        self._on_change = on_change
        self._clock = clock
        self._revoked: set[Revoked] = set()
        self._tokens: set[str | None] = set()
        self._subjects: dict[str, float] = {}
        self._version = ""
        self._since: int | None = None

    def is_revoked(self, revocation_keys: RevocationKeys | None) -> bool:
        """Whether a token or session that can be revoked by these keys has been revoked; None: it cannot be."""
        return revocation_keys is not None and (
            revocation_keys.token in self._tokens
            or revocation_keys.issued <= self._subjects.get(revocation_keys.subject, float("-inf"))
        )

    async def poll(self) -> None:
        """Read what is new. Raises StoreUnavailable."""
        since = self._since
        news = await self._store.changes(self._version, 0 if since is None else since - OVERLAP)
        self._version, self._since = news.version, news.now
        if since is not None:
            for session in news.ended:
                self._on_session_end(session)
        if news.revoked is not None:
            self._merge(news.revoked)

    def _merge(self, entries: Sequence[Revoked]) -> None:
        """Add entries, and drop those that have expired. Known entries stay, also when Redis has lost its list."""
        known = self._revoked.union(entries)
        changed, now = len(known) > len(self._revoked), self._clock()
        self._revoked = {entry for entry in known if entry.until > now}
        self._tokens = {entry.key for entry in self._revoked if entry.at is None}
        self._subjects = {}
        for entry in self._revoked:
            if entry.at is not None:
                self._subjects[entry.key] = max(entry.at, self._subjects.get(entry.key, entry.at))
        if changed:
            self._on_change()

    async def _run(self, started: asyncio.Event) -> None:
        while True:
            try:
                await self.poll()
            except StoreUnavailable as error:
                log.debug("revocations cannot be read, the last ones stay in force: %s", error)
            started.set()
            await asyncio.sleep(POLL_INTERVAL)
