"""Browser sessions in Redis: encrypted records by the hash of their id, their lock, and the indexes that logout needs.

Keys (after the prefix of keys.py), all with a TTL. `<id>` is the hash of the cookie's value, so that a copy of Redis'
data gives no access:

    {session:<id>}:record    hash: sealed (encrypted by the caller), version, ends (Unix ms), began (Unix µs), subject
                             and sid (hashes, as below), browser (a rough name), used (Unix ms of its last use, to
                             the minute); until idle or ended
    {session:<id>}:refresh   lock: the holder that is refreshing its tokens; 18 s
    {sub:<h>}:sessions       sorted set of ids by end: a subject's sessions; `<h>` is a hash of issuer and value
    {sub:<h>}:ended          every session of the subject that began up to this moment has ended (Unix µs)
    {sid:<h>}:sessions       the same for the provider's session
    {sid:<h>}:ended
    {logout:<h>}:seen        a back-channel logout token that was used; until it would be refused for its age
    {logout:<id>}:redirect   encrypted address to which a browser goes after its sign-out; read once, 60 s
    {login:<h>}:used         a sign-in whose answer was used; as long as the answer could be sent again

A session has ended when its record is gone, or when it began before the time at which all sessions of its subject, or
of its provider's session, were ended. Therefore `end_all` also ends a session that is being stored at the same time,
and one whose record could not be deleted because the process was killed. An index contains every session that has not
ended; ended ones are removed from it soon.

All times are those of Redis' clock, so that gateways with different clocks agree when a session ends. Every method
raises StoreUnavailable when Redis is away.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass

from .keys import hashed, redis_key
from .redis.client import RedisClient, StoreUnavailable, raise_refusals, store_errors

LOCK = 18.0
"""Seconds for which a refresh may hold its lock: longer than a token request and all attempts to store its result."""

END_STORED = 900.0
"""Seconds for which the end of all sessions is stored at least: longer than a sign-in in progress takes."""

_BATCH = 500


@dataclass(frozen=True, slots=True)
class StoredSession:
    """version: 1, plus the number of refreshes; ends, began: Unix seconds; sealed: the encrypted record, None when the
    caller has this version; subject, sid: their names by `hashed`, empty for none."""

    version: int
    ends: float
    sealed: bytes | None
    began: float = 0.0
    subject: str = ""
    sid: str = ""


@dataclass(frozen=True, slots=True)
class ListedSession:
    """One of a person's sessions. began, used: Unix seconds; browser: a rough name, may be empty."""

    id: str
    began: float
    used: float
    browser: str


def _record(id: str) -> str:
    return redis_key(f"session:{id}", "record")


def _lock(id: str) -> str:
    return redis_key(f"session:{id}", "refresh")


def _ms(seconds: float) -> int:
    return max(1, int(seconds * 1000))


