"""Access tokens of browser sessions, made fresh in time: once, however many requests and gateways want it.

Promises that a refresh token is redeemed by one gateway at a time (a lock in Redis, a flight in the process, and a
version that shows what another has done meanwhile); that no request waits while the old access token still lasts; and
that nobody is signed out by a provider that is slow or away, but only by its own word. A redemption belongs to the
gateway, not to the request that began it: its answer holds the only refresh token that still works.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import replace

from ...calls import Clock
from ...policies.tokens import TokenRefused, parse
from ...stores.redis.client import StoreUnavailable
from ...stores.sessions import SessionStore
from ..problem import Problem
from .fetch import FetchFailed
from .session_cache import MAX_CACHED, CachedSession
from .session_record import SessionKey, SessionRecord, TokenSet

log = logging.getLogger("bff.session")

MARGIN = 30.0
"""Seconds before its end at which an access token is refreshed; a third of its life when that is shorter."""
PRESSING = 5.0
"""Seconds before its end from which a request waits for the refresh instead of going on with the old token: longer than
most requests take."""
PATIENCE = 5.0
"""Seconds such a request waits at most."""
FLIGHT = 20.0
"""Seconds a gateway stands in line for another one's refresh: longer than its lock can be held."""
FORCED = 60.0
"""Seconds between two refreshes of a session's token because a service would not take it: a service that refuses every
token must not cost a refresh each time."""
PAUSE = 2.0
"""Seconds after a refresh that got no answer before the next attempt for that session."""

Renew = Callable[[str], Awaitable[TokenSet]]
"""Redeems a refresh token. Raises RefreshRefused or FetchFailed."""


class RefreshRefused(Exception):
    """The provider will not take this refresh token any more: the session is over."""


