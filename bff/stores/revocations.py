"""Revoked tokens and subjects, and sessions that ended recently. A revoked token is refused although its signature is
valid and it has not expired.

Keys (after the prefix of keys.py), all in one slot and with a TTL:

    {revoked}:list      sorted set by expiry (Unix ms): `t:<h>` a token, `s:<h>:<ms>` everything issued to a subject up
                        to that moment; `<h>` is a hash of issuer and token id, or of issuer and subject
    {revoked}:version   changes with each entry; shows a gateway whether to read the list again
    {revoked}:ended     sorted set of session ids by the moment they ended; stored for five minutes

All times are those of Redis' clock. Every method raises StoreUnavailable when Redis is away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .keys import hashed, redis_key
from .redis.client import RedisClient

MAX_REVOKED = 10_000
"""Entries in the list. A further one is refused, because no entry may be dropped before it expires."""

ENDED_KEEP = 300.0
"""Seconds for which the end of a session is stored. A gateway without Redis for longer has no open streams left."""

_LIST, _VERSION, _ENDED = (redis_key("revoked", name) for name in ("list", "version", "ended"))


@dataclass(frozen=True, slots=True)
class Revoked:
    """key: see `hashed`; at: Unix seconds up to which a subject's tokens are refused, None for a single token; until:
    Unix seconds at which the entry expires."""

    key: str
    at: float | None
    until: float


@dataclass(frozen=True, slots=True)
class RevocationChanges:
    """now: Unix milliseconds by Redis; ended: session ids; revoked: the whole list, None when it has not changed."""

    now: int
    version: str
    ended: Sequence[str]
    revoked: Sequence[Revoked] | None


class RevocationStore:
    """keep: seconds for which an entry is stored, at least until the revoked token expires."""

    def __init__(self, redis: RedisClient) -> None:
        self._revoke = redis.script("revoke")
        self._end = redis.script("revoke_session")
        self._changes = redis.script("revocations")

    async def revoke_token(self, issuer: str, token_id: str, *, keep: float) -> bool:
        """Refuse the token with this `jti`. Returns False when the list is full."""
        return await self._add(f"t:{hashed(issuer, token_id)}", keep, stamped=False)

    async def revoke_subject(self, issuer: str, subject: str, *, keep: float) -> bool:
        """Refuse every token issued to this person up to now. Returns False when the list is full."""
        return await self._add(f"s:{hashed(issuer, subject)}", keep, stamped=True)

    async def record_session_end(self, id: str) -> None:
        """Record that a session has ended."""
        await self._end([_ENDED], [id, int(ENDED_KEEP * 1000)])

    async def changes(self, version: str, since: int) -> RevocationChanges:
        """Read what has changed. version: from the last call, empty for the first one; since: Unix ms, from which ends
        of sessions are returned."""
        now, newest, ended, entries = await self._changes([_LIST, _VERSION, _ENDED], [version, since])
        revoked = None
        if entries is not None:
            pairs = zip(entries[::2], entries[1::2], strict=True)
            revoked = [_read(member.decode(), float(until)) for member, until in pairs]
        return RevocationChanges(int(now), newest.decode(), [id.decode() for id in ended], revoked)

    async def _add(self, member: str, keep: float, *, stamped: bool) -> bool:
        return bool(
            await self._revoke(
                [_LIST, _VERSION], [member, int(stamped), max(1, int(keep * 1000)), MAX_REVOKED]
            )
        )


def _read(member: str, until: float) -> Revoked:
    kind, key, *moment = member.split(":")
    return Revoked(key, int(moment[0]) / 1000 if kind == "s" else None, until / 1000)
