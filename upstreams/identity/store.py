"""Identity's memory: sign-ins, single-use codes and refresh tokens, in SQLite or PostgreSQL.

Promises that what happens inside `transaction()` is atomic, that one who reads a code or a refresh token there
keeps others from it until the end, and that both are kept only as SHA-256 digests. Refuses nothing by itself: who
may redeem what is decided by the grants. Rows past their time are removed whenever a new sign-in is written, so
the tables stay bounded. Calls block: run them in a thread.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import case, create_engine, delete, event, insert, select, text, update
from sqlalchemy.engine import URL, Connection, make_url
from sqlalchemy.exc import IntegrityError

from .tables import codes, metadata, refresh_tokens, secrets, sign_ins

_DRIVERS = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg"}


@dataclass(frozen=True, slots=True)
class SignIn:
    """One person's consent to one client; every code and token of it ends with it."""

    sid: str
    client_id: str
    sub: str
    scope: str
    nonce: str | None
    auth_time: int
    ended: bool = False


@dataclass(frozen=True, slots=True)
class CodeRow:
    digest: str
    sign_in: SignIn
    redirect_uri: str
    challenge: str
    expires: int
    used: bool


@dataclass(frozen=True, slots=True)
class RefreshRow:
    digest: str
    sign_in: SignIn
    scope: str
    expires: int
    used: bool


def digest(value: str) -> str:
    """What is kept of a code or a refresh token."""
    return hashlib.sha256(value.encode()).hexdigest()


def _blocking(url: str) -> URL:
    """The same database through its blocking driver: Authlib's core calls from threads."""
    parsed = make_url(url)
    return parsed.set(drivername=_DRIVERS.get(parsed.get_backend_name(), parsed.drivername))


