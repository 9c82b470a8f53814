"""Browser sessions: from the cookie to the Principal, with tokens that are fresh when a service sees them.

Promises that an unknown cookie is nobody; that while Redis is away a session seen lately goes on (for everything for
`remembered` seconds, for GETs up to five minutes) and any other gets a 503, never a 401. Tokens never leave the server.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable

from ...calls import Clock, Principal
from ...policies.breaker import Breaker, BreakerRule
from ...stores.redis.link import StoreUnavailable
from ...stores.sessions import SessionStore
from ..settings import SessionSettings
from .record import SessionKey, SessionRecord
from .refresh import Refresher, Renew
from .remembered import Known, Memory, away

log = logging.getLogger("bff.session")

COOKIE = "__Host-bff"
OnEnd = Callable[[str], Awaitable[None]]
"""Told the hashed id of each session that was ended on purpose, so that its streams end too."""


class Sessions:
    """renew: redeems refresh tokens (None: sessions end with their access token); on_end: see OnEnd.

    clock is Unix seconds, monotonic is for ages.
    """

    def __init__(
        self,
        store: SessionStore,
        settings: SessionSettings,
        *,
        renew: Renew | None = None,
        on_end: OnEnd | None = None,
        clock: Clock = time.time,
        monotonic: Clock = time.monotonic,
    ) -> None:
        self._store = store
        self._settings = settings
        self._on_end = on_end
        self._clock = clock
        self._monotonic = monotonic
        self._memory = Memory(settings, clock, monotonic)
        self._refresher = renew and Refresher(
            store,
            renew,
            read=self._read,
            put=self._memory.put,
            ended=self._ended,
            clock=clock,
            monotonic=monotonic,
        )
        # A frozen Redis would otherwise cost every request its whole timeout.
        self._breaker = Breaker(BreakerRule(failures=3, open_for=1.0, open_at_most=1.0), monotonic)

    async def start(self, record: SessionRecord) -> str:
        """Begin a session, always under a new id; returns the cookie's value. Raises Problem 503."""
        key = SessionKey.new()
        lifetime = self._settings.lifetime
        if self._refresher is None or record.tokens.refresh_token is None:
            lifetime = max(1.0, min(lifetime, record.tokens.expires_at - self._clock()))
        try:
            ends = await self._store.put(
                key.id,
                key.seal(record),
                issuer=record.issuer,
                subject=record.subject,
                sid=record.sid,
                lifetime=lifetime,
                idle=self._settings.idle,
            )
        except StoreUnavailable as error:
            raise away() from error
        self._memory.put(key.id, Known(record, 1, ends, self._monotonic()))
        return key.value

    async def principal(self, cookie: str | None, *, safe: bool = True) -> Principal | None:
        """Who the cookie's browser belongs to, with a fresh access token; None for nobody.

        safe: the request only reads. Raises Problem 503 `unavailable` when that cannot be known now.
        """
        key = SessionKey.read(cookie)
        known = None if key is None else await self._open(key, safe)
        if key is None or known is None:
            return None
        if self._refresher is not None:
            known = await self._refresher.fresh(key, known)
            if known is None:
                return None
        record = known.record
        return Principal(
            issuer=record.issuer,
            subject=record.subject,
            token=record.tokens.access_token,
            expires_at=known.ends,
            scopes=record.tokens.scopes,
            claims=record.claims,
            session=key.id,
            roles=record.roles,
        )

    async def end(self, cookie: str | None) -> SessionRecord | None:
        """Sign the cookie's browser out; returns what the session held. Raises Problem 503."""
        key = SessionKey.read(cookie)
        if key is None:
            return None
        try:
            row = await self._store.open(key.id, idle=self._settings.idle)
            await self._store.end(key.id)
        except StoreUnavailable as error:
            raise away() from error
        await self._ended(key.id)
        return None if row is None or row.sealed is None else key.open(row.sealed)

    async def end_all(self, issuer: str, *, sid: str | None, subject: str | None) -> int:
        """End the sessions of a provider's session, or of a person; returns how many. Raises Problem 503."""
        try:
            ids = await self._store.end_all(issuer, sid=sid, subject=subject)
        except StoreUnavailable as error:
            raise away() from error
        for id in ids:
            await self._ended(id)
        return len(ids)

    def forget(self, id: str) -> None:
        """Another gateway ended this session: stop remembering it here."""
        self._memory.drop(id)
        if self._refresher is not None:
            self._refresher.forget(id)

    async def close(self) -> None:
        """Let the refreshes under way come to their end, within a bound."""
        if self._refresher is not None:
            await self._refresher.close()

    # -- reading

    async def _open(self, key: SessionKey, safe: bool) -> Known | None:
        known = self._memory.get(key.id)
        if self._breaker.admit() is not None:
            return self._memory.recall(key.id, safe)
        era = self._breaker.era
        try:
            found = await self._read(key, known)
        except StoreUnavailable as error:
            self._breaker.failed(era)
            log.warning("sessions cannot be read: %s", error)
            return self._memory.recall(key.id, safe)
        except BaseException:
            self._breaker.abandoned(era)
            raise
        self._breaker.succeeded(era)
        return found

    async def _read(self, key: SessionKey, known: Known | None) -> Known | None:
        row = await self._store.open(
            key.id, idle=self._settings.idle, known=None if known is None else known.version
        )
        if row is None:
            self.forget(key.id)
            return None
        record = known.record if known is not None else None
        if row.sealed is not None:
            record = key.open(row.sealed)
        if record is None:
            return None
        return self._memory.put(key.id, Known(record, row.version, row.ends, self._monotonic()))

    async def _ended(self, id: str) -> None:
        self.forget(id)
        if self._on_end is not None:
            try:
                await self._on_end(id)
            except StoreUnavailable as error:
                log.warning("other gateways were not told that a session ended: %s", error)
