"""The activities of the saga, which its steps carry out: calls to participants, the orders' state, their events.

Guarantees that a change and its event are one commit: the outbox publishes it, whether Redis is there or not. Refuses
to fail for a database that is away: it waits, at most 2 s between tries. Knows no engine.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final, TypeVar

from bff_service import Database, Event, EventSource, Outbox
from sqlalchemy.exc import SQLAlchemyError

from upstreams.orders.participants import Participants
from upstreams.orders.repository import OrderRepository, told_time
from upstreams.orders.saga import Change, Order, Outcome

_log = logging.getLogger(__name__)
_AWAY = (SQLAlchemyError, OSError, TimeoutError)
_LONGEST = 2.0
EVENTS: Final = EventSource("orders", domain="shop")

T = TypeVar("T")


class OrderActivities:
    """What a saga does in the world."""

    def __init__(
        self, participants: Participants, orders: OrderRepository, outbox: Outbox, database: Database
    ) -> None:
        self._participants = participants
        self._orders = orders
        self._outbox = outbox
        self._database = database

    async def act(self, action: str, order: Order) -> Outcome:
        return await self._participants.act(action, order)

    async def record_status(self, order: Order, change: Change, run: int) -> None:
        async def recorded() -> None:
            async with self._database.write() as db:
                at = await self._orders.record(db, order, change, run)
                if at is not None:
                    await self._outbox.add(db, status_event(order, change, at).message())

        await _until_there(recorded)

    async def cancelled(self, order_id: str, last_chance: bool) -> bool:
        async def looked() -> bool:
            async with self._database.write() as db:
                return await self._orders.cancelled(db, order_id, last_chance=last_chance)

        return await _until_there(looked)

    async def given_up(self, order_id: str) -> str | None:
        async def looked() -> str | None:
            async with self._database.write() as db:
                return await self._orders.given_up(db, order_id)

        return await _until_there(looked)


def status_event(order: Order, change: Change, at: float) -> Event:
    """A change as the gateway is told of it."""
    return EVENTS.saga_status(
        "order",
        order["id"],
        version=change["version"],
        owner=order["owner"],
        status=change["status"],
        step=change["step"],
        attempt=change["attempt"],
        reason=change["reason"],
        mutation=order["mutation"],
        data={
            **order["data"],
            "next_try_at": told_time(change["next_try_at"]),
            "last_error": change["last_error"],
        },
        at=datetime.fromtimestamp(at, UTC),
        traceparent=order["traceparent"],
    )


async def _until_there(body: Callable[[], Awaitable[T]]) -> T:
    wait = 0.05
    while True:
        try:
            return await body()
        except _AWAY as error:
            _log.warning("waiting for the database", extra={"reason": repr(error)})
        await asyncio.sleep(wait)
        wait = min(wait * 2, _LONGEST)
