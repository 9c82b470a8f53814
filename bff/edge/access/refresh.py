"""Refreshes the access tokens of browser sessions before they expire, once for all requests and gateways.

Guarantees that one gateway at a time redeems a refresh token (a lock in Redis, one task in the process, and a version
that shows whether another gateway has refreshed the session). No request waits while the old access token is valid. A
provider that is slow or away signs nobody out; only its refusal ends a session. The task of a refresh belongs to the
gateway and not to the request that started it, because the answer holds the only refresh token that is still valid.
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
from .session_cache import MAX_CACHED, CachedSession, SessionCache
from .session_record import SessionKey, SessionRecord, TokenSet

log = logging.getLogger("bff.session")

MARGIN = 30.0
"""Seconds before its end at which an access token is refreshed; a third of its lifetime when that is shorter."""
URGENT = 5.0
"""Seconds before its end from which a request waits for the refresh instead of using the old token: longer than most
requests take."""
REQUEST_WAIT = 5.0
"""Seconds such a request waits at most."""
LOCK_WAIT = 20.0
"""Seconds a gateway waits for another one's refresh: longer than its lock can be held."""
FORCED_INTERVAL = 60.0
"""Seconds between two refreshes of a session's token because a service refused it: a service that refuses every token
must not cause a refresh each time."""
PAUSE = 2.0
"""Seconds after a refresh without an answer before the next attempt for that session."""

Renew = Callable[[str], Awaitable[TokenSet]]
"""Redeems a refresh token. Raises RefreshRefused or FetchFailed."""


class RefreshRefused(Exception):
    """The provider refuses this refresh token: the session ends."""


