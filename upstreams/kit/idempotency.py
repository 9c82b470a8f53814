"""Idempotency keys for mutations (draft-ietf-httpapi-idempotency-key-header-07). Promises that a key's effect and
its answer are committed in one transaction, so that a repeat finds both or neither; refuses a key that comes back
with another payload. Keys belong to their caller: two callers may send the same one."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import (
    Column,
    DateTime,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from upstreams.kit.problems import Problem, Refusal

KEEP = timedelta(days=7)
MISSING = Refusal(400, "idempotency-key-missing", "This request needs an Idempotency-Key header.")
MALFORMED = Refusal(
    400, "idempotency-key-malformed", "The Idempotency-Key is not a string of 1 to 255 characters."
)
REUSED = Refusal(422, "idempotency-key-reused", "This Idempotency-Key came before with another payload.")

# RFC 8941, section 3.3.3: printable ASCII in quotes, only the quote and the backslash escaped.
_STRING = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"')
_BARE = re.compile(r"[!#-+\--:<-~]+")


def parse_key(value: str | None) -> str:
    """The key in an `Idempotency-Key` header: a structured-field string, or a bare token; 400 problems else."""
    if value is None or not value.strip():
        raise MISSING.problem()
    value = value.strip()
    match = _STRING.fullmatch(value)
    if match is not None:
        key = re.sub(r"\\(.)", r"\1", match[1])
    elif _BARE.fullmatch(value):
        key = value
    else:
        raise MALFORMED.problem()
    if not 1 <= len(key) <= 255:
        raise MALFORMED.problem()
    return key


def fingerprint_of(method: str, target: str, body: bytes) -> str:
    """What a key stands for: SHA-256 over method, path with query, and body, each with its length before it."""
    digest = hashlib.sha256()
    for part in (method.encode(), target.encode(), body):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Stored:
    """An answer given before."""

    status: int
    media_type: str
    location: str | None
    body: bytes


class KeyStore:
    """The table of keys in a service's own database; every method runs in the caller's transaction."""

    def __init__(self, metadata: MetaData) -> None:
        self._table = Table(
            "idempotency_keys",
            metadata,
            Column("caller", String(512), primary_key=True),
            Column("key", String(255), primary_key=True),
            Column("fingerprint", String(64), nullable=False),
            Column("status", Integer, nullable=False, default=0),
            Column("media_type", String(100), nullable=False, default=""),
            Column("location", String(512)),
            Column("body", LargeBinary, nullable=False, default=b""),
            Column("at", DateTime(timezone=True), nullable=False, index=True),
        )

    async def claim(self, db: AsyncConnection, caller: str, key: str, fingerprint: str) -> Stored | None:
        """None when the key is new, and now this transaction's; the stored answer when it is not.

        On a server database a concurrent duplicate waits in the insert until the first one commits.
        Raises the `idempotency-key-reused` problem (422) for another payload.
        """
        found = await self._find(db, caller, key, fingerprint)
        if found is not None:
            return found
        try:
            async with db.begin_nested():
                await db.execute(
                    insert(self._table).values(
                        caller=caller, key=key, fingerprint=fingerprint, at=datetime.now(UTC)
                    )
                )
        except IntegrityError:
            found = await self._find(db, caller, key, fingerprint)
            if found is None:
                raise Problem(
                    409, "idempotency-key-in-flight", "Try again.", headers={"Retry-After": "1"}
                ) from None
            return found
        return None

    async def _find(self, db: AsyncConnection, caller: str, key: str, fingerprint: str) -> Stored | None:
        table = self._table
        row = (await db.execute(select(table).where(table.c.caller == caller, table.c.key == key))).first()
        if row is None:
            return None
        if row.fingerprint != fingerprint:
            raise REUSED.problem()
        return Stored(row.status, row.media_type, row.location, row.body)

    async def settle(self, db: AsyncConnection, caller: str, key: str, answer: Stored) -> None:
        """Keep the answer for the claimed key."""
        table = self._table
        await db.execute(
            update(table)
            .where(table.c.caller == caller, table.c.key == key)
            .values(
                status=answer.status,
                media_type=answer.media_type,
                location=answer.location,
                body=answer.body,
            )
        )

    async def forget_old(self, db: AsyncConnection) -> None:
        """Drop the keys older than a week, so that the table stays bounded."""
        await db.execute(delete(self._table).where(self._table.c.at < datetime.now(UTC) - KEEP))
