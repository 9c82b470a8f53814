"""Browser sessions in Redis: sealed records by the hash of their id, their lock, and the indexes that logout needs.

Keys, all with a TTL; `<id>` is the hash of the cookie's value, so nothing here lets anyone in:

    bff:{session:<id>}:record    hash: sealed (opaque to this store), version, ends (Unix ms), began (Unix µs), subject
                                 and sid (hashes, as below); until idle or ended
    bff:{session:<id>}:refresh   who is refreshing its tokens right now; 18 s
    bff:{sub:<h>}:sessions       sorted set of ids by end: a subject's sessions; `<h>` is a hash of issuer and value
    bff:{sub:<h>}:over           up to which moment every session of the subject is over (Unix µs)
    bff:{sid:<h>}:sessions       the same by the provider's session
    bff:{sid:<h>}:over
    bff:{logout:<h>}:seen        a back-channel logout token that was carried out; until it would be refused for its age
    bff:{logout:<id>}:address    where a browser that has signed out goes next, sealed; taken once, 60 s
    bff:{login:<h>}:used         a sign-in whose answer was taken up; as long as it could be brought again

A session is over when its record is gone, or when it began before the moment at which its subject, or its provider's
session, was ended. So `end_all` misses none: not one that is being stored just then, nor one whose record could not be
deleted because the process was killed. An index names every session that has not ended and is no larger than those.

Time is Redis's own, so gateways whose clocks differ agree on when a session ends. Every method raises
StoreUnavailable when Redis is away.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass

from .redis.client import RedisClient, StoreUnavailable, raise_refusals, store_errors

LOCK = 18.0
"""Seconds a refresh may hold its lock: longer than a redemption and every attempt to store can take."""

OVER = 900.0
"""Seconds a subject's end is remembered at least: longer than a sign-in that is under way takes to be stored."""

_BATCH = 500


