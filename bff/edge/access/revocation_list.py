"""Tokens that are refused though they are signed and not expired, and sessions that ended elsewhere.

Promises that a revocation holds on every gateway within a second, that a token is judged without asking anyone (two
looks into a table), and that the end of a session reaches streams here even when the message about it was lost. While
Redis is away the last list stays in force; a gateway that has not reached Redis since its start knows of none, and
tokens then hold until they expire.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...calls import Clock
from ...calls.ending import end_tasks
from ...calls.principal import Marks
from ...stores.redis.client import StoreUnavailable
from ...stores.revocations import RevocationStore, Revoked
from ...stores.sessions import hashed

log = logging.getLogger("bff.session")

LOOK = 0.5
"""Seconds between two looks."""
OVERLAP = 1000
"""Milliseconds looked back beyond the last look: two ends may share one."""


def marks_of(issuer: str, claims: Mapping[str, Any]) -> Marks:
    """Those of a token whose claims have been judged."""
    id = claims.get("jti")
    return Marks(
        hashed(issuer, id) if isinstance(id, str) else None,
        hashed(issuer, str(claims["sub"])),
        float(claims["iat"]),
    )


class RevocationList:
    """ended: told each session that ended anywhere; changed: called when more is refused than before.

    clock is Unix seconds. `start()` and `stop()` are its owner's.
    """

    def __init__(
        self,
        store: RevocationStore,
        *,
        ended: Callable[[str], None] = lambda session: None,
        changed: Callable[[], None] = lambda: None,
        clock: Clock = time.time,
    ) -> None:
        self._store = store
        self._told_ended = ended
        self._told_changed = changed
        self._clock = clock
        self._tokens: dict[str, float] = {}
        self._subjects: dict[str, Revoked] = {}
        self._version = ""
        self._since: int | None = None
        self._task: asyncio.Task[None] | None = None

    def refuse(self, marks: Marks) -> bool:
        """Whether a token is revoked."""
        if marks.token in self._tokens:
            return True
        subject = self._subjects.get(marks.subject)
        return subject is not None and subject.at is not None and marks.issued <= subject.at

    async def note(self, session: str) -> None:
        """Tell every gateway that a session has ended. Raises StoreUnavailable."""
        await self._store.record_session_end(session)

    async def look(self) -> None:
        """Take in what is new. Raises StoreUnavailable."""
        since = self._since
        news = await self._store.changes(self._version, 0 if since is None else since - OVERLAP)
        self._version, self._since = news.version, news.now
        if since is not None:
            for session in news.ended:
                self._told_ended(session)
        if news.revoked is not None and self._take(news.revoked):
            self._told_changed()

    def _take(self, entries: Sequence[Revoked]) -> bool:
        """Add to what is known: a Redis that lost its list takes nothing back."""
        before = len(self._tokens), {key: one.at for key, one in self._subjects.items()}
        for one in entries:
            known = self._subjects.get(one.key)
            if one.at is None:
                self._tokens[one.key] = one.until
            elif known is None or known.at is None or known.at < one.at:
                self._subjects[one.key] = one
        grown = before != (len(self._tokens), {key: one.at for key, one in self._subjects.items()})
        now = self._clock()
        self._tokens = {key: until for key, until in self._tokens.items() if until > now}
        self._subjects = {key: one for key, one in self._subjects.items() if one.until > now}
        return grown

    async def start(self) -> None:
        """Take in what there is, as far as Redis is there, and go on looking."""
        with contextlib.suppress(StoreUnavailable):
            await self.look()
        self._task = asyncio.create_task(self._run(), name="bff-revocations")

    async def stop(self) -> None:
        if self._task is not None:
            await end_tasks([self._task])

    @property
    def alive(self) -> bool:
        """False when its work ended though nobody stopped it."""
        return self._task is not None and not self._task.done()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(LOOK)
            try:
                await self.look()
            except StoreUnavailable as error:
                log.debug("revocations cannot be read, the last ones stay in force: %s", error)
