"""Browser sessions in Redis: sealed records by the hash of their id, their lock, and the indexes that logout needs.

Keys, all with a TTL; `<id>` is the hash of the cookie's value, so nothing here lets anyone in:

    bff:{session:<id>}:record    hash: sealed (opaque to this store), version, ends (Unix ms); until idle or ended
    bff:{session:<id>}:refresh   who is refreshing its tokens right now; 18 s
    bff:{sid:<h>}:sessions       sorted set of ids by end: the sessions of one session at the provider
    bff:{sub:<h>}:sessions       the same by subject; `<h>` is a hash of issuer and value; at most 1,000 each
    bff:{logout:<h>}:seen        a back-channel logout token that was carried out; until it expires

Time is Redis's own, so gateways whose clocks differ agree on when a session ends. Every method raises
StoreUnavailable when Redis is away.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from .redis.link import RedisLink, granted, reaching

LOCK = 18.0
"""Seconds a refresh may hold its lock: longer than a redemption and every attempt to store can take."""

INDEXED = 1000
"""Sessions indexed under one subject or one sid; beyond it the oldest end only by themselves."""


@dataclass(frozen=True, slots=True)
class StoredSession:
    """version: counts refreshes from 1; ends: Unix seconds; sealed: None when the asker has this version already."""

    version: int
    ends: float
    sealed: bytes | None


def _record(id: str) -> str:
    return f"bff:{{session:{id}}}:record"


def _lock(id: str) -> str:
    return f"bff:{{session:{id}}}:refresh"


def hashed(issuer: str, value: str) -> str:
    """Names a subject, a session or a token of an issuer without saying who: 32 hex digits."""
    return hashlib.sha256(f"{len(issuer)}:{issuer}{value}".encode()).hexdigest()[:32]


def _ms(seconds: float) -> int:
    return max(1, int(seconds * 1000))


class SessionStore:
    """`lifetime` and `idle` are seconds throughout."""

    def __init__(self, link: RedisLink) -> None:
        self._link = link
        self._put = link.script("session_put")
        self._open = link.script("session_open")
        self._swap = link.script("session_swap")
        self._end = link.script("session_end")
        self._unlock = link.script("session_unlock")
        self._index = link.script("session_index")

    async def put(
        self,
        id: str,
        sealed: bytes,
        *,
        issuer: str,
        subject: str,
        sid: str | None,
        lifetime: float,
        idle: float,
    ) -> float:
        """Store a new session; returns when it ends, Unix seconds."""
        # The indexes come first: a crash between leaves an entry without a session, never one that no logout finds.
        for index in _indexes(issuer, subject, sid):
            await self._index([index], [id, _ms(lifetime), INDEXED])
        ends = await self._put([_record(id)], [sealed, _ms(lifetime), _ms(idle)])
        return int(ends) / 1000

    async def open(self, id: str, *, idle: float, known: int | None = None) -> StoredSession | None:
        """Read a session and count this as use of it; None when there is none (any more)."""
        row = await self._open([_record(id)], [_ms(idle), "" if known is None else known])
        if row is None:
            return None
        version, ends, sealed = row
        return StoredSession(int(version), int(ends) / 1000, sealed or None)

    async def living(self, ids: Sequence[str]) -> set[str]:
        """Those of the sessions that have not ended, in one round trip."""
        with reaching("sessions living"):
            found = granted(await self._link.batch([("EXISTS", _record(id)) for id in ids]))
        return {id for id, there in zip(ids, found, strict=True) if there}

    async def lock(self, id: str, holder: str) -> bool:
        """Try to become the one who refreshes this session's tokens."""
        with reaching("session lock"):
            return bool(await self._link.call("SET", _lock(id), holder, "NX", "PX", _ms(LOCK)))

    async def unlock(self, id: str, holder: str) -> None:
        await self._unlock([_lock(id)], [holder])

    async def swap(self, id: str, version: int, sealed: bytes, holder: str) -> bool:
        """Replace `version` and unlock; False when the session has ended or changed meanwhile."""
        return bool(await self._swap([_record(id), _lock(id)], [version, sealed, holder]))

    async def end(self, id: str, *, version: int | None = None) -> bool:
        """Remove a session, only while it is this version if one is named; False when there was none such. Its index
        entries fall out at their end."""
        return bool(await self._end([_record(id)], ["" if version is None else version]))

    async def end_all(self, issuer: str, *, sid: str | None = None, subject: str | None = None) -> list[str]:
        """End every session of a provider's session (`sid`) or, without one, of a subject; returns their ids."""
        if sid is None and subject is None:
            raise ValueError("end_all takes a sid or a subject")
        index = _sid_index(issuer, sid) if sid is not None else _sub_index(issuer, subject or "")
        with reaching("session end"):
            ids = [one.decode() for one in await self._link.call("ZRANGE", index, 0, -1)]
            granted(await self._link.batch([("DEL", _record(id)) for id in ids]))
            if ids:
                await self._link.call("ZREM", index, *ids)
        return ids

    async def seen(self, issuer: str, token_id: str) -> bool:
        """Whether `once` was asked about this token id before."""
        with reaching("logout token"):
            return bool(await self._link.call("EXISTS", _seen(issuer, token_id)))

    async def once(self, issuer: str, token_id: str, *, keep: float) -> bool:
        """True the first time this token id is seen; it is remembered for `keep` seconds."""
        with reaching("logout token"):
            key = _seen(issuer, token_id)
            return bool(await self._link.call("SET", key, b"1", "NX", "PX", _ms(keep)))


def _seen(issuer: str, token_id: str) -> str:
    return f"bff:{{logout:{hashed(issuer, token_id)}}}:seen"


def _sid_index(issuer: str, sid: str) -> str:
    return f"bff:{{sid:{hashed(issuer, sid)}}}:sessions"


def _sub_index(issuer: str, subject: str) -> str:
    return f"bff:{{sub:{hashed(issuer, subject)}}}:sessions"


def _indexes(issuer: str, subject: str, sid: str | None) -> list[str]:
    indexes = [_sub_index(issuer, subject)]
    return indexes if sid is None else [*indexes, _sid_index(issuer, sid)]
