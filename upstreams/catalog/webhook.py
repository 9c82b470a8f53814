"""Changes told to whoever keeps copies, in the words of a headless content system. Promises that a change written in a
transaction is told after its commit, in order, until it is taken; refuses to tell anything unsigned.

Signed as Standard Webhooks has it: HMAC-SHA256 over `id.timestamp.body` in Base64, with the time of each attempt."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import logging
import random
import time
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import httpx
from sqlalchemy import Column, Integer, LargeBinary, MetaData, String, Table, delete, insert, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from upstreams.kit import Database, http_client

_log = logging.getLogger(__name__)
# Seconds between two attempts: the first pause, and the longest.
PAUSE, LONGEST = 0.5, 15.0


def signed(secret: str, id: str, body: bytes, now: float) -> dict[str, str]:
    """The headers of one attempt."""
    stamp = str(int(now))
    mac = hmac.new(secret.encode(), b".".join((id.encode(), stamp.encode(), body)), hashlib.sha256)
    return {
        "content-type": "application/json",
        "webhook-id": id,
        "webhook-timestamp": stamp,
        "webhook-signature": f"v1,{base64.b64encode(mac.digest()).decode()}",
    }


class Webhook:
    """A table of changes not yet told, and the one task that tells them. It grows by a small row for each change while
    the other side is away."""

    def __init__(
        self, metadata: MetaData, url: str, secret: str, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._table = Table(
            "deliveries",
            metadata,
            Column("rank", Integer, primary_key=True, autoincrement=True),
            Column("id", String(36), nullable=False),
            Column("body", LargeBinary, nullable=False),
            sqlite_autoincrement=True,
        )
        self._url = url
        self._secret = secret
        self._clock = clock
        self._wake = asyncio.Event()

    async def add(self, db: AsyncConnection, model: str, entry: Mapping[str, Any]) -> None:
        """Write "this entry was updated" in the caller's transaction."""
        at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        body = {"event": "entry.update", "createdAt": at, "model": model, "entry": dict(entry)}
        row = {"id": str(uuid.uuid4()), "body": json.dumps(body).encode()}
        await db.execute(insert(self._table).values(row))

    def wake(self) -> None:
        """Something was committed: tell it now."""
        self._wake.set()

    async def tell_forever(self, database: Database) -> None:
        """Tell what is waiting, the oldest first; for the service's own task."""
        async with contextlib.AsyncExitStack() as stack:
            client = http_client(timeout=3.0, connections=1)
            stack.push_async_callback(client.aclose)
            failures = 0
            while True:
                self._wake.clear()
                try:
                    while await self._tell_one(database, client):
                        failures = 0
                    await self._wake.wait()
                except (httpx.HTTPError, OSError, SQLAlchemyError) as error:
                    if failures == 0:
                        _log.warning("a change waits to be told", extra={"reason": repr(error)})
                    failures += 1
                    bound = min(LONGEST, PAUSE * 2 ** min(failures - 1, 8))
                    await asyncio.sleep(bound * random.uniform(0.5, 1))  # noqa: S311 - jitter

    async def _tell_one(self, database: Database, client: httpx.AsyncClient) -> bool:
        table = self._table
        async with database.read() as db:
            row = (await db.execute(select(table).order_by(table.c.rank).limit(1))).first()
        if row is None:
            return False
        headers = signed(self._secret, row.id, row.body, self._clock())
        answer = await client.post(self._url, content=row.body, headers=headers)
        answer.raise_for_status()
        async with database.write() as db:
            # A crash before this line tells it again under the same id.
            await db.execute(delete(table).where(table.c.rank == row.rank))
        return True
