"""`bff forget` erases a person on request: their sessions, tokens, stored answers, journal, and private cached answers.

Their tokens and sessions are revoked first, so that every gateway has ended their streams before anything is erased.
What is left afterwards is the revocation itself, which holds a hash, until their tokens have expired. The services
erase their own data, and their events: do that first, because a service that reports a saga again makes a new journal.
"""

from __future__ import annotations

import asyncio

from ..calls import DeclarationError
from ..edge.settings import Settings
from ..stores.persons import PersonStore
from ..stores.redis.client import StoreUnavailable
from ..stores.redis.login import RedisCredentials
from ..stores.revocations import MAX_REVOKED, RevocationStore
from ..stores.sessions import SessionStore
from .redis import open_redis
from .revoke import check_issuer, check_keep

APPLIED = 2.0
"""Seconds within which every gateway has applied a revocation, doubled."""


def forget(
    settings: Settings,
    issuer: str,
    subject: str,
    *,
    keep: float,
    applied: float = APPLIED,
    credentials: RedisCredentials | None = None,
) -> int:
    """Erase a subject of this issuer. keep: seconds until their tokens have expired, above 0 and at most ten years;
    applied: seconds to wait for the gateways; credentials: see `open_redis`. Returns the exit code. Raises
    DeclarationError."""
    check_issuer(settings, issuer)
    check_keep(keep)
    return asyncio.run(_forget(settings, credentials, issuer, subject, keep, applied))


async def _forget(
    settings: Settings,
    credentials: RedisCredentials | None,
    issuer: str,
    subject: str,
    keep: float,
    applied: float,
) -> int:
    async with open_redis(settings, credentials) as redis:
        revocations, sessions = RevocationStore(redis), SessionStore(redis)
        try:
            if not await revocations.revoke_subject(issuer, subject, keep=keep):
                raise DeclarationError(
                    f"nothing more can be revoked: there are {MAX_REVOKED} entries that have not expired"
                )
            ended: dict[str, None] = {}
            # One by one first: this also removes them from the indexes of the provider's sessions.
            for session in await sessions.of_subject(issuer, subject, most=None):
                if await sessions.end(session.id) is not None:
                    ended[session.id] = None
            async for ids in sessions.end_in_batches(issuer, subject=subject):
                ended |= dict.fromkeys(ids)
            for id in ended:
                await revocations.record_session_end(id)
            await asyncio.sleep(applied)
            erased = await PersonStore(redis).erase(f"{issuer}|{subject}")
        except StoreUnavailable as error:
            raise DeclarationError(
                f"Redis cannot be reached (BFF_REDIS__URL), run it again: {error}"
            ) from error
    print(f"{len(ended)} sessions of {subject} have ended, and every token issued up to now is refused")
    for kind, number in sorted(erased.items()):
        print(f"erased: {number} {kind}")
    return 0
