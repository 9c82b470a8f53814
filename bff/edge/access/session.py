"""Browser sessions: makes a Principal of the session cookie, with an access token that is valid when a service gets it.

An unknown cookie gives no principal. While Redis is away, a session that was read recently is still accepted (by every
request for `remembered` seconds, by GETs for five minutes) and any other is answered 503, never 401. Work that goes on
after its request gets a token that is valid at that time (`current`). Tokens are never sent to the
browser.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping

from ...calls import Clock, Principal
from ...calls.principal import RevocationKeys
from ...stores.redis.client import StoreUnavailable
from ...stores.sessions import SessionStore
from ..settings import SessionSettings
from .refresh import Refresher, Renew
from .revocation_list import RevocationList
from .session_cache import SessionCache
from .session_record import SessionKey, SessionRecord

log = logging.getLogger("bff.session")

COOKIE = "__Host-bff"
MAX_ENDED = 10_000
"""Ended sessions that are remembered, for streams that are about to open; the one that ended first is dropped."""
LOGOUT_URL_TTL = 60.0
"""Seconds for which the address that a browser goes to after signing out can be fetched."""
_NOTICES_AT_ONCE = 50

OnEnd = Callable[[str], Awaitable[None]]
"""Called with the hashed id of each session that is ended on purpose, so that its streams end too."""


class Sessions:
    """renew        redeems refresh tokens of the provider `oidc`; None: its sessions end with their access token
    renew_at     the same for the other providers, by name
    on_end       see OnEnd
    revocations  ends the sessions of revoked subjects; None: none are
    clock        Unix seconds; monotonic is for ages
    """

    def __init__(
        self,
        store: SessionStore,
        settings: SessionSettings,
        *,
        renew: Renew | None = None,
        renew_at: Mapping[str, Renew] | None = None,
        on_end: OnEnd | None = None,
        revocations: RevocationList | None = None,
        clock: Clock = time.time,
        monotonic: Clock = time.monotonic,
    ) -> None:
        self._store = store
        self._settings = settings
        self._on_end = on_end
        self._revocations = revocations
        self._clock = clock
        self._cache = SessionCache(store, settings, clock, monotonic)
        self._ended: OrderedDict[str, None] = OrderedDict()
        renews = dict(renew_at or {}) | ({} if renew is None else {"": renew})
        self._refreshers = {
            name: Refresher(store, self._cache, redeem, self._announce_end, clock, monotonic)
            for name, redeem in renews.items()
        }

    async def start(self, record: SessionRecord, *, began: float | None = None, browser: str = "") -> str:
        """Store a new session under a new id; returns the cookie's value. began: Unix seconds by Redis, see
        `SessionStore.put`; browser: a rough name, for the person. Raises StoreUnavailable."""
        key = SessionKey.new()
        lifetime = self._settings.lifetime
        if record.provider not in self._refreshers or record.tokens.refresh_token is None:
            lifetime = max(1.0, min(lifetime, record.tokens.expires_at - self._clock()))
        stored = await self._store.put(
            key.id,
            key.seal(record),
            issuer=record.issuer,
            subject=record.subject,
            sid=record.sid,
            lifetime=lifetime,
            idle=self._settings.idle,
            began=began,
            browser=browser,
        )
        self._cache.put(key.id, record, stored)
        return key.value

    async def principal(
        self, cookie: str | None, *, safe: bool = True, provider: str = ""
    ) -> Principal | None:
        """The principal of the cookie's session, with a valid access token; None where there is no such session.

        safe: the request only reads; provider: the one whose cookie it is. Raises Problem 503 `unavailable` when the
        session cannot be looked up now.
        """
        key = SessionKey.read(cookie)
        if key is None:
            return None
        return await self._principal(key, safe=safe, used=True, refused=None, provider=provider)

    async def current(self, principal: Principal, *, refused: str | None = None) -> Principal | None:
        """The same person with an access token that is valid now, for work after their request; None when the session
        has ended. It does not count as use of the session. A bearer token's principal is returned as it is.

        refused: an access token that a service refused; if the session still has it, a new one is requested.
        Raises Problem 503 when the session cannot be looked up now.
        """
        key = principal.session_key
        if not isinstance(key, SessionKey):
            return principal
        return await self._principal(key, safe=True, used=False, refused=refused)

    async def _principal(
        self, key: SessionKey, *, safe: bool, used: bool, refused: str | None, provider: str | None = None
    ) -> Principal | None:
        session = await self._cache.get(key, safe=safe, used=used)
        if session is None or provider not in (None, session.record.provider):
            return None
        if (refresher := self._refreshers.get(session.record.provider)) is not None:
            session = await refresher.fresh(key, session, refused=refused)
        if session is None:
            return None
        record, stored = session.record, session.stored
        principal = Principal(
            issuer=record.issuer,
            subject=record.subject,
            token=record.tokens.access_token,
            expires_at=stored.ends,
            scopes=record.tokens.scopes or frozenset(),
            claims=record.claims,
            session=key.id,
            roles=record.roles,
            # Revocations are exact to the millisecond.
            revocation_keys=RevocationKeys(None, stored.subject, int(stored.began * 1000) / 1000),
            session_key=key,
            authenticated_at=record.auth_time,
            acr=record.acr,
            is_person=True,
            left_out=record.left_out,
        )
        return None if self.has_ended(principal) else principal

    def has_ended(self, principal: Principal) -> bool:
        """Whether a session's principal is no longer valid: the session has ended, or its subject was revoked."""
        return principal.session in self._ended or (
            self._revocations is not None and self._revocations.is_revoked(principal.revocation_keys)
        )

    async def end(self, cookie: str | None) -> SessionRecord | None:
        """End the session of this cookie; returns its record, None where there is no such session. Raises
        StoreUnavailable."""
        key = SessionKey.read(cookie)
        sealed = None if key is None else await self.end_by_id(key.id)
        return None if key is None or sealed is None else key.open(sealed)

    async def end_by_id(self, id: str) -> bytes | None:
        """End a session by its hashed id; returns its sealed record, None where there is no such session. Raises
        StoreUnavailable."""
        sealed = await self._store.end(id)
        if sealed is not None:
            await self._announce_end(id)
        return sealed

    async def end_all(self, issuer: str, *, sid: str | None, subject: str | None) -> int:
        """End the sessions of a provider's session, or of a person; returns how many. Raises
        StoreUnavailable."""
        ended = 0
        async for ids in self._store.end_in_batches(issuer, sid=sid, subject=subject):
            ended += len(ids)
            for start in range(0, len(ids), _NOTICES_AT_ONCE):
                await asyncio.gather(*map(self._announce_end, ids[start : start + _NOTICES_AT_ONCE]))
        return ended

    def record_end(self, id: str) -> None:
        """A session has ended, here or on another gateway: it is not accepted any more."""
        self._ended[id] = None
        self._ended.move_to_end(id)
        if len(self._ended) > MAX_ENDED:
            self._ended.popitem(last=False)
        self._cache.drop(id)

    async def _announce_end(self, id: str) -> None:
        self.record_end(id)
        if self._on_end is not None:
            try:
                await self._on_end(id)
            except StoreUnavailable as error:
                log.warning("the end of a session was not announced to other gateways: %s", error)

    async def close(self) -> None:
        """Let refreshes under way finish, within a bound."""
        await asyncio.gather(*(refresher.close() for refresher in self._refreshers.values()))

    # -- the address that a browser goes to after signing out

    async def keep_logout_url(self, url: str) -> str:
        """Store the address; returns the value by which it can be fetched once within `LOGOUT_URL_TTL` seconds. Raises
        StoreUnavailable."""
        key = SessionKey.new()
        await self._store.put_logout_redirect(key.id, key.encrypt(url.encode()), keep=LOGOUT_URL_TTL)
        return key.value

    async def take_logout_url(self, value: str | None) -> str | None:
        """The address; None when it was fetched before, or is too old. Raises StoreUnavailable."""
        key = SessionKey.read(value)
        sealed = None if key is None else await self._store.take_logout_redirect(key.id)
        if key is None or sealed is None:
            return None
        try:
            return key.decrypt(sealed).decode()
        except ValueError:
            return None
