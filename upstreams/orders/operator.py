"""The operator API: sagas that are stuck, another try right now, an end that says what was not undone.

Guarantees that a give-up is a truthful end: the order stays NEEDS_ATTENTION with the operator's words in its history,
unless the compensation succeeds after all. Refuses to change an order that has ended, and to call anything undone.
"""

from __future__ import annotations

from typing import Any, Final

from bff_service import NOT_FOUND, Once, Reading, Refusal, RequireScope, refusals
from fastapi import Depends, FastAPI, Response
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from upstreams.orders.engine import SagaEngine
from upstreams.orders.execution import BACKWARD, FORWARD
from upstreams.orders.models import COMPENSATING, GiveUp, OrderId, OrderStatus, StuckOrder, StuckOrders
from upstreams.orders.repository import OrderRepository, input_of, status_of

ENDED: Final = Refusal(409, "already-ended", "This order has ended.")
NOT_COMPENSATING: Final = Refusal(
    409, "not-undoing", "Nothing of this order is being undone: it can be cancelled instead."
)
BROKEN: Final = Refusal(
    409, "saga-broken", "The saga of this order failed by itself: its engine's records say why."
)
OPERATOR: Final = Depends(RequireScope("operator"))


def add_operator_api(
    app: FastAPI, orders: OrderRepository, engine: SagaEngine, *, attention_seconds: float
) -> None:
    """Add the operator's endpoints; all need a token with the scope `operator`."""

    async def under_way(db: AsyncConnection, order_id: str) -> Row[Any]:
        row = await orders.row(db, order_id)
        if row is None:
            raise NOT_FOUND.problem("There is no such order.")
        if row.ended:
            raise ENDED.problem()
        return row

    @app.get(
        "/operations/stuck",
        dependencies=[OPERATOR],
        summary="Orders that need attention or make no progress, at most 100",
    )
    async def stuck(db: Reading) -> StuckOrders:
        found = await orders.stuck(db, attention_seconds)
        return StuckOrders(
            stuck=[StuckOrder.model_validate({**row._mapping, "since": since}) for row, since in found]
        )

    @app.post(
        "/operations/{id}/retry",
        status_code=202,
        response_model=OrderStatus,
        responses=refusals(ENDED, NOT_FOUND, BROKEN),
        dependencies=[OPERATOR],
        summary="Try the waiting step again now",
    )
    async def retry(id: OrderId, once: Once) -> Response:
        async def effect(db: AsyncConnection) -> OrderStatus:
            row = await under_way(db, id)
            if await engine.failed(row.id, row.run):
                raise BROKEN.problem()
            if row.version == 0:
                await engine.start(input_of(row))
            await engine.wake(row.id, row.run, BACKWARD if row.status in COMPENSATING else FORWARD)
            return status_of(row)

        return await once(effect)

    @app.post(
        "/operations/{id}/give-up",
        status_code=202,
        response_model=OrderStatus,
        responses=refusals(ENDED, NOT_FOUND, NOT_COMPENSATING),
        dependencies=[OPERATOR],
        summary="End a compensation that cannot be finished",
    )
    async def give_up(id: OrderId, asked: GiveUp, once: Once) -> Response:
        async def effect(db: AsyncConnection) -> OrderStatus:
            row = await under_way(db, id)
            if not await orders.give_up(db, row.id, asked.reason):
                raise NOT_COMPENSATING.problem()
            await engine.wake(row.id, row.run, BACKWARD)
            return status_of(row)

        return await once(effect)
