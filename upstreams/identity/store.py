"""Identity's memory: sign-ins, single-use codes and refresh tokens, in SQLite or PostgreSQL.

Guarantees that what happens inside `run` is one transaction, and that one who reads a code or a refresh token there
keeps others from it until the end. Refuses nothing by itself: who may redeem what is decided by the grants. Rows past
their time are removed whenever a new sign-in is written, so the tables stay bounded.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import TypeVar

from bff_service import Database
from sqlalchemy import Connection, delete, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import Session

from .models import Base, Redeemable, Secret, SignIn, digest

T = TypeVar("T")
Kind = TypeVar("Kind", bound=Redeemable)
_session: ContextVar[Session] = ContextVar("identity_session")


class Store:
    """`clock` gives seconds since the epoch. All methods but `run`, `inside` and `now` are for the work inside them."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    def now(self) -> int:
        return int(self._clock())

    async def run(self, work: Callable[[], T]) -> T:
        """Do the work in a write transaction: all of it, or nothing when it raises. It is written for a database that
        blocks, as Authlib's core is; the loop goes on meanwhile."""
        async with self._database.write() as db:
            return await self.inside(db, work)

    async def inside(self, db: AsyncConnection, work: Callable[[], T]) -> T:
        """The same in the caller's transaction."""

        def worked(link: Connection) -> T:
            with Session(link, expire_on_commit=False) as session:
                token = _session.set(session)
                try:
                    answer = work()
                    session.flush()
                finally:
                    _session.reset(token)
            return answer

        return await db.run_sync(worked)

    def secret(self, name: str, make: Callable[[], str]) -> str:
        """The value kept under a name, made and kept when there is none yet."""
        kept = _session.get().get(Secret, name)
        if kept is None:
            kept = Secret(name=name, value=make())
            self.add(kept)
        return kept.value

    def add(self, *rows: Base) -> None:
        _session.get().add_all(rows)

    def sign_in(self, sid: str) -> SignIn | None:
        return _session.get().get(SignIn, sid)

    def end(self, sid: str) -> None:
        """No code or refresh token of this sign-in works any more."""
        if (sign_in := self.sign_in(sid)) is not None:
            sign_in.ended = True

    def find(self, kind: type[Kind], value: str) -> Kind | None:
        """The code or the refresh token, locked: that is what makes it single-use among replicas on one server."""
        wanted = select(kind).where(kind.digest == digest(value)).with_for_update()
        return _session.get().scalars(wanted).first()

    def sweep(self) -> None:
        """Remove the sign-ins past their time, with their codes and refresh tokens."""
        _session.get().execute(delete(SignIn).where(SignIn.expires < self.now()))
