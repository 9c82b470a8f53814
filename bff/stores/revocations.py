"""What is not to be believed any more though it is signed and not expired: tokens by id, people by moment; and the
sessions that ended lately.

Keys, all in one slot and with a TTL:

    bff:{revoked}:list      sorted set by when it is forgotten (Unix ms): `t:<h>` a token, `s:<h>:<ms>` everything
                            issued to a subject up to that moment; `<h>` is a hash of issuer and id, or subject
    bff:{revoked}:version   another one with each entry; tells a gateway whether to read the list again
    bff:{revoked}:ended     sorted set of session ids by the moment they ended; kept for five minutes

Moments are Redis's own. Every method raises StoreUnavailable when Redis is away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .redis.client import RedisClient
from .sessions import hashed

MAX_REVOKED = 10_000
"""Entries in the list; a further one is refused, for none may be forgotten before its time."""

ENDED_KEEP = 300.0
"""Seconds the end of a session is told: a gateway that does not hear Redis for longer has nothing open to end."""

_LIST, _VERSION, _ENDED = "bff:{revoked}:list", "bff:{revoked}:version", "bff:{revoked}:ended"


@dataclass(frozen=True, slots=True)
class Revoked:
    """key: see `hashed`; at: Unix seconds up to which a subject's tokens are refused, None for a single token; until:
    Unix seconds at which it may be forgotten."""

    key: str
    at: float | None
    until: float


@dataclass(frozen=True, slots=True)
class RevocationChanges:
    """now: Unix milliseconds by Redis; ended: session ids; revoked: everything there is, None when nothing changed."""

    now: int
    version: str
    ended: Sequence[str]
    revoked: Sequence[Revoked] | None


class RevocationStore:
    """`keep` is seconds: at least as long as what is revoked would live."""

    def __init__(self, redis: RedisClient) -> None:
        self._revoke = redis.script("revoke")
        self._end = redis.script("revoke_session")
        self._news = redis.script("revoked")

    async def revoke_token(self, issuer: str, token_id: str, *, keep: float) -> bool:
        """Refuse the token with this `jti`. False when the list is full."""
        return await self._add(f"t:{hashed(issuer, token_id)}", keep, stamped=False)

    async def revoke_subject(self, issuer: str, subject: str, *, keep: float) -> bool:
        """Refuse every token issued to this person up to now. False when the list is full."""
        return await self._add(f"s:{hashed(issuer, subject)}", keep, stamped=True)

    async def record_session_end(self, id: str) -> None:
        """Note that a session has ended."""
        await self._end([_ENDED], [id, int(ENDED_KEEP * 1000)])

    async def changes(self, version: str, since: int) -> RevocationChanges:
        """What has changed. version: of the last answer, empty for none; since: Unix ms for ends of sessions."""
        now, newest, ended, entries = await self._news([_LIST, _VERSION, _ENDED], [version, since])
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
