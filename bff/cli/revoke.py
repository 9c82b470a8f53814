"""`bff revoke` revokes one token by its id, or all tokens and browser sessions of one person, before they expire. Every
gateway applies it within a second."""

from __future__ import annotations

import asyncio

from ..calls import DeclarationError
from ..edge.settings import Settings
from ..stores.redis.client import StoreUnavailable
from ..stores.redis.login import RedisCredentials
from ..stores.revocations import MAX_REVOKED, RevocationStore
from ..stores.sessions import SessionStore
from .redis import open_redis


def revoke(
    settings: Settings,
    issuer: str,
    *,
    subject: str | None,
    token: str | None,
    keep: float,
    credentials: RedisCredentials | None = None,
) -> int:
    """Revoke a token or a subject of this issuer. keep: seconds until the revoked tokens expire, above 0 and at most
    ten years; credentials: see `open_redis`. Returns the exit code. Raises DeclarationError."""
    check_keep(keep)
    check_issuer(settings, issuer)
    return asyncio.run(_revoke(settings, credentials, issuer, subject, token, keep))


def check_keep(keep: float) -> None:
    """Raises DeclarationError for seconds out of range."""
    if not 0 < keep <= 10 * 365 * 86_400:
        raise DeclarationError(f"--keep: seconds above 0 and up to ten years, not {keep:g}")


def check_issuer(settings: Settings, issuer: str) -> None:
    """Raises DeclarationError for an issuer whose tokens nobody accepts, which is a mistyped one."""
    trusted = {one.issuer for one in settings.issuers} | {one.issuer for one in settings.sign_ins.values()}
    if issuer not in trusted:
        raise DeclarationError(
            f"issuer {issuer} is not in the settings, which have {', '.join(sorted(trusted)) or 'none'}"
        )


async def _revoke(
    settings: Settings,
    credentials: RedisCredentials | None,
    issuer: str,
    subject: str | None,
    token: str | None,
    keep: float,
) -> int:
    async with open_redis(settings, credentials) as redis:
        store = RevocationStore(redis)
        try:
            if token is not None:
                done = await store.revoke_token(issuer, token, keep=keep)
                print(f"token {token} is refused for the next {keep:g} s")
            else:
                done = await store.revoke_subject(issuer, subject or "", keep=keep)
                async for ids in SessionStore(redis).end_in_batches(issuer, subject=subject):
                    for id in ids:
                        await store.record_session_end(id)
                print(f"every token of {subject} issued up to now is refused, and every session has ended")
        except StoreUnavailable as error:
            raise DeclarationError(f"Redis cannot be reached (BFF_REDIS__URL): {error}") from error
    if not done:
        raise DeclarationError(
            f"nothing more can be revoked: there are {MAX_REVOKED} entries that have not expired"
        )
    return 0