class Refresher:
    """`await refresher.fresh(key, known)` gives the session with a token to be used now; None when it has ended.

    read    the session as it is in Redis now;  put  remembers it;  ended  told that one is over
    """

    def __init__(
        self,
        store: SessionStore,
        renew: Renew,
        *,
        read: Callable[[SessionKey, CachedSession], Awaitable[CachedSession | None]],
        put: Callable[[str, CachedSession], CachedSession],
        ended: Callable[[str], Awaitable[None]],
        clock: Clock,
        monotonic: Clock,
    ) -> None:
        self._store = store
        self._renew = renew
        self._read = read
        self._put = put
        self._ended = ended
        self._clock = clock
        self._monotonic = monotonic
        self._paused: dict[str, float] = {}
        self._forced: dict[str, float] = {}
        self._flights: dict[str, asyncio.Task[CachedSession | None]] = {}

    async def fresh(
        self, key: SessionKey, known: CachedSession, *, refused: str | None = None
    ) -> CachedSession | None:
        """Raises Problem 503 when its token has run out and a new one cannot be had now. refused: an access token that
        a service would not take; where the session still has it, another one is asked for, once in `FORCED` seconds."""
        tokens = known.record.tokens
        forced = tokens.access_token == refused and self._may_force(key.id, tokens)
        if not forced and not self._due(tokens):
            return known
        flight = self._flights.get(key.id) or self._begin(key, known, refused if forced else None)
        if flight is not None and (forced or self._pressing(tokens)):
            # Not `wait_for` nor a bare await: a browser that leaves must not cancel it.
            await asyncio.wait([flight], timeout=PATIENCE)
            if flight.done() and not flight.cancelled() and not isinstance(flight.exception(), _PASSING):
                return flight.result()
        return self._while_it_lasts(known)

    def forget(self, id: str) -> None:
        self._paused.pop(id, None)
        self._forced.pop(id, None)

    async def close(self) -> None:
        """Wait for the refreshes under way, at most `PATIENCE` seconds: a redeemed token that is not stored is lost."""
        if self._flights:
            await asyncio.wait(self._flights.values(), timeout=PATIENCE)
        for flight in list(self._flights.values()):
            flight.cancel()

    def _due(self, tokens: TokenSet) -> bool:
        return tokens.refresh_token is not None and self._left(tokens) <= _margin(tokens)

    def _may_force(self, id: str, tokens: TokenSet) -> bool:
        if tokens.refresh_token is None:
            return False
        if id in self._flights:
            return True
        now = self._monotonic()
        if now < self._forced.get(id, float("-inf")):
            return False
        if len(self._forced) >= MAX_CACHED:
            self._forced.clear()
        self._forced[id] = now + FORCED
        return True

    def _pressing(self, tokens: TokenSet) -> bool:
        return self._left(tokens) <= min(PRESSING, _margin(tokens))

    def _left(self, tokens: TokenSet) -> float:
        return tokens.expires_at - self._clock()

    def _while_it_lasts(self, known: CachedSession) -> CachedSession:
        if self._left(known.record.tokens) <= 0:
            raise Problem(
                503,
                "unavailable",
                "The session's access token has run out and cannot be refreshed at the moment. Try again shortly.",
                retry_after=PAUSE,
            )
        return known

    def _begin(
        self, key: SessionKey, known: CachedSession, refused: str | None
    ) -> asyncio.Task[CachedSession | None] | None:
        if self._monotonic() < self._paused.get(key.id, 0.0):
            return None
        flight = asyncio.get_running_loop().create_task(
            self._refresh(key, known, refused), name="bff-refresh"
        )
        self._flights[key.id] = flight
        flight.add_done_callback(lambda done: self._landed(key.id, done))
        return flight

    def _landed(self, id: str, flight: asyncio.Task[CachedSession | None]) -> None:
        self._flights.pop(id, None)
        error = None if flight.cancelled() else flight.exception()
        if error is None:
            return
        if not isinstance(error, _PASSING):
            log.error("refreshing a session failed", exc_info=error)
        log.warning("access token of session %s not refreshed: %s", id[:12], error)
        if len(self._paused) >= MAX_CACHED:
            self._paused.clear()
        self._paused[id] = self._monotonic() + PAUSE

    async def _refresh(
        self, key: SessionKey, known: CachedSession, refused: str | None
    ) -> CachedSession | None:
        holder = secrets.token_hex(8)
        patience = self._monotonic() + FLIGHT
        while not await self._store.lock(key.id, holder):
            await asyncio.sleep(0.05)
            newer = await self._read(key, known)
            if newer is None or newer.stored.version != known.stored.version:
                return newer
            if self._monotonic() >= patience:
                raise FetchFailed("another gateway's refresh of this session takes too long")
        try:
            current = await self._read(key, known)
            if current is None:
                return None
            tokens = current.record.tokens
            if tokens.access_token != refused and not self._due(tokens):
                return current
            return await self._redeem(key, current, holder)
        finally:
            await self._unlock(key.id, holder)

    async def _redeem(self, key: SessionKey, known: CachedSession, holder: str) -> CachedSession | None:
        old = known.record.tokens
        try:
            newer = await self._renew(old.refresh_token or "")
        except RefreshRefused as refusal:
            if await self._store.end(key.id, version=known.stored.version) is None:
                # Whoever was held up past the lock's end comes too late with an old refresh token; the session goes
                # on with the other gateway's.
                return await self._read(key, known)
            log.info("session %s ends: refresh refused: %s", key.id[:12], refusal)
            await self._ended(key.id)
            return None
        if _names_another(known.record, newer):
            # OpenID Connect Core section 12.2: it must be the same person. What came is somebody else's, and no
            # request may go out with it.
            log.error("session %s ends: its refresh was answered for another person", key.id[:12])
            if await self._store.end(key.id) is not None:
                await self._ended(key.id)
            return None
        record = replace(known.record, tokens=old.renewed_by(replace(newer, id_token=None)))
        stored = known.stored
        if not await self._swap(key, stored.version, record, holder):
            return await self._read(key, known)
        stored = replace(stored, version=stored.version + 1)
        return self._put(key.id, CachedSession(record, stored, self._monotonic()))

    async def _swap(self, key: SessionKey, version: int, record: SessionRecord, holder: str) -> bool:
        sealed = key.seal(record)
        for pause in (0.1, 0.5, 1.0, 2.0):
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


_PASSING = (StoreUnavailable, FetchFailed)


def _names_another(record: SessionRecord, newer: TokenSet) -> bool:
    """Whether the ID token that came with a refresh, over the connection to the provider, is about somebody else."""
    if newer.id_token is None:
        return False
    try:
        claims = parse(newer.id_token).claims
    except TokenRefused:
        # It cannot be read, so it says nothing; the session keeps the one of the sign-in.
        return False
    return (claims.get("iss"), claims.get("sub")) != (record.issuer, record.subject)


def _margin(tokens: TokenSet) -> float:
    return min(MARGIN, (tokens.expires_at - tokens.issued_at) / 3)
