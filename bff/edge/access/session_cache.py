"""The sessions that this process has read from Redis, for requests that come while Redis is away.

Guarantees that nobody is signed out because Redis is away: where a session cannot be looked up, the answer is 503. The
cache is bounded. It holds tokens, so it is in memory only.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from dataclasses import dataclass, replace

from ...calls import Clock
from ...policies.breaker import Breaker, BreakerRule
from ...stores.redis.client import StoreUnavailable
from ...stores.sessions import SessionStore, StoredSession
from ..problem import Problem
from ..settings import SessionSettings
from .session_record import SessionKey, SessionRecord

log = logging.getLogger("bff.session")

MAX_CACHED = 5000
"""Sessions cached in a process; the least recently used one is dropped and read from Redis next time."""
MAX_BYTES = 64_000_000
"""Bytes of the tokens and claims of these sessions, about; the same holds."""

READABLE_FOR = 300.0
"""Seconds since its last read for which a cached session serves GETs while Redis is away."""


@dataclass(frozen=True, slots=True)
class CachedSession:
    """A session as of its last read. stored: without its sealed part; read_at: monotonic seconds; size: bytes."""

    record: SessionRecord
    stored: StoredSession
    read_at: float
    size: int


class SessionCache:
    """clock is Unix seconds, monotonic is for ages."""

    def __init__(
        self, store: SessionStore, settings: SessionSettings, clock: Clock, monotonic: Clock
    ) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock
        self._monotonic = monotonic
        self._sessions: OrderedDict[str, CachedSession] = OrderedDict()
        self._size = 0
        # Without the breaker every request would wait for the timeout of a Redis that hangs.
        self._breaker = Breaker(BreakerRule(failures=3, open_for=1.0, open_at_most=1.0), monotonic)

    async def get(self, key: SessionKey, *, safe: bool, used: bool) -> CachedSession | None:
        """The session, from the cache while Redis is away; None when it has ended.

        safe  the request only reads
        used  the request counts as use of the session
        Raises Problem 503 when it is not cached, or was read too long ago.
        """
        if self._breaker.admit() is not None:
            return self._cached(key.id, safe)
        generation = self._breaker.generation
        try:
            found = await self.read(key, used=used)
        except StoreUnavailable as error:
            self._breaker.record_failure(generation)
            log.debug("sessions cannot be read: %s", error)
            return self._cached(key.id, safe)
        except BaseException:
            self._breaker.record_abandoned(generation)
            raise
        self._breaker.record_success(generation)
        return found

    async def read(self, key: SessionKey, *, used: bool = False) -> CachedSession | None:
        """The session as it is in Redis now; None when it has ended. Raises StoreUnavailable."""
        cached = self._sessions.get(key.id)
        row = await self._store.open(
            key.id,
            idle=self._settings.idle if used else None,
            known=None if cached is None else cached.stored,
        )
        if row is None:
            self.drop(key.id)
            return None
        record = cached.record if cached is not None else None
        if row.sealed is not None:
            record, row = key.open(row.sealed), replace(row, sealed=None)
        # A record that does not name its subject could not be revoked with it.
        return self.put(key.id, record, row) if record is not None and row.subject else None

    def put(self, id: str, record: SessionRecord, stored: StoredSession) -> CachedSession:
        before = self._sessions.pop(id, None)
        known = before is not None and before.record is record
        size = before.size if before is not None and known else _size_of(record)
        cached = self._sessions[id] = CachedSession(record, stored, self._monotonic(), size)
        self._size += size - (0 if before is None else before.size)
        while len(self._sessions) > MAX_CACHED or (self._size > MAX_BYTES and len(self._sessions) > 1):
            self._size -= self._sessions.popitem(last=False)[1].size
        return cached

    def drop(self, id: str) -> None:
        dropped = self._sessions.pop(id, None)
        if dropped is not None:
            self._size -= dropped.size

    def _cached(self, id: str, safe: bool) -> CachedSession | None:
        cached, settings = self._sessions.get(id), self._settings
        if cached is None or not settings.remembered:
            raise sessions_unavailable()
        age = self._monotonic() - cached.read_at
        if self._clock() >= cached.stored.ends or age >= settings.idle:
            return None
        if age >= (READABLE_FOR if safe else settings.remembered):
            raise sessions_unavailable()
        return cached


def _size_of(record: SessionRecord) -> int:
    given = record.tokens
    tokens = (given.access_token, given.refresh_token, given.id_token)
    return 2_000 + sum(len(token or "") for token in tokens) + len(str(record.claims))


def sessions_unavailable() -> Problem:
    """The 503 for a session that cannot be looked up."""
    return Problem(
        503,
        "unavailable",
        "Sessions cannot be looked up at the moment. You are still signed in; try again shortly.",
        retry_after=1.0,
    )