@dataclass(frozen=True, slots=True)
class StoredSession:
    """version: counts refreshes from 1; ends, began: Unix seconds; sealed: None when the asker has this version;
    subject, sid: as `hashed` names them, empty where there is none."""

    version: int
    ends: float
    sealed: bytes | None
    began: float = 0.0
    subject: str = ""
    sid: str = ""


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

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis
        self._put = redis.script("session_put")
        self._open = redis.script("session_open")
        self._swap = redis.script("session_swap")
        self._end = redis.script("session_end")
        self._unlock = redis.script("session_unlock")
        self._index = redis.script("session_index")
        self._over = redis.script("session_over")
        self._claim = redis.script("login_claim")

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
        began: float | None = None,
    ) -> StoredSession:
        """Store a new session. began: Unix seconds by Redis (`claim_login`), from when on an end of its subject ends
        it, too; None: from now on."""
        names = hashed(issuer, subject), hashed(issuer, sid) if sid is not None else ""
        # The indexes come first, and it counts as begun by then: an end of all its kind that comes between the two
        # does not find the record, and ends it all the same.
        moments = [int(await self._index([index], [id, _ms(lifetime)])) for index, _ in _families(*names)]
        if began is not None:
            moments.append(round(began * 1e6))
        ends = await self._put([_record(id)], [sealed, _ms(lifetime), _ms(idle), min(moments), *names])
        return StoredSession(1, int(ends) / 1000, None, min(moments) / 1e6, *names)

    async def open(
        self, id: str, *, idle: float | None, known: StoredSession | None = None
    ) -> StoredSession | None:
        """Read a session and count this as use of it; None when there is none (any more). idle: None is no use of it;
        known: as the asker saw it last, which saves a round trip."""
        with store_errors("session open"):
            if known is None:
                row = await self._read(id, idle, "")
                return None if row is None or await self._ended(row) else row
            # What one turn of the loop asks leaves in one write.
            row, over = await asyncio.gather(self._read(id, idle, known.version), self._ended(known))
        return None if over else row

    async def _read(self, id: str, idle: float | None, version: int | str) -> StoredSession | None:
        row = await self._open([_record(id)], ["" if idle is None else _ms(idle), version])
        if row is None:
            return None
        newest, ends, sealed, began, subject, sid = row
        return StoredSession(
            int(newest),
            int(ends) / 1000,
            sealed or None,
            int(began) / 1e6,
            subject.decode(),
            sid.decode(),
        )

    async def _ended(self, session: StoredSession) -> bool:
        keys = [over for _, over in _families(session.subject, session.sid)]
        moments = raise_refusals(await self._redis.batch([("GET", key) for key in keys]))
        return _is_over(session.began, moments)

    async def still_open(self, ids: Sequence[str]) -> set[str]:
        """Those of the sessions that have not ended, in two round trips."""
        with store_errors("sessions living"):
            asked = [("HMGET", _record(id), "version", "began", "subject", "sid") for id in ids]
            rows = raise_refusals(await self._redis.batch(asked))
            found = {id: row for id, row in zip(ids, rows, strict=True) if row[0] is not None}
            over = {
                id: [key for _, key in _families((row[2] or b"").decode(), (row[3] or b"").decode())]
                for id, row in found.items()
            }
            keys = list(dict.fromkeys(key for many in over.values() for key in many))
            moments = dict(
                zip(
                    keys, raise_refusals(await self._redis.batch([("GET", key) for key in keys])), strict=True
                )
            )
        return {
            id
            for id, row in found.items()
            if not _is_over(int(row[1] or 0) / 1e6, (moments[key] for key in over[id]))
        }

    async def lock(self, id: str, holder: str) -> bool:
        """Try to become the one who refreshes this session's tokens."""
        with store_errors("session lock"):
            return bool(await self._redis.call("SET", _lock(id), holder, "NX", "PX", _ms(LOCK)))

    async def unlock(self, id: str, holder: str) -> None:
        await self._unlock([_lock(id)], [holder])

    async def swap(self, id: str, version: int, sealed: bytes, holder: str) -> bool:
        """Replace `version` and unlock; False when the session has ended or changed meanwhile."""
        return bool(await self._swap([_record(id), _lock(id)], [version, sealed, holder]))

    async def end(self, id: str, *, version: int | None = None) -> bytes | None:
        """Remove a session, only while it is this version if one is named; returns what was sealed, None when there was
        none such, and then nothing is written."""
        row = await self._end([_record(id)], ["" if version is None else version])
        if row is None:
            return None
        sealed, subject, sid = row
        # It has ended; entries that stay in the indexes fall out at its end.
        with contextlib.suppress(StoreUnavailable), store_errors("session indexes"):
            indexes = [index for index, _ in _families(subject.decode(), sid.decode())]
            raise_refusals(await self._redis.batch([("ZREM", index, id) for index in indexes]))
        return bytes(sealed)

    async def end_all(self, issuer: str, *, sid: str | None = None, subject: str | None = None) -> list[str]:
        """End every session of a provider's session (`sid`) or, without one, of a subject; returns their ids."""
        ended: dict[str, None] = {}
        async for ids in self.end_in_batches(issuer, sid=sid, subject=subject):
            ended |= dict.fromkeys(ids)
        return list(ended)

    async def end_in_batches(
        self, issuer: str, *, sid: str | None = None, subject: str | None = None
    ) -> AsyncIterator[list[str]]:
        """The same, a batch at a time: those that were just ended. They leave the index when the next batch is asked
        for, so that whoever is cut short meanwhile can begin again and is given them once more."""
        if sid is None and subject is None:
            raise ValueError("end_all takes a sid or a subject")
        names = ("", hashed(issuer, sid)) if sid is not None else (hashed(issuer, subject or ""), "")
        ((index, over),) = _families(*names)
        # From here on they are over, whatever becomes of the deletions.
        await self._over([index, over], [_ms(OVER)])
        while ids := await self._delete(index):
            yield ids
            with store_errors("session end"):
                await self._redis.call("ZREM", index, *ids)

    async def _delete(self, index: str) -> list[str]:
        with store_errors("session end"):
            ids = [one.decode() for one in await self._redis.call("ZRANGE", index, 0, _BATCH - 1)]
            raise_refusals(await self._redis.batch([("DEL", _record(id)) for id in ids]))
        return ids

    # -- signing in and out

    async def claim_login(self, issuer: str, state: str, holder: str, *, keep: float) -> float | None:
        """Take up the answer to a sign-in; returns the moment (Unix seconds), None when that was done before."""
        moment = await self._claim([_used(issuer, state)], [holder, _ms(keep)])
        return None if moment is None else int(moment) / 1e6

    async def release_login(self, issuer: str, state: str, holder: str) -> None:
        """Give a claim back: nothing came of it, and it may be taken up again."""
        await self._unlock([_used(issuer, state)], [holder])

    async def is_logout_token_used(self, issuer: str, token_id: str) -> bool:
        """Whether `once` was asked about this token id before."""
        with store_errors("logout token"):
            return bool(await self._redis.call("EXISTS", _seen(issuer, token_id)))

    async def use_logout_token(self, issuer: str, token_id: str, *, keep: float) -> bool:
        """True the first time this token id is seen; it is remembered for `keep` seconds."""
        with store_errors("logout token"):
            key = _seen(issuer, token_id)
            return bool(await self._redis.call("SET", key, b"1", "NX", "PX", _ms(keep)))

    async def put_logout_redirect(self, id: str, sealed: bytes, *, keep: float) -> None:
        """Where a browser goes next, for `keep` seconds."""
        with store_errors("logout address"):
            await self._redis.call("SET", _address(id), sealed, "PX", _ms(keep))

    async def take_logout_redirect(self, id: str) -> bytes | None:
        """The same, once."""
        with store_errors("logout address"):
            found: bytes | None = await self._redis.call("GETDEL", _address(id))
        return found


def _is_over(began: float, moments: Iterable[bytes | None]) -> bool:
    return any(moment is not None and round(began * 1e6) <= int(moment) for moment in moments)


def _families(subject: str, sid: str) -> list[tuple[str, str]]:
    """Index and moment of what a session belongs to."""
    names = [f"sub:{subject}"] if subject else []
    names += [f"sid:{sid}"] if sid else []
    return [(f"bff:{{{name}}}:sessions", f"bff:{{{name}}}:over") for name in names]


def _seen(issuer: str, token_id: str) -> str:
    return f"bff:{{logout:{hashed(issuer, token_id)}}}:seen"


def _used(issuer: str, state: str) -> str:
    return f"bff:{{login:{hashed(issuer, state)}}}:used"


def _address(id: str) -> str:
    return f"bff:{{logout:{id}}}:address"