class Refresher:
    """`await refresher.fresh(key, session)` gives the session with a token to use now; None when it has ended.

    on_end: called with the id of a session that ends because its refresh was refused.
    """

    def __init__(
        self,
        store: SessionStore,
        cache: SessionCache,
        renew: Renew,
        on_end: Callable[[str], Awaitable[None]],
        clock: Clock,
        monotonic: Clock,
    ) -> None:
        self._store = store
        self._cache = cache
        self._renew = renew
        self._on_end = on_end
        self._clock = clock
        self._monotonic = monotonic
        self._paused: dict[str, float] = {}
        self._forced: dict[str, float] = {}
        self._tasks: dict[str, asyncio.Task[CachedSession | None]] = {}

    async def fresh(
        self, key: SessionKey, session: CachedSession, *, refused: str | None = None
    ) -> CachedSession | None:
        """refused: an access token that a service refused; where the session still has it, another one is requested,
        once in `FORCED_INTERVAL` seconds. Raises Problem 503 when its token has expired and cannot be refreshed now."""
        tokens = session.record.tokens
        forced = tokens.access_token == refused and self._may_force(key.id, tokens)
        if not forced and not self._is_due(tokens):
            return session
        task = self._tasks.get(key.id) or self._begin(key, session, refused if forced else None)
        if task is not None and (forced or self._left(tokens) <= min(URGENT, _margin(tokens))):
            # `wait_for` and a plain await would cancel the task when the browser disconnects.
            await asyncio.wait([task], timeout=REQUEST_WAIT)
            if task.done() and not task.cancelled() and not isinstance(task.exception(), _TEMPORARY):
                return task.result()
        if self._left(tokens) <= 0:
            raise Problem(
                503,
                "unavailable",
                "The session's access token has run out and cannot be refreshed at the moment. Try again shortly.",
                retry_after=PAUSE,
            )
        return session

    async def close(self) -> None:
        """Wait for refreshes under way, at most `REQUEST_WAIT` seconds: a new token that is not stored is lost."""
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=REQUEST_WAIT)
        for task in list(self._tasks.values()):
            task.cancel()

    def _is_due(self, tokens: TokenSet, refused: str | None = None) -> bool:
        return tokens.refresh_token is not None and (
            tokens.access_token == refused or self._left(tokens) <= _margin(tokens)
        )

    def _may_force(self, id: str, tokens: TokenSet) -> bool:
        if id in self._tasks:
            return True
        now = self._monotonic()
        if tokens.refresh_token is None or now < self._forced.get(id, float("-inf")):
            return False
        _remember(self._forced, id, now + FORCED_INTERVAL)
        return True

    def _left(self, tokens: TokenSet) -> float:
        return tokens.expires_at - self._clock()

    def _begin(
        self, key: SessionKey, session: CachedSession, refused: str | None
    ) -> asyncio.Task[CachedSession | None] | None:
        if self._monotonic() < self._paused.get(key.id, 0.0):
            return None
        task = self._tasks[key.id] = asyncio.get_running_loop().create_task(
            self._refresh(key, session, refused), name="bff-refresh"
        )
        task.add_done_callback(lambda done: self._on_done(key.id, done))
        return task

    def _on_done(self, id: str, task: asyncio.Task[CachedSession | None]) -> None:
        del self._tasks[id]
        if not task.cancelled() and (error := task.exception()) is not None:
            temporary = isinstance(error, _TEMPORARY)
            log.log(
                logging.WARNING if temporary else logging.ERROR,
                "the access token of session %s was not refreshed: %s",
                id[:12],
                error,
                exc_info=None if temporary else error,
            )
            _remember(self._paused, id, self._monotonic() + PAUSE)

    async def _refresh(
        self, key: SessionKey, session: CachedSession, refused: str | None
    ) -> CachedSession | None:
        holder = secrets.token_hex(8)
        give_up_at = self._monotonic() + LOCK_WAIT
        while not await self._store.lock(key.id, holder):
            await asyncio.sleep(0.05)
            newer = await self._cache.read(key)
            if newer is None or newer.stored.version != session.stored.version:
                return newer
            if self._monotonic() >= give_up_at:
                raise FetchFailed("another gateway's refresh of this session takes too long")
        try:
            current = await self._cache.read(key)
            if current is None or not self._is_due(current.record.tokens, refused):
                return current
            return await self._redeem(key, current, holder)
        finally:
            try:
                await self._store.unlock(key.id, holder)
            except StoreUnavailable as error:
                log.debug("a refresh lock is left to its TTL: %s", error)

    async def _redeem(self, key: SessionKey, session: CachedSession, holder: str) -> CachedSession | None:
        old, version = session.record.tokens, session.stored.version
        try:
            new = await self._renew(old.refresh_token or "")
        except RefreshRefused as refusal:
            if await self._store.end(key.id, version=version) is None:
                # The lock expired while this gateway was delayed, and another gateway refreshed the session meanwhile:
                # the session has that gateway's token.
                return await self._cache.read(key)
            log.info("session %s ends: its refresh was refused: %s", key.id[:12], refusal)
            await self._on_end(key.id)
            return None
        if _is_for_another_subject(session.record, new):
            # OpenID Connect Core section 12.2: it must be the same person. No request may use these tokens.
            log.error("session %s ends: its refresh was answered for another person", key.id[:12])
            if await self._store.end(key.id) is not None:
                await self._on_end(key.id)
            return None
        record = replace(session.record, tokens=old.renewed_by(replace(new, id_token=None)))
        if not await self._swap(key, version, record, holder):
            return await self._cache.read(key)
        return self._cache.put(key.id, record, replace(session.stored, version=version + 1))

    async def _swap(self, key: SessionKey, version: int, record: SessionRecord, holder: str) -> bool:
        sealed = key.seal(record)
        for pause in (0.1, 0.5, 1.0, 2.0):
            try:
                return await self._store.swap(key.id, version, sealed, holder)
            except StoreUnavailable:
                # The old refresh token is redeemed and only this process has the new one: try again.
                await asyncio.sleep(pause)
        return await self._store.swap(key.id, version, sealed, holder)


_TEMPORARY = (StoreUnavailable, FetchFailed)


def _remember(until: dict[str, float], id: str, moment: float) -> None:
    if len(until) >= MAX_CACHED:
        until.clear()
    until[id] = moment


def _is_for_another_subject(record: SessionRecord, new: TokenSet) -> bool:
    """Whether the ID token that came with a refresh is about another person. It came over the connection to the
    provider, so its signature is not needed."""
    try:
        claims = parse(new.id_token or "").claims
    except TokenRefused:
        # It is missing or cannot be read, so it names nobody; the session keeps the ID token of the sign-in.
        return False
    return (claims.get("iss"), claims.get("sub")) != (record.issuer, record.subject)


def _margin(tokens: TokenSet) -> float:
    return min(MARGIN, (tokens.expires_at - tokens.issued_at) / 3)
