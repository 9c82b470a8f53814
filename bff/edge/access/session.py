"""Browser sessions: from the cookie to the Principal, with tokens that are fresh when a service sees them.

Promises that an unknown cookie is nobody; that while Redis is away a session seen lately goes on (for everything for
`remembered` seconds, for GETs up to five minutes) and any other gets a 503, never a 401; that whoever acts for a person
later, when the request is long over, gets a token that is valid then (`current`). Tokens never leave the server.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import replace

from cryptography.exceptions import InvalidTag

from ...calls import Clock, Principal
from ...calls.principal import Marks
from ...policies.breaker import Breaker, BreakerRule
from ...stores.redis.client import StoreUnavailable
from ...stores.sessions import SessionStore, hashed
from ..settings import SessionSettings
from .refresh import Refresher, Renew
from .revocation_list import RevocationList
from .session_cache import CachedSession, SessionCache, sessions_unavailable
from .session_record import SessionKey, SessionRecord

log = logging.getLogger("bff.session")

COOKIE = "__Host-bff"
ENDED = 10_000
"""Sessions that ended lately, remembered for the streams that are about to open; the one that ended first gives way."""
ADDRESS_FOR = 60.0
"""Seconds for which the address that a browser goes to after signing out can be taken."""
_TOLD_AT_ONCE = 50

OnEnd = Callable[[str], Awaitable[None]]
"""Told the hashed id of each session that was ended on purpose, so that its streams end too."""


class Sessions:
    """renew: redeems refresh tokens (None: sessions end with their access token); on_end: see OnEnd; revoked: judges
    sessions by the moment at which their subject was revoked (None: none is).

    clock is Unix seconds, monotonic is for ages.
    """

    def __init__(
        self,
        store: SessionStore,
        settings: SessionSettings,
        *,
        renew: Renew | None = None,
        on_end: OnEnd | None = None,
        revoked: RevocationList | None = None,
        clock: Clock = time.time,
        monotonic: Clock = time.monotonic,
    ) -> None:
        self._store = store
        self._settings = settings
        self._on_end = on_end
        self._revoked = revoked
        self._clock = clock
        self._monotonic = monotonic
        self._memory = SessionCache(settings, clock, monotonic)
        self._ended_lately: OrderedDict[str, None] = OrderedDict()
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

    async def start(self, record: SessionRecord, *, began: float | None = None) -> str:
        """Begin a session, always under a new id; returns the cookie's value. began: Unix seconds by Redis, see
        `SessionStore.put`. Raises Problem 503."""
        key = SessionKey.new()
        lifetime = self._settings.lifetime
        if self._refresher is None or record.tokens.refresh_token is None:
            lifetime = max(1.0, min(lifetime, record.tokens.expires_at - self._clock()))
        try:
            stored = await self._store.put(
                key.id,
                key.seal(record),
                issuer=record.issuer,
                subject=record.subject,
                sid=record.sid,
                lifetime=lifetime,
                idle=self._settings.idle,
                began=began,
            )
        except StoreUnavailable as error:
            raise sessions_unavailable() from error
        self._memory.put(key.id, CachedSession(record, stored, self._monotonic()))
        return key.value

    async def principal(self, cookie: str | None, *, safe: bool = True) -> Principal | None:
        """Who the cookie's browser belongs to, with a fresh access token; None for nobody.

        safe: the request only reads. Raises Problem 503 `unavailable` when that cannot be known now.
        """
        key = SessionKey.read(cookie)
        return None if key is None else await self._principal(key, safe=safe, used=True, refused=None)

    async def current(self, principal: Principal, *, refused: str | None = None) -> Principal | None:
        """The same person with an access token that is valid now, for what is done in their name without them; None
        when the session has ended. It is no use of the session. A bearer token's principal is itself.

        refused: an access token that a service would not take; another one is asked for where there is none yet.
        Raises Problem 503 when that cannot be known now.
        """
        key = principal.session_key
        if not isinstance(key, SessionKey):
            return principal
        return await self._principal(key, safe=True, used=False, refused=refused)

    async def _principal(
        self, key: SessionKey, *, safe: bool, used: bool, refused: str | None
    ) -> Principal | None:
        known = await self._open(key, safe, used)
        if known is not None and self._refresher is not None:
            known = await self._refresher.fresh(key, known, refused=refused)
        if known is None:
            return None
        record, stored = known.record, known.stored
        principal = Principal(
            issuer=record.issuer,
            subject=record.subject,
            token=record.tokens.access_token,
            expires_at=stored.ends,
            scopes=record.tokens.scopes or frozenset(),
            claims=record.claims,
            session=key.id,
            roles=record.roles,
            # Revocations know their moment to the millisecond.
            marks=Marks(None, stored.subject, int(stored.began * 1000) / 1000),
            session_key=key,
        )
        return None if self.over(principal) else principal

    def over(self, principal: Principal) -> bool:
        """Whether a session's principal is not to be believed any more: it ended lately, or its subject was revoked."""
        if principal.session in self._ended_lately:
            return True
        marks = principal.marks
        return self._revoked is not None and marks is not None and self._revoked.refuse(marks)

    async def end(self, cookie: str | None) -> SessionRecord | None:
        """Sign the cookie's browser out; returns what the session held. Where there was none nothing is written and
        nobody is told. Raises Problem 503."""
        key = SessionKey.read(cookie)
        sealed = None if key is None else await self._end(key.id)
        return None if key is None or sealed is None else key.open(sealed)

    async def leave(self, id: str) -> None:
        """End a session by its hashed id. Raises Problem 503."""
        await self._end(id)

    async def _end(self, id: str) -> bytes | None:
        try:
            sealed = await self._store.end(id)
        except StoreUnavailable as error:
            raise sessions_unavailable() from error
        if sealed is not None:
            await self._ended(id)
        return sealed

    async def end_all(self, issuer: str, *, sid: str | None, subject: str | None) -> int:
        """End the sessions of a provider's session, or of a person; returns how many. Raises Problem 503."""
        ended = 0
        try:
            async for ids in self._store.end_in_batches(issuer, sid=sid, subject=subject):
                ended += len(ids)
                for start in range(0, len(ids), _TOLD_AT_ONCE):
                    await asyncio.gather(*map(self._ended, ids[start : start + _TOLD_AT_ONCE]))
        except StoreUnavailable as error:
            raise sessions_unavailable() from error
        return ended

    def forget(self, id: str) -> None:
        """A session has ended, here or on another gateway: nobody is let in with it any more."""
        self._ended_lately[id] = None
        self._ended_lately.move_to_end(id)
        if len(self._ended_lately) > ENDED:
            self._ended_lately.popitem(last=False)
        self._drop(id)

    async def close(self) -> None:
        """Let the refreshes under way come to their end, within a bound."""
        if self._refresher is not None:
            await self._refresher.close()

    # -- where a browser goes when it has signed out

    async def keep_address(self, url: str) -> str:
        """What to take the address by, once, within `ADDRESS_FOR` seconds. Raises StoreUnavailable."""
        key = SessionKey.new()
        await self._store.put_logout_redirect(key.id, key.encrypt(url.encode()), keep=ADDRESS_FOR)
        return key.value

    async def take_address(self, value: str | None) -> str | None:
        """The address; None when it was taken, or is too old. Raises StoreUnavailable."""
        key = SessionKey.read(value)
        sealed = None if key is None else await self._store.take_logout_redirect(key.id)
        if key is None or sealed is None:
            return None
        try:
            return key.decrypt(sealed).decode()
        except (InvalidTag, ValueError):
            return None

    # -- reading

    async def _open(self, key: SessionKey, safe: bool, used: bool) -> CachedSession | None:
        known = self._memory.get(key.id)
        if self._breaker.admit() is not None:
            return self._memory.recall(key.id, safe)
        era = self._breaker.era
        try:
            found = await self._read(key, known, used=used)
        except StoreUnavailable as error:
            self._breaker.failed(era)
            log.debug("sessions cannot be read: %s", error)
            return self._memory.recall(key.id, safe)
        except BaseException:
            self._breaker.abandoned(era)
            raise
        self._breaker.succeeded(era)
        return found

    async def _read(
        self, key: SessionKey, known: CachedSession | None, *, used: bool = False
    ) -> CachedSession | None:
        """used: this counts as use of the session."""
        idle = self._settings.idle if used else None
        row = await self._store.open(key.id, idle=idle, known=None if known is None else known.stored)
        if row is None:
            self._drop(key.id)
            return None
        record = known.record if known is not None else None
        if row.sealed is not None:
            record = key.open(row.sealed)
        if record is None:
            return None
        stored = replace(row, sealed=None)
        if not stored.subject:
            # Stored by an older version of this program, and so begun before anything that can be asked about.
            sid = hashed(record.issuer, record.sid) if record.sid is not None else ""
            stored = replace(stored, subject=hashed(record.issuer, record.subject), sid=sid)
        return self._memory.put(key.id, CachedSession(record, stored, self._monotonic()))

    def _drop(self, id: str) -> None:
        self._memory.drop(id)
        if self._refresher is not None:
            self._refresher.forget(id)

    async def _ended(self, id: str) -> None:
        self.forget(id)
        if self._on_end is not None:
            try:
                await self._on_end(id)
            except StoreUnavailable as error:
                log.warning("other gateways were not told that a session ended: %s", error)
