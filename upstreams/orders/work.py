"""The bodies of the saga's steps, together: calls to participants, the book, the events.

Promises that a change stands in the book before it is published, and that publishing goes on until Redis has
taken it: the step is the outbox. Refuses to fail for a store that is away: it waits, at most 2 s between tries.
Knows no engine.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TypeVar

from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from upstreams.kit import Database, Event, Publisher
from upstreams.orders.book import Book, rfc3339, told_time
from upstreams.orders.participants import Participants
from upstreams.orders.saga import Change, Order, Outcome

_log = logging.getLogger(__name__)
_AWAY = (SQLAlchemyError, RedisError, OSError, TimeoutError)
_LONGEST = 2.0

T = TypeVar("T")


class OrderWork:
    """What a saga does in the world."""

    def __init__(
        self, participants: Participants, book: Book, database: Database, publisher: Publisher
    ) -> None:
        self._participants = participants
        self._book = book
        self._database = database
        self._publisher = publisher

    async def act(self, action: str, order: Order) -> Outcome:
        return await self._participants.act(action, order)

    async def tell(self, order: Order, change: Change) -> None:
        async def written() -> float:
            async with self._database.write() as db:
                return await self._book.write(db, order, change)

        at = await _until_there("the book", written)
        event = status_event(order, change, at)
        await _until_there("the event bus", lambda: self._publisher.publish(event))

    async def cancelled(self, order_id: str, last_chance: bool) -> bool:
        async def looked() -> bool:
            async with self._database.write() as db:
                return await self._book.cancelled(db, order_id, last_chance=last_chance)

        return await _until_there("the book", looked)

    async def given_up(self, order_id: str) -> str | None:
        async def looked() -> str | None:
            async with self._database.write() as db:
                return await self._book.given_up(db, order_id)

        return await _until_there("the book", looked)


def status_event(order: Order, change: Change, at: float) -> Event:
    """A change as the bus carries it; the same change makes the same event, whenever it is told again."""
    return Event(
        type="shop.order.status",
        source="/services/orders",
        subject=order["id"],
        sequence=change["version"],
        partition_key=order["owner"],
        data={
            "status": change["status"],
            "step": change["step"],
            "attempt": change["attempt"],
            "reason": change["reason"],
            "owner": order["owner"],
            "mutation": order["mutation"],
            "at": rfc3339(at),
            "data": {
                **order["data"],
                "next_try_at": told_time(change["next_try_at"]),
                "last_error": change["last_error"],
            },
        },
        at=datetime.fromtimestamp(at, UTC),
        traceparent=order["traceparent"],
    )


async def _until_there(what: str, body: Callable[[], Awaitable[T]]) -> T:
    wait = 0.05
    while True:
        try:
            return await body()
        except _AWAY as error:
            _log.warning("waiting", extra={"what": what, "reason": repr(error)})
        await asyncio.sleep(wait)
        wait = min(wait * 2, _LONGEST)
