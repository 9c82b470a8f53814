"""Sessions as this process last saw them: what carries signed-in people through an absence of Redis.

Promises that nobody is signed out because a store is away: what cannot be known is a 503. Bounded; holds tokens, so it
lives in memory only.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from ...calls import Clock
from ...stores.sessions import StoredSession
from ..problem import Problem
from ..settings import SessionSettings
from .session_record import SessionRecord

MAX_CACHED = 5000
"""Sessions remembered in a process; the least recently used one gives way and is read from Redis next time."""

READABLE_FOR = 300.0
"""Seconds a remembered session serves GETs while Redis is away."""


@dataclass(frozen=True, slots=True)
class CachedSession:
    """A session at its last look. stored: without its sealed part; seen: monotonic seconds."""

    record: SessionRecord
    stored: StoredSession
    seen: float


class SessionCache:
    """By hashed session id. clock is Unix seconds, monotonic is for ages."""

    def __init__(self, settings: SessionSettings, clock: Clock, monotonic: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._monotonic = monotonic
        self._known: OrderedDict[str, CachedSession] = OrderedDict()

    def get(self, id: str) -> CachedSession | None:
        return self._known.get(id)

    def put(self, id: str, known: CachedSession) -> CachedSession:
        self._known[id] = known
        self._known.move_to_end(id)
        if len(self._known) > MAX_CACHED:
            self._known.popitem(last=False)
        return known

    def drop(self, id: str) -> None:
        self._known.pop(id, None)

    def recall(self, id: str, safe: bool) -> CachedSession | None:
        """The session while Redis is away; None when it has ended. safe: for a request that only reads.

        Raises Problem 503 when it is not remembered, or was seen too long ago.
        """
        known, settings = self._known.get(id), self._settings
        if known is None or not settings.remembered:
            raise sessions_unavailable()
        age = self._monotonic() - known.seen
        if self._clock() >= known.stored.ends or age >= settings.idle:
            return None
        if age >= (READABLE_FOR if safe else settings.remembered):
            raise sessions_unavailable()
        return known


def sessions_unavailable() -> Problem:
    """The 503 for a session that cannot be looked up."""
    return Problem(
        503,
        "unavailable",
        "Sessions cannot be looked up at the moment. You are still signed in; try again shortly.",
        retry_after=1.0,
    )
