"""What the tests of sessions share: a store of sessions in memory, on an event loop where waiting takes no time.

The table holds what a SessionStore holds, by the clock of the loop, and fails where a test says so. How the real store
works is tested against a real server in tests/redis.
"""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any

from bff.edge.access.session_record import SessionKey, SessionRecord, TokenSet
from bff.stores.redis.client import StoreUnavailable
from bff.stores.sessions import SessionStore, StoredSession

from ...hasty import HastyLoop
from .issuing import ISSUER, NOW, b64

GUARD = 1e8
"""Seconds of the loop after which a test counts as hanging."""


def in_virtual_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test where sleeping takes no time and every moment is exact."""

    @functools.wraps(test)
    def run(*args: Any, **named: Any) -> None:
        async def guarded() -> None:
            async with asyncio.timeout(GUARD):
                await test(*args, **named)

        with asyncio.Runner(loop_factory=HastyLoop) as runner:
            runner.run(guarded())

    return run


def monotonic() -> float:
    return asyncio.get_running_loop().time()


def clock() -> float:
    """Unix seconds: the test began at NOW."""
    return NOW + monotonic()


def record(
    left: float = 300.0,
    *,
    lasts: float = 300.0,
    refresh: str | None = "r1",
    provider: str = "",
    scopes: frozenset[str] | None = frozenset({"shop"}),
) -> SessionRecord:
    """A session of Ada. left: seconds until its access token `a1` expires, of `lasts` in all."""
    ends = NOW + left
    tokens = TokenSet("a1", ends - lasts, ends, scopes, refresh, "id1")
    return SessionRecord(
        ISSUER, "ada", "s1", {"name": "Ada"}, tokens, frozenset({"agent"}), NOW - 9, "gold", provider
    )


@dataclass
class Row:
    """put: what `SessionStore.put` was called with."""

    sealed: bytes
    stored: StoredSession
    put: dict[str, Any]


@dataclass
class SessionTable(SessionStore):
    """rows, redirects: what is stored; holders: the locks; asked: the calls so far, as name, id and what they said
    more. failing: names of calls that find Redis away; before: called by name before a call does anything."""

    rows: dict[str, Row] = field(default_factory=dict)
    redirects: dict[str, tuple[bytes, float]] = field(default_factory=dict)
    holders: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[Any, ...]] = field(default_factory=list)
    failing: set[str] = field(default_factory=set)
    before: dict[str, Callable[[], Awaitable[None]]] = field(default_factory=dict)

    async def _call(self, name: str, id: str, *more: Any) -> None:
        self.asked.append((name, id, *more))
        if (act := self.before.get(name)) is not None:
            await act()
        if name in self.failing or "all" in self.failing:
            raise StoreUnavailable("away")

    def names(self) -> list[str]:
        return [name for name, *_ in self.asked]

    def begin(self, given: SessionRecord, *, version: int = 1, began: float = NOW) -> SessionKey:
        """Store a session as another gateway would have."""
        key = SessionKey.new()
        stored = StoredSession(version, NOW + 28_800, None, began, "hash of ada", "hash of s1")
        self.rows[key.id] = Row(key.seal(given), stored, {})
        return key

    def renew(self, key: SessionKey, given: SessionRecord) -> None:
        """Another gateway has refreshed the session."""
        row = self.rows[key.id]
        row.sealed, row.stored = key.seal(given), replace(row.stored, version=row.stored.version + 1)

    def read(self, key: SessionKey) -> SessionRecord | None:
        return key.open(self.rows[key.id].sealed)

    async def put(self, id: str, sealed: bytes, **said: Any) -> StoredSession:
        await self._call("put", id)
        stored = StoredSession(1, clock() + said["lifetime"], None, NOW, "hash of ada", "hash of s1")
        self.rows[id] = Row(sealed, stored, said)
        return stored

    async def open(
        self, id: str, *, idle: float | None, known: StoredSession | None = None
    ) -> StoredSession | None:
        await self._call("open", id, idle, known)
        if (row := self.rows.get(id)) is None:
            return None
        current = known is not None and known.version == row.stored.version
        return replace(row.stored, sealed=None if current else row.sealed)

    async def lock(self, id: str, holder: str) -> bool:
        await self._call("lock", id, holder)
        return self.holders.setdefault(id, holder) == holder

    async def unlock(self, id: str, holder: str) -> None:
        await self._call("unlock", id, holder)
        if self.holders.get(id) == holder:
            del self.holders[id]

    async def swap(self, id: str, version: int, sealed: bytes, holder: str) -> bool:
        await self._call("swap", id, version, monotonic())
        row = self.rows.get(id)
        if row is None or row.stored.version != version:
            return False
        row.sealed, row.stored = sealed, replace(row.stored, version=version + 1)
        if self.holders.get(id) == holder:
            del self.holders[id]
        return True

    async def end(self, id: str, *, version: int | None = None) -> bytes | None:
        await self._call("end", id, version)
        row = self.rows.get(id)
        if row is None or version not in (None, row.stored.version):
            return None
        return self.rows.pop(id).sealed

    async def end_in_batches(
        self, issuer: str, *, sid: str | None = None, subject: str | None = None
    ) -> AsyncIterator[list[str]]:
        await self._call("end_in_batches", issuer, sid, subject)
        while self.rows:
            ids = list(self.rows)[:120]
            for id in ids:
                del self.rows[id]
            yield ids

    async def put_logout_redirect(self, id: str, sealed: bytes, *, keep: float) -> None:
        await self._call("put_logout_redirect", id)
        self.redirects[id] = sealed, keep

    async def take_logout_redirect(self, id: str) -> bytes | None:
        await self._call("take_logout_redirect", id)
        found = self.redirects.pop(id, None)
        return None if found is None else found[0]


def unsigned(**claims: Any) -> str:
    """An ID token as it comes with a refresh; its signature does not matter there."""
    return f"{b64(json.dumps({'alg': 'ES256'}).encode())}.{b64(json.dumps(claims).encode())}.{b64(b's' * 64)}"
