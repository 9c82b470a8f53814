"""What the development sign-in remembers: its key, sign-ins and pushed requests, in SQLite, in memory or in a file.

Guarantees that a code, a refresh token and a pushed request work once: each is one conditional UPDATE or DELETE. Codes
and pushed requests are stored as SHA-256 digests. The file can be read by its owner alone. At most 10,000 sign-ins and
1,000 pushed requests are stored: the oldest give way. A statement takes some 50 µs, because nothing waits for the disk
(`synchronous=OFF`: a killed process loses nothing, a machine that loses power may), so it runs on the event loop.
"""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ....calls import Clock

MOST_SIGN_INS = 10_000
MOST_PUSHED = 1_000

_TABLES = """
CREATE TABLE IF NOT EXISTS secrets (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS sign_ins (
  sid TEXT PRIMARY KEY, sub TEXT NOT NULL, scope TEXT NOT NULL, nonce TEXT, acr TEXT, auth_time INTEGER NOT NULL,
  expires INTEGER NOT NULL, ended INTEGER NOT NULL DEFAULT 0, generation INTEGER NOT NULL DEFAULT 0,
  code TEXT UNIQUE NOT NULL, code_expires INTEGER NOT NULL, code_used INTEGER NOT NULL DEFAULT 0,
  redirect_uri TEXT NOT NULL, challenge TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS sign_ins_by_time ON sign_ins (expires);
CREATE TABLE IF NOT EXISTS pushed (uri TEXT PRIMARY KEY, query TEXT NOT NULL, expires INTEGER NOT NULL);
"""


def digest(value: str) -> str:
    """What is stored of a code."""
    return hashlib.sha256(value.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class SignIn:
    """A person's sign-in at the gateway's client. Times are Unix seconds.

    generation  how often its refresh token was redeemed; only the token of this generation can be redeemed
    code        digest of its authorization code; challenge: the PKCE challenge (RFC 7636), by S256
    """

    sid: str
    sub: str
    scope: str
    nonce: str | None
    acr: str | None
    auth_time: int
    expires: int
    code: str
    code_expires: int
    redirect_uri: str
    challenge: str
    ended: bool = False
    generation: int = 0
    code_used: bool = False


class State:
    """path: None keeps everything in memory. clock: Unix seconds."""

    def __init__(self, path: Path | None, clock: Clock = time.time) -> None:
        self._clock = clock
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
            path.chmod(0o600)
        self._db = sqlite3.connect(path or ":memory:", isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.executescript(f"PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;{_TABLES}")

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def now(self) -> int:
        """Unix seconds."""
        return int(self._clock())

    def secret(self, name: str, make: Callable[[], str]) -> str:
        """The value stored under a name; it is made when there is none."""
        self._db.execute("INSERT OR IGNORE INTO secrets VALUES (?, ?)", (name, make()))
        return str(self._db.execute("SELECT value FROM secrets WHERE name = ?", (name,)).fetchone()[0])

    # ---- sign-ins --------------------------------------------------------------------------------------------

    def add(self, one: SignIn) -> None:
        """Store a new sign-in, and remove those that have expired."""
        self._db.execute("DELETE FROM sign_ins WHERE expires < ?", (self.now(),))
        self._db.execute(
            "DELETE FROM sign_ins WHERE sid IN (SELECT sid FROM sign_ins ORDER BY auth_time DESC LIMIT -1 OFFSET ?)",
            (MOST_SIGN_INS - 1,),
        )
        self._db.execute(
            "INSERT INTO sign_ins (sid, sub, scope, nonce, acr, auth_time, expires, code, code_expires, redirect_uri,"
            " challenge) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (one.sid, one.sub, one.scope, one.nonce, one.acr, one.auth_time, one.expires, one.code)
            + (one.code_expires, one.redirect_uri, one.challenge),
        )

    def by_sid(self, sid: str) -> SignIn | None:
        """The sign-in, ended or not."""
        return self._one("sid", sid)

    def by_code(self, code: str) -> SignIn | None:
        """The sign-in whose code this is, used or not."""
        return self._one("code", digest(code))

    def open(self) -> list[SignIn]:
        """Sign-ins that have not ended, newest first, at most 100; a code that nobody redeemed is none."""
        rows = self._db.execute(
            "SELECT * FROM sign_ins WHERE NOT ended AND code_used AND expires >= ? ORDER BY auth_time DESC LIMIT 100",
            (self.now(),),
        )
        return [_sign_in(row) for row in rows]

    def use_code(self, sid: str) -> bool:
        """Whether this caller is the first to redeem the code of this sign-in."""
        return self._changed(
            "UPDATE sign_ins SET code_used = 1 WHERE sid = ? AND NOT code_used AND NOT ended", sid
        )

    def rotate(self, sid: str, generation: int, expires: int) -> bool:
        """Whether this caller is the first to redeem the refresh token of this generation."""
        rotated = (
            "UPDATE sign_ins SET generation = generation + 1, expires = ? WHERE sid = ? AND generation = ?"
        )
        return self._changed(f"{rotated} AND NOT ended", expires, sid, generation)

    def end(self, sid: str) -> bool:
        """End a sign-in: nothing that was issued from it works any more. Whether it had not ended yet."""
        return self._changed("UPDATE sign_ins SET ended = 1 WHERE sid = ? AND NOT ended", sid)

    def _one(self, column: str, value: str) -> SignIn | None:
        row = self._db.execute(f"SELECT * FROM sign_ins WHERE {column} = ?", (value,)).fetchone()  # noqa: S608 - ours
        return None if row is None else _sign_in(row)

    def _changed(self, statement: str, *values: object) -> bool:
        return self._db.execute(statement, values).rowcount == 1

    # ---- pushed requests ---------------------------------------------------------------------------------------

    def push(self, uri: str, query: str, seconds: int) -> None:
        """Store the parameters of an authorization request (RFC 9126)."""
        self._db.execute("DELETE FROM pushed WHERE expires < ?", (self.now(),))
        self._db.execute(
            "DELETE FROM pushed WHERE uri IN (SELECT uri FROM pushed ORDER BY expires DESC LIMIT -1 OFFSET ?)",
            (MOST_PUSHED - 1,),
        )
        self._db.execute("INSERT INTO pushed VALUES (?, ?, ?)", (digest(uri), query, self.now() + seconds))

    def pushed(self, uri: str) -> str | None:
        """The parameters that were pushed under this address."""
        found = self._db.execute(
            "SELECT query FROM pushed WHERE uri = ? AND expires >= ?", (digest(uri), self.now())
        ).fetchone()
        return None if found is None else str(found[0])

    def use_pushed(self, uri: str) -> bool:
        """Whether this caller is the first to use the pushed request."""
        return self._changed("DELETE FROM pushed WHERE uri = ?", digest(uri))


def _sign_in(row: sqlite3.Row) -> SignIn:
    values = dict(row)
    return SignIn(**values | {"ended": bool(values["ended"]), "code_used": bool(values["code_used"])})
