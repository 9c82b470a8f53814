"""Identity's memory: sign-ins, single-use codes and refresh tokens in one SQLite file.

Promises that what happens inside `transaction()` is atomic and that codes and tokens are kept only as SHA-256
digests. Refuses nothing by itself: who may redeem what is decided by the grants. Rows past their time are
removed whenever a new sign-in is written, so the file stays bounded. Calls block: run them in a thread.
"""

from __future__ import annotations

import hashlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_SCHEMA = """
CREATE TABLE IF NOT EXISTS secrets (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS sign_ins (
  sid TEXT PRIMARY KEY, client_id TEXT NOT NULL, sub TEXT NOT NULL, scope TEXT NOT NULL,
  nonce TEXT, auth_time INTEGER NOT NULL, expires INTEGER NOT NULL, ended INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS codes (
  digest TEXT PRIMARY KEY, sid TEXT NOT NULL, redirect_uri TEXT NOT NULL, challenge TEXT NOT NULL,
  expires INTEGER NOT NULL, used INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS refresh_tokens (
  digest TEXT PRIMARY KEY, sid TEXT NOT NULL, scope TEXT NOT NULL,
  expires INTEGER NOT NULL, used INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS sign_ins_expires ON sign_ins (expires);
"""


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


class Store:
    """The file. `clock` gives seconds since the epoch."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._clock = clock
        self._lock = threading.RLock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=5)
        path.chmod(0o600)  # the signing key is in it
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def ping(self) -> None:
        """Raise sqlite3.Error when the file cannot be read."""
        with self._lock:
            self._db.execute("SELECT 1 FROM secrets LIMIT 1").fetchone()

    def now(self) -> int:
        return int(self._clock())

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """One writer at a time; all of it or nothing."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def secret(self, name: str, make: Callable[[], str]) -> str:
        """The value kept under a name, made and kept when there is none yet."""
        with self.transaction():
            row = self._db.execute("SELECT value FROM secrets WHERE name = ?", (name,)).fetchone()
            if row is not None:
                return str(row[0])
            value = make()
            self._db.execute("INSERT INTO secrets VALUES (?, ?)", (name, value))
            return value

    def add_sign_in(self, sign_in: SignIn, *, expires: int) -> None:
        self._sweep()
        self._db.execute(
            "INSERT INTO sign_ins (sid, client_id, sub, scope, nonce, auth_time, expires)"
            " VALUES (:sid, :client_id, :sub, :scope, :nonce, :auth_time, :expires)",
            {
                "sid": sign_in.sid,
                "client_id": sign_in.client_id,
                "sub": sign_in.sub,
                "scope": sign_in.scope,
                "nonce": sign_in.nonce,
                "auth_time": sign_in.auth_time,
                "expires": expires,
            },
        )

    def sign_in(self, sid: str) -> SignIn | None:
        with self._lock:
            row = self._db.execute(
                "SELECT sid, client_id, sub, scope, nonce, auth_time, ended FROM sign_ins WHERE sid = ?",
                (sid,),
            ).fetchone()
        if row is None:
            return None
        sid, client_id, sub, scope, nonce, auth_time, ended = row
        return SignIn(sid, client_id, sub, scope, nonce, auth_time, bool(ended))

    def end(self, sid: str) -> None:
        """No code or refresh token of this sign-in works any more."""
        self._db.execute("UPDATE sign_ins SET ended = 1 WHERE sid = ?", (sid,))

    def prolong(self, sid: str, expires: int) -> None:
        self._db.execute("UPDATE sign_ins SET expires = max(expires, ?) WHERE sid = ?", (expires, sid))

    def add_code(self, code: str, sid: str, *, redirect_uri: str, challenge: str, expires: int) -> None:
        self._db.execute(
            "INSERT INTO codes (digest, sid, redirect_uri, challenge, expires) VALUES (?, ?, ?, ?, ?)",
            (digest(code), sid, redirect_uri, challenge, expires),
        )

    def code(self, code: str) -> CodeRow | None:
        row = self._db.execute(
            "SELECT digest, sid, redirect_uri, challenge, expires, used FROM codes WHERE digest = ?",
            (digest(code),),
        ).fetchone()
        sign_in = self.sign_in(row[1]) if row else None
        if sign_in is None:
            return None
        return CodeRow(row[0], sign_in, row[2], row[3], row[4], bool(row[5]))

    def use_code(self, kept: str) -> None:
        self._db.execute("UPDATE codes SET used = 1 WHERE digest = ?", (kept,))

    def add_refresh(self, token: str, sid: str, *, scope: str, expires: int) -> None:
        self._db.execute(
            "INSERT INTO refresh_tokens (digest, sid, scope, expires) VALUES (?, ?, ?, ?)",
            (digest(token), sid, scope, expires),
        )

    def refresh(self, token: str) -> RefreshRow | None:
        row = self._db.execute(
            "SELECT digest, sid, scope, expires, used FROM refresh_tokens WHERE digest = ?", (digest(token),)
        ).fetchone()
        sign_in = self.sign_in(row[1]) if row else None
        if sign_in is None:
            return None
        return RefreshRow(row[0], sign_in, row[2], row[3], bool(row[4]))

    def use_refresh(self, kept: str) -> None:
        self._db.execute("UPDATE refresh_tokens SET used = 1 WHERE digest = ?", (kept,))

    def _sweep(self) -> None:
        now = self.now()
        self._db.execute("DELETE FROM sign_ins WHERE expires < ?", (now,))
        # A used code is kept as long as its sign-in: only so is its replay seen for what it is.
        for table in ("codes", "refresh_tokens"):
            self._db.execute(f"DELETE FROM {table} WHERE sid NOT IN (SELECT sid FROM sign_ins)")  # noqa: S608
