"""The activities of the saga, which its steps carry out: calls to participants, the orders' state, their events.

Guarantees that a change and its event are one commit: the outbox publishes it, whether Redis is there or not. Refuses
to fail for its database, whatever is wrong with it: it tries again, at most 2 s later. Knows no engine.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Final, TypeVar

from bff_service import Database, Event, EventSource, Outbox
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from upstreams.orders.models import told_time
from upstreams.orders.participants import Participants
from upstreams.orders.repository import OrderRepository, later_mutations
from upstreams.orders.saga import Change, Order, Outcome

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
        async def record(db: AsyncConnection) -> None:
            at = await self._orders.record(db, order, change, run)
            row = await self._orders.row(db, order["id"])
            if at is not None and row is not None:
                event = status_event(order, change, at, row.reached, later_mutations(row, change["reason"]))
                await self._outbox.add(db, event.message())

        await self._transact(record)

    async def cancelled(self, order_id: str, last_chance: bool) -> bool:
        return await self._transact(lambda db: self._orders.cancelled(db, order_id, last_chance=last_chance))

    async def given_up(self, order_id: str) -> str | None:
        return await self._transact(lambda db: self._orders.given_up(db, order_id))

    async def _transact(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        # Every error passes, a mistake in a statement by the next version of this service: an activity that raises
        # would end the saga, and nothing be undone.
        return await self._database.transact_patiently(work, passes=_passes)


def status_event(
    order: Order, change: Change, at: float, reached: str | None = None, mutations: Sequence[str] = ()
) -> Event:
    """A change as the gateway is told of it. reached: the last step begun on the way forward; mutations: the later
    commands that it contains."""
    again = change["next_try_at"]
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
        mutations=mutations,
        data={
            **order["data"],
            "reached": reached,
            "next_try_at": None if again is None else told_time(again),
            "last_error": change["last_error"],
        },
        at=datetime.fromtimestamp(at, UTC),
        traceparent=order["traceparent"],
    )


def _passes(error: BaseException) -> bool:
    return isinstance(error, SQLAlchemyError | OSError | TimeoutError)
