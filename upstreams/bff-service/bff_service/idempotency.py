"""Idempotent endpoints (draft-ietf-httpapi-idempotency-key-header-08).

Guarantees that a key's effect and its answer are committed in one transaction, so that a repeat finds both or neither.
Refuses a key that comes back with another payload. Keys belong to their caller: two callers may send the same one.

    @app.post("/charges", status_code=201, response_model=Captured, responses=refusals(CARD_DECLINED))
    async def charge(asked: NewCharge, once: Once) -> Response:
        return await once(lambda db: charges.charge(db, asked))
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import Depends, Header
from pydantic import BaseModel
from sqlalchemy import (
    Column,
    ColumnElement,
    DateTime,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    and_,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request
from starlette.responses import Response

from bff_service.callers import Authenticated
from bff_service.database import Database
from bff_service.problems import KEY_MISSING, Problem, Refusal, instance_of

_log = logging.getLogger(__name__)
KEEP = timedelta(days=7)
PRUNE_SECONDS = 3600.0
MALFORMED = Refusal(
    400, "idempotency-key-malformed", "The Idempotency-Key is not a string of 1 to 255 characters."
)
IN_FLIGHT = Refusal(409, "idempotency-key-in-flight", "Try again.", retry_after=1)
REUSED = Refusal(422, "idempotency-key-reused", "This Idempotency-Key came before with another payload.")

# RFC 8941, section 3.3.3: printable ASCII in quotes, only the quote and the backslash escaped.
_STRING = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"')
_BARE = re.compile(r"[!#-+\--:<-~]+")

Effect = Callable[[AsyncConnection], Awaitable[BaseModel | Response]]


def parse_key(value: str | None) -> str:
    """The key in an `Idempotency-Key` header: a structured-field string, or a bare token; 400 problems else."""
    if value is None or not value.strip():
        raise KEY_MISSING.problem()
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
class RequestKey:
    """What makes a request one of its kind: its caller's id, its key, and what the key stands for."""

    caller: str
    key: str
    fingerprint: str


class IdempotencyKeys:
    """The table of keys in a service's own database."""

    def __init__(
        self, metadata: MetaData, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._clock = clock
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

    async def claim(self, db: AsyncConnection, key: RequestKey) -> Response | None:
        """None when the key is new, and now this transaction's; the stored answer when it is not.

        On a server database a concurrent duplicate waits in the insert until the first one commits.
        Raises the `idempotency-key-reused` problem (422) for another payload.
        """
        found = await self._find(db, key)
        if found is not None:
            return found
        row = {"caller": key.caller, "key": key.key, "fingerprint": key.fingerprint, "at": self._clock()}
        try:
            async with db.begin_nested():
                await db.execute(insert(self._table).values(row))
        except IntegrityError:
            found = await self._find(db, key)
            if found is None:
                raise IN_FLIGHT.problem() from None
        return found

    async def _find(self, db: AsyncConnection, key: RequestKey) -> Response | None:
        row = (await db.execute(select(self._table).where(self._is(key)))).first()
        if row is None:
            return None
        if row.fingerprint != key.fingerprint:
            raise REUSED.problem()
        headers = {"Idempotency-Replayed": "true"} | ({"Location": row.location} if row.location else {})
        return Response(row.body, row.status, headers, row.media_type)

    async def settle(self, db: AsyncConnection, key: RequestKey, answer: Response) -> None:
        """Keep the answer for the claimed key."""
        kept = {
            "status": answer.status_code,
            "media_type": answer.media_type or "application/json",
            "location": answer.headers.get("location"),
            "body": bytes(answer.body),
        }
        await db.execute(update(self._table).where(self._is(key)).values(kept))

    def _is(self, key: RequestKey) -> ColumnElement[bool]:
        return and_(self._table.c.caller == key.caller, self._table.c.key == key.key)

    async def prune(self, db: AsyncConnection) -> int:
        """Drop the keys older than a week; answers how many."""
        gone = await db.execute(delete(self._table).where(self._table.c.at < self._clock() - KEEP))
        return int(gone.rowcount)

    async def keep_pruned(self, database: Database, *, every: float = PRUNE_SECONDS) -> None:
        """Prune now and then each `every` seconds (an hour), so that the table stays bounded; for a task."""
        while True:
            try:
                async with database.write() as db:
                    await self.prune(db)
            except (SQLAlchemyError, OSError, TimeoutError) as error:
                _log.warning("idempotency keys could not be pruned", extra={"reason": repr(error)})
            await asyncio.sleep(every)


async def _request_key(
    request: Request,
    caller: Authenticated,
    idempotency_key: Annotated[
        str,
        Header(alias="Idempotency-Key", json_schema_extra={"minLength": 1, "maxLength": 255}),
    ],
) -> RequestKey:
    key = parse_key(idempotency_key)
    target = f"{request.scope['path']}?{request.scope['query_string'].decode('latin-1')}"
    return RequestKey(caller.id, key, fingerprint_of(request.method, target, await request.body()))


RequestKeyed = Annotated[RequestKey, Depends(_request_key)]
"""For an endpoint that is idempotent by itself, under this key."""


class IdempotentRequest:
    """One request under its key; call it with the effect. Its collaborators are the application's (`use`)."""

    def __init__(self, request: Request, key: RequestKey) -> None:
        self._request = request
        self._key = key
        parts = request.app.state.service
        if parts.keys is None:
            raise RuntimeError("an idempotent endpoint needs `use(keys=…)`")
        self._database: Database = parts.database
        self._keys: IdempotencyKeys = parts.keys
        self._before_effect: Callable[[Request], None] | None = parts.before_effect

    async def __call__(self, effect: Effect) -> Response:
        """Carry the effect out once, in a write transaction of its own, or answer what was answered before.

        The effect answers a model, sent with the endpoint's status, or a Response. A final `Problem` undoes what the
        effect wrote and is stored like any answer; any other exception leaves nothing. An effect that loses a race
        for a row (IntegrityError) is tried again, three times in all.
        """

        async def work(db: AsyncConnection) -> Response:
            stored = await self._keys.claim(db, self._key)
            if stored is not None:
                return stored
            try:
                # A refusal undoes what the effect wrote, and nothing else: it is stored like any answer.
                async with db.begin_nested():
                    if self._before_effect is not None:
                        self._before_effect(self._request)
                    response = self._response(await effect(db))
            except Problem as problem:
                if not problem.final:
                    raise
                response = problem.response(instance_of(self._request))
            await self._keys.settle(db, self._key, response)
            return response

        return await self._database.transact(work)

    def _response(self, result: BaseModel | Response) -> Response:
        if isinstance(result, Response):
            return result
        route: Any = self._request.scope["route"]  # FastAPI's route, whose status the endpoint declares
        promised = route.response_model
        if isinstance(promised, type) and not isinstance(result, promised):
            raise TypeError(f"the endpoint promises {promised.__name__}, its effect answered {type(result)}")
        body = result.model_dump_json().encode()
        return Response(body, route.status_code or 200, media_type="application/json")


async def _once(request: Request, key: RequestKeyed) -> IdempotentRequest:
    return IdempotentRequest(request, key)


Once = Annotated[IdempotentRequest, Depends(_once)]
"""The dependency of an idempotent endpoint: `return await once(effect)`."""