class SessionStore:
    """lifetime, idle, keep: seconds."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis
        self._put = redis.script("session_put")
        self._open = redis.script("session_open")
        self._swap = redis.script("session_swap")
        self._end = redis.script("session_end")
        self._unlock = redis.script("session_unlock")
        self._index = redis.script("session_index")
        self._end_all = redis.script("session_end_all")
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
        browser: str = "",
    ) -> StoredSession:
        """Store a new session. browser: a rough name, which is not encrypted; began: Unix seconds of Redis' clock
        (`claim_login`), None for now. When all sessions of its subject are ended after that time, this session has
        ended, too."""
        names = hashed(issuer, subject), hashed(issuer, sid) if sid is not None else ""
        # The indexes are written first, and the session begins at that time. So an `end_all` between the two writes,
        # which does not find the record, ends the session, too.
        moments = [int(await self._index([index], [id, _ms(lifetime)])) for index, _ in _groups(*names)]
        if began is not None:
            moments.append(round(began * 1e6))
        args: list[str | bytes | int] = [sealed, _ms(lifetime), _ms(idle), min(moments), *names, browser]
        ends = await self._put([_record(id)], args)
        return StoredSession(1, int(ends) / 1000, None, min(moments) / 1e6, *names)

    async def open(
        self, id: str, *, idle: float | None, known: StoredSession | None = None
    ) -> StoredSession | None:
        """Read a session and postpone its idle end; None when there is no such session. idle: None does not postpone
        the idle end; known: the session as it was last read, which saves a round trip."""
        with store_errors("session open"):
            if known is None:
                row = await self._read(id, idle, "")
                return None if row is None or await self._ended(row) else row
            # Both commands are sent in one write.
            row, ended = await asyncio.gather(self._read(id, idle, known.version), self._ended(known))
        return None if ended else row

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
        keys = [ended for _, ended in _groups(session.subject, session.sid)]
        moments = raise_refusals(await self._redis.batch([("GET", key) for key in keys]))
        return _has_ended(session.began, moments)

    async def still_open(self, ids: Sequence[str]) -> set[str]:
        """The sessions among these that have not ended, in two round trips."""
        with store_errors("open sessions"):
            commands = [("HMGET", _record(id), "version", "began", "subject", "sid") for id in ids]
            rows = raise_refusals(await self._redis.batch(commands))
            found = {id: row for id, row in zip(ids, rows, strict=True) if row[0] is not None}
            ended = {
                id: [key for _, key in _groups((row[2] or b"").decode(), (row[3] or b"").decode())]
                for id, row in found.items()
            }
            keys = list(dict.fromkeys(key for each in ended.values() for key in each))
            moments = dict(
                zip(
                    keys, raise_refusals(await self._redis.batch([("GET", key) for key in keys])), strict=True
                )
            )
        return {
            id
            for id, row in found.items()
            if not _has_ended(int(row[1] or 0) / 1e6, (moments[key] for key in ended[id]))
        }

    async def of_subject(self, issuer: str, subject: str, *, most: int | None) -> list[ListedSession]:
        """The sessions of a subject that have not ended, in four round trips. most: of more, those that end last; None:
        all."""
        ((index, _),) = _groups(hashed(issuer, subject), "")
        with store_errors("sessions of a person"):
            last = -1 if most is None else most - 1
            ids = [id.decode() for id in await self._redis.call("ZREVRANGE", index, 0, last)]
            commands = [("HMGET", _record(id), "began", "used", "browser") for id in ids]
            rows = raise_refusals(await self._redis.batch(commands)) if ids else []
        still_open = await self.still_open(ids) if ids else set()
        found = []
        for id, (began, used, browser) in zip(ids, rows, strict=True):
            if began is not None and id in still_open:
                seconds = int(began) / 1e6
                # A release before this one stored neither use nor browser.
                last_use = int(used) / 1000 if used else seconds
                found.append(ListedSession(id, seconds, last_use, (browser or b"").decode()))
        return found

    async def lock(self, id: str, holder: str) -> bool:
        """Try to lock the refresh of this session's tokens."""
        with store_errors("session lock"):
            return bool(await self._redis.call("SET", _lock(id), holder, "NX", "PX", _ms(LOCK)))

    async def unlock(self, id: str, holder: str) -> None:
        """Release the lock, if this holder has it."""
        await self._unlock([_lock(id)], [holder])

    async def swap(self, id: str, version: int, sealed: bytes, holder: str) -> bool:
        """Replace this version of the record and unlock. Returns False when the session has ended or changed since."""
        return bool(await self._swap([_record(id), _lock(id)], [version, sealed, holder]))

    async def end(self, id: str, *, version: int | None = None) -> bytes | None:
        """Delete a session; version: only if it has this version. Returns the encrypted record; None when there was no
        such session, and then nothing is written."""
        row = await self._end([_record(id)], ["" if version is None else version])
        if row is None:
            return None
        sealed, subject, sid = row
        # The session has ended. If this fails, its index entries are removed when they expire.
        with contextlib.suppress(StoreUnavailable), store_errors("session indexes"):
            indexes = [index for index, _ in _groups(subject.decode(), sid.decode())]
            raise_refusals(await self._redis.batch([("ZREM", index, id) for index in indexes]))
        return bytes(sealed)

    async def end_all(self, issuer: str, *, sid: str | None = None, subject: str | None = None) -> list[str]:
        """End every session of a provider's session (`sid`) or, without one, of a subject. Returns their ids. Raises
        ValueError without both."""
        ended: dict[str, None] = {}
        async for ids in self.end_in_batches(issuer, sid=sid, subject=subject):
            ended |= dict.fromkeys(ids)
        return list(ended)

    async def end_in_batches(
        self, issuer: str, *, sid: str | None = None, subject: str | None = None
    ) -> AsyncIterator[list[str]]:
        """As `end_all`, but yields the ended ids in batches. A batch is removed from the index when the next one is
        requested. So a caller that was interrupted can start again and gets the same batch again."""
        if sid is None and subject is None:
            raise ValueError("end_all takes a sid or a subject")
        names = ("", hashed(issuer, sid)) if sid is not None else (hashed(issuer, subject or ""), "")
        ((index, ended),) = _groups(*names)
        # From now on the sessions have ended, even if a deletion fails.
        await self._end_all([index, ended], [_ms(END_STORED)])
        while ids := await self._delete(index):
            yield ids
            with store_errors("session end"):
                await self._redis.call("ZREM", index, *ids)

    async def _delete(self, index: str) -> list[str]:
        with store_errors("session end"):
            ids = [id.decode() for id in await self._redis.call("ZRANGE", index, 0, _BATCH - 1)]
            raise_refusals(await self._redis.batch([("DEL", _record(id)) for id in ids]))
        return ids

    # ---- signing in and out ----------------------------------------------------------------------------------

    async def claim_login(self, issuer: str, state: str, holder: str, *, keep: float) -> float | None:
        """Use the answer to a sign-in. Returns the time (Unix seconds), None when the answer was used before."""
        moment = await self._claim([_used(issuer, state)], [holder, _ms(keep)])
        return None if moment is None else int(moment) / 1e6

    async def release_login(self, issuer: str, state: str, holder: str) -> None:
        """Undo `claim_login` after a failure, so that the answer can be used again."""
        await self._unlock([_used(issuer, state)], [holder])

    async def is_logout_token_used(self, issuer: str, token_id: str) -> bool:
        """Whether this token id was used before."""
        with store_errors("logout token"):
            return bool(await self._redis.call("EXISTS", _seen(issuer, token_id)))

    async def use_logout_token(self, issuer: str, token_id: str, *, keep: float) -> bool:
        """Use this token id. Returns True the first time; it is stored for `keep` seconds."""
        with store_errors("logout token"):
            key = _seen(issuer, token_id)
            return bool(await self._redis.call("SET", key, b"1", "NX", "PX", _ms(keep)))

    async def put_logout_redirect(self, id: str, sealed: bytes, *, keep: float) -> None:
        """Store the encrypted address to which a browser goes after its sign-out, for `keep` seconds."""
        with store_errors("logout redirect"):
            await self._redis.call("SET", _redirect(id), sealed, "PX", _ms(keep))

    async def take_logout_redirect(self, id: str) -> bytes | None:
        """Read and delete the address that `put_logout_redirect` stored; None when there is none."""
        with store_errors("logout redirect"):
            found: bytes | None = await self._redis.call("GETDEL", _redirect(id))
        return found


def _has_ended(began: float, moments: Iterable[bytes | None]) -> bool:
    return any(moment is not None and round(began * 1e6) <= int(moment) for moment in moments)


def _groups(subject: str, sid: str) -> list[tuple[str, str]]:
    """The index and the end-of-all key of each group (subject, provider's session) that a session belongs to."""
    names = [f"sub:{subject}"] if subject else []
    names += [f"sid:{sid}"] if sid else []
    return [(redis_key(name, "sessions"), redis_key(name, "ended")) for name in names]


def _seen(issuer: str, token_id: str) -> str:
    return redis_key(f"logout:{hashed(issuer, token_id)}", "seen")


def _used(issuer: str, state: str) -> str:
    return redis_key(f"login:{hashed(issuer, state)}", "used")


def _redirect(id: str) -> str:
    return redis_key(f"logout:{id}", "redirect")
