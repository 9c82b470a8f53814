"""Browser sessions: from the cookie to the Principal, with tokens that are fresh when a service sees them.

Promises that an unknown cookie is nobody; that while Redis is away a session seen lately goes on (for everything for
`remembered` seconds, for GETs up to five minutes) and any other gets a 503, never a 401; that a refresh token is
redeemed once, however many requests and gateways want to at the same moment. Tokens never leave the server.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

from ...calls import Clock, Principal
from ...policies.breaker import Breaker, BreakerRule
from ...stores.link import StoreUnavailable
from ...stores.sessions import SessionStore
from ..problem import Problem
from ..settings import SessionSettings
from .fetch import FetchFailed
from .record import SessionKey, SessionRecord, Tokens
from .remembered import KNOWN, Known, Memory, away

log = logging.getLogger("bff.session")

COOKIE = "__Host-bff"
MARGIN = 30.0
"""Seconds before its end at which an access token is refreshed; a third of its life when that is shorter."""
PATIENCE = 5.0
"""Seconds to wait for another gateway's refresh."""
PAUSE = 2.0
"""Seconds after a refresh that got no answer before the next attempt for that session."""

Renew = Callable[[str], Awaitable[Tokens]]
"""Redeems a refresh token. Raises RefreshRefused or FetchFailed."""
OnEnd = Callable[[str], Awaitable[None]]
"""Told the hashed id of each session that was ended on purpose, so that its streams end too."""


class RefreshRefused(Exception):
    """The provider will not take this refresh token any more: the session is over."""


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
        self._renew = renew
        self._on_end = on_end
        self._clock = clock
        self._monotonic = monotonic
        self._memory = Memory(settings, clock, monotonic)
        self._paused: dict[str, float] = {}
        self._flights: dict[str, asyncio.Task[Known | None]] = {}
        # A frozen Redis would otherwise cost every request its whole timeout.
        self._breaker = Breaker(BreakerRule(failures=3, open_for=1.0, open_at_most=1.0), monotonic)

    async def start(self, record: SessionRecord) -> str:
        """Begin a session, always under a new id; returns the cookie's value. Raises Problem 503."""
        key = SessionKey.new()
        lifetime = self._settings.lifetime
        if self._renew is None or record.tokens.refresh_token is None:
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
        if self._due(known.record.tokens):
            known = await self._renewed(key, known)
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
        self._paused.pop(id, None)

    async def close(self) -> None:
        """Wait for the refreshes under way, at most `PATIENCE` seconds: a redeemed token that is not stored is lost."""
        if self._flights:
            await asyncio.wait(self._flights.values(), timeout=PATIENCE)
        for flight in list(self._flights.values()):
            flight.cancel()

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

    # -- refreshing

    def _due(self, tokens: Tokens) -> bool:
        if self._renew is None or tokens.refresh_token is None:
            return False
        margin = min(MARGIN, (tokens.expires_at - tokens.issued_at) / 3)
        return self._clock() >= tokens.expires_at - margin

    async def _renewed(self, key: SessionKey, known: Known) -> Known | None:
        flight = self._flights.get(key.id)
        if flight is None:
            if self._monotonic() < self._paused.get(key.id, 0.0):
                return self._while_it_lasts(known)
            # The task belongs to this object, not to the request: a browser that leaves must not cancel a redemption
            # whose answer holds the only refresh token that still works.
            flight = asyncio.get_running_loop().create_task(self._refresh(key, known), name="bff-refresh")
            self._flights[key.id] = flight
            flight.add_done_callback(lambda done: self._landed(key.id, done))
        try:
            return await asyncio.shield(flight)
        except (StoreUnavailable, FetchFailed) as error:
            log.warning("access token not refreshed: %s", error)
            if len(self._paused) >= KNOWN:
                self._paused.clear()
            self._paused[key.id] = self._monotonic() + PAUSE
            return self._while_it_lasts(known)

    def _landed(self, id: str, flight: asyncio.Task[Known | None]) -> None:
        self._flights.pop(id, None)
        if not flight.cancelled() and flight.exception() is not None:
            # Looked at here, too: every request that waited may have left.
            log.debug("refresh of session %s: %s", id[:12], flight.exception())

    def _while_it_lasts(self, known: Known) -> Known:
        if self._clock() >= known.record.tokens.expires_at:
            raise Problem(
                503,
                "unavailable",
                "The session's access token has run out and cannot be refreshed at the moment. Try again shortly.",
                retry_after=PAUSE,
            )
        return known

    async def _refresh(self, key: SessionKey, known: Known) -> Known | None:
        holder = secrets.token_hex(8)
        patience = self._monotonic() + PATIENCE
        while not await self._store.lock(key.id, holder):
            await asyncio.sleep(0.05)
            newer = await self._read(key, known)
            if newer is None or newer.version != known.version:
                return newer
            if self._monotonic() >= patience:
                raise FetchFailed("another gateway's refresh of this session takes too long")
        try:
            current = await self._read(key, known)
            if current is None or not self._due(current.record.tokens):
                return current
            return await self._redeem(key, current, holder)
        finally:
            await self._unlock(key.id, holder)

    async def _redeem(self, key: SessionKey, known: Known, holder: str) -> Known | None:
        old = known.record.tokens
        if self._renew is None or old.refresh_token is None:
            return known
        try:
            newer = await self._renew(old.refresh_token)
        except RefreshRefused as refusal:
            log.info("session %s ends: refresh refused: %s", key.id[:12], refusal)
            await self._store.end(key.id)
            await self._ended(key.id)
            return None
        record = replace(known.record, tokens=old.renewed_by(newer))
        if not await self._swap(key, known.version, record, holder):
            self.forget(key.id)
            return None
        return self._memory.put(key.id, Known(record, known.version + 1, known.ends, self._monotonic()))

    async def _swap(self, key: SessionKey, version: int, record: SessionRecord, holder: str) -> bool:
        sealed = key.seal(record)
        for pause in (0.1, 0.5):
            try:
                return await self._store.swap(key.id, version, sealed, holder)
            except StoreUnavailable:
                # Worth insisting: the old refresh token is spent and the new one is only here.
                await asyncio.sleep(pause)
        return await self._store.swap(key.id, version, sealed, holder)

    async def _unlock(self, id: str, holder: str) -> None:
        try:
            await self._store.unlock(id, holder)
        except StoreUnavailable as error:
            log.debug("a refresh lock is left to its TTL: %s", error)

    async def _ended(self, id: str) -> None:
        self.forget(id)
        if self._on_end is not None:
            try:
                await self._on_end(id)
            except StoreUnavailable as error:
                log.warning("other gateways were not told that a session ended: %s", error)