class Store:
    """The database at an SQLAlchemy URL, of the kit's asynchronous kind or not. `clock` gives seconds since the
    epoch. One thread of this process at a time is inside `transaction()`; the others wait."""

    def __init__(self, url: str, clock: Callable[[], float] = time.time) -> None:
        parsed = _blocking(url)
        self._clock = clock
        self._lock = threading.RLock()
        self._open: Connection | None = None
        self._sqlite = parsed.get_backend_name() == "sqlite"
        if self._sqlite and parsed.database:
            path = Path(parsed.database)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
            path.chmod(0o600)  # the signing key is in it
        # A server that restarted leaves dead connections in the pool: each is tried before it is used.
        self._engine = create_engine(parsed, pool_pre_ping=not self._sqlite)
        if self._sqlite:
            event.listen(self._engine, "connect", _prepare)
            event.listen(self._engine, "begin", _begin)
        with self.transaction() as db:
            if not self._sqlite:
                # Two replicas that start at once create the tables one after the other.
                db.execute(text("SELECT pg_advisory_xact_lock(1)"))
            metadata.create_all(db)

    def close(self) -> None:
        with self._lock:
            self._engine.dispose()

    def ping(self) -> None:
        """Raise sqlalchemy.exc.SQLAlchemyError when the database does not answer."""
        with self.transaction() as db:
            db.execute(select(secrets.c.name).limit(1))

    def now(self) -> int:
        return int(self._clock())

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One writer at a time; all of it or nothing. Inside one, another is a part of it."""
        with self._lock:
            if self._open is not None:
                yield self._open
                return
            with self._engine.begin() as db:
                self._open = db
                try:
                    yield db
                finally:
                    self._open = None

    def secret(self, name: str, make: Callable[[], str]) -> str:
        """The value kept under a name, made and kept when there is none yet."""
        wanted = select(secrets.c.value).where(secrets.c.name == name)
        with self.transaction() as db:
            kept = db.execute(wanted).scalar()
            if kept is None:
                try:
                    with db.begin_nested():
                        db.execute(insert(secrets).values(name=name, value=make()))
                except IntegrityError:
                    pass  # another process made it at the same time
                kept = db.execute(wanted).scalar_one()
            return str(kept)

    def add_sign_in(self, sign_in: SignIn, *, expires: int) -> None:
        with self.transaction() as db:
            self._sweep(db)
            db.execute(
                insert(sign_ins).values(
                    sid=sign_in.sid,
                    client_id=sign_in.client_id,
                    sub=sign_in.sub,
                    scope=sign_in.scope,
                    nonce=sign_in.nonce,
                    auth_time=sign_in.auth_time,
                    expires=expires,
                    ended=0,
                )
            )

    def sign_in(self, sid: str) -> SignIn | None:
        with self.transaction() as db:
            row = db.execute(select(sign_ins).where(sign_ins.c.sid == sid)).first()
        if row is None:
            return None
        return SignIn(row.sid, row.client_id, row.sub, row.scope, row.nonce, row.auth_time, bool(row.ended))

    def end(self, sid: str) -> None:
        """No code or refresh token of this sign-in works any more."""
        with self.transaction() as db:
            db.execute(update(sign_ins).where(sign_ins.c.sid == sid).values(ended=1))

    def prolong(self, sid: str, expires: int) -> None:
        later = case((sign_ins.c.expires < expires, expires), else_=sign_ins.c.expires)
        with self.transaction() as db:
            db.execute(update(sign_ins).where(sign_ins.c.sid == sid).values(expires=later))

    def add_code(self, code: str, sid: str, *, redirect_uri: str, challenge: str, expires: int) -> None:
        row = {"redirect_uri": redirect_uri, "challenge": challenge, "expires": expires, "used": 0}
        with self.transaction() as db:
            db.execute(insert(codes).values(digest=digest(code), sid=sid, **row))

    def code(self, code: str) -> CodeRow | None:
        row, sign_in = self._locked(codes, code)
        if row is None or sign_in is None:
            return None
        return CodeRow(row.digest, sign_in, row.redirect_uri, row.challenge, row.expires, bool(row.used))

    def use_code(self, kept: str) -> None:
        with self.transaction() as db:
            db.execute(update(codes).where(codes.c.digest == kept).values(used=1))

    def add_refresh(self, token: str, sid: str, *, scope: str, expires: int) -> None:
        row = {"scope": scope, "expires": expires, "used": 0}
        with self.transaction() as db:
            db.execute(insert(refresh_tokens).values(digest=digest(token), sid=sid, **row))

    def refresh(self, token: str) -> RefreshRow | None:
        row, sign_in = self._locked(refresh_tokens, token)
        if row is None or sign_in is None:
            return None
        return RefreshRow(row.digest, sign_in, row.scope, row.expires, bool(row.used))

    def use_refresh(self, kept: str) -> None:
        with self.transaction() as db:
            db.execute(update(refresh_tokens).where(refresh_tokens.c.digest == kept).values(used=1))

    def _locked(self, table: Any, value: str) -> tuple[Any, SignIn | None]:  # the rows of two tables
        # The lock is what makes a code single-use among replicas on one server; SQLite's writer has it already.
        with self.transaction() as db:
            row = db.execute(select(table).where(table.c.digest == digest(value)).with_for_update()).first()
            return row, None if row is None else self.sign_in(row.sid)

    def _sweep(self, db: Connection) -> None:
        db.execute(delete(sign_ins).where(sign_ins.c.expires < self.now()))
        # A used code is kept as long as its sign-in: only so is its replay seen for what it is.
        for table in (codes, refresh_tokens):
            db.execute(delete(table).where(table.c.sid.not_in(select(sign_ins.c.sid))))


def _prepare(link: Any, _record: object) -> None:  # the driver's own connection type
    # The driver must not begin transactions by itself: `_begin` does.
    link.isolation_level = None
    for pragma in ("busy_timeout=5000", "journal_mode=WAL", "synchronous=NORMAL"):
        link.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    # The write lock first: a read-then-write transaction never fails half way.
    connection.exec_driver_sql("BEGIN IMMEDIATE")
