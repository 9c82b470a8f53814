"""The operator's desk: sagas that are stuck, another try right now, an end that says what was not undone.

Promises that a give-up is a truthful end: the order stays NEEDS_ATTENTION with the operator's words in its history,
unless the undo succeeds after all. Refuses to change an order that has ended, and to call anything undone.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy.engine import Row

from upstreams.kit import NOT_FOUND, Ask, Nothing, Refusal, Service
from upstreams.orders.book import Book, input_of, rfc3339, status_of, told_time
from upstreams.orders.engine import SagaEngine
from upstreams.orders.models import UNDOING, GiveUp, OrderStatus, StuckOrder, StuckOrders
from upstreams.orders.saga import BACKWARD, FORWARD

ENDED = Refusal(409, "already-ended", "This order has ended.")
NOT_UNDOING = Refusal(
    409, "not-undoing", "Nothing of this order is being undone: it can be cancelled instead."
)
BROKEN = Refusal(409, "saga-broken", "The saga of this order failed by itself: its engine's records say why.")


def declare(service: Service, book: Book, engine: SagaEngine, *, attention_seconds: float) -> None:
    """Declare the operator's operations; all need a token with the scope `operator`."""

    async def stuck(ask: Ask[Nothing]) -> StuckOrders:
        found = await book.stuck(ask.db, attention_seconds)
        return StuckOrders(stuck=[_stuck(row, since) for row, since in found])

    async def retry(ask: Ask[Nothing]) -> OrderStatus:
        row = await under_way(ask)
        if await engine.failed(row.id):
            raise BROKEN.problem()
        if row.version == 0:
            await engine.start(input_of(row))
        await engine.wake(row.id, BACKWARD if row.status in UNDOING else FORWARD)
        return status_of(row)

    async def give_up(ask: Ask[GiveUp]) -> OrderStatus:
        row = await under_way(ask)
        if not await book.give_up(ask.db, row.id, ask.input.reason):
            raise NOT_UNDOING.problem()
        await engine.wake(row.id, BACKWARD)
        return status_of(row)

    async def under_way(ask: Ask[Any]) -> Row[Any]:  # whatever the operation takes
        row = await book.row(ask.db, ask.path["id"])
        if row is None:
            raise NOT_FOUND.problem("There is no such order.")
        if row.ended:
            raise ENDED.problem()
        return row

    service.get(
        "/operations/stuck",
        stuck,
        takes=Nothing,
        answers=StuckOrders,
        scope="operator",
        summary="Orders that need attention or make no progress, at most 100",
    )
    service.post(
        "/operations/{id}/retry",
        retry,
        takes=Nothing,
        answers=OrderStatus,
        status=202,
        scope="operator",
        refuses=(ENDED, NOT_FOUND, BROKEN),
        summary="Try the waiting step again now",
    )
    service.post(
        "/operations/{id}/give-up",
        give_up,
        takes=GiveUp,
        answers=OrderStatus,
        status=202,
        scope="operator",
        refuses=(ENDED, NOT_FOUND, NOT_UNDOING),
        summary="End an undo that cannot be finished",
    )


def _stuck(row: Row[Any], since: float) -> StuckOrder:
    return StuckOrder(
        id=row.id,
        owner=row.owner,
        status=row.status,
        step=row.step,
        attempt=row.attempt,
        reason=row.reason,
        since=rfc3339(since),
        next_try_at=told_time(row.next_try_at),
        last_error=row.last_error,
    )
