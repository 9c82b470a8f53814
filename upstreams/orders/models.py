"""What orders takes and answers. Guarantees 1 to 20 lines of 1 to 99 pieces, money in integer cents. Refuses anything
else with 422."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

from bff_service import Text, rfc3339
from pydantic import BaseModel, BeforeValidator, Field

Sku = Annotated[Text, Field(min_length=1, max_length=64)]
OrderId = Annotated[Text, Field(min_length=1, max_length=64)]
Status = Literal[
    "PENDING", "RUNNING", "COMPENSATING", "COMPLETED", "COMPENSATED", "REJECTED", "NEEDS_ATTENTION"
]
Card = Literal["first", "second"]
"""Which of the customer's cards is charged."""
Step = Literal["reserve", "charge", "ship", "cancel-shipment", "refund", "release"]

ENDED: frozenset[Status] = frozenset({"COMPLETED", "COMPENSATED", "REJECTED"})
COMPENSATING: frozenset[Status] = frozenset({"COMPENSATING", "NEEDS_ATTENTION"})


def told_time(seconds: float) -> str:
    """A time as events and answers show it."""
    return rfc3339(datetime.fromtimestamp(seconds, UTC))


Time = Annotated[str, BeforeValidator(lambda at: told_time(at) if isinstance(at, int | float) else at)]
"""RFC 3339 in UTC; the database has seconds since the epoch."""


class CartLine(BaseModel):
    sku: Sku
    quantity: int = Field(ge=1, le=99)
    price_cents: int | None = Field(
        None,
        ge=0,
        description="the price of one piece as the customer was shown it; if it is another now: 409",
    )


class NewOrder(BaseModel):
    lines: list[CartLine] = Field(min_length=1, max_length=20)
    delivery_cents: int | None = Field(
        None,
        ge=0,
        description="the delivery as the customer was shown it; if it costs something else now: 409",
    )
    card: Card = "first"


class OrderLine(BaseModel):
    """A line as sold: `price_cents` is the price of one piece."""

    sku: Sku
    name: str
    quantity: int
    price_cents: int


class OrderContent(BaseModel):
    """What was sold; it never changes. `total_cents` includes the delivery."""

    lines: list[OrderLine]
    delivery_cents: int = 0
    card: Card = "first"
    total_cents: int
    currency: str


class OrderData(OrderContent):
    """The content, how far the order came, and while something is tried again: when (RFC 3339) and why (such as
    `payments-unavailable`).

    `reached` is the last step that was begun on the way forward; it keeps its value while the steps are undone.
    """

    reached: Step | None = None
    next_try_at: Time | None = None
    last_error: str | None = None


class OrderStatus(BaseModel):
    """Where an order is. `version` counts its events from 1 (0: none yet), `at` is RFC 3339 in UTC."""

    id: str
    type: Literal["order"] = "order"
    status: Status
    step: Step | None
    attempt: int
    version: int
    reason: str | None
    mutation: str | None
    mutations: list[str] = []
    at: Time
    data: OrderData


class HistoryEntry(BaseModel):
    version: int
    status: Status
    step: Step | None
    attempt: int
    reason: str | None
    at: Time
    next_try_at: Time | None = None
    last_error: str | None = None
    note: str | None = Field(default=None, description="an operator's words")


class OrderDetail(OrderStatus):
    """An order with what happened to it, oldest first.

    `history_count` says how many entries there were; of more than 100 the first and the last 50 are kept.
    """

    history: list[HistoryEntry]
    history_count: int


class History(BaseModel):
    """One page, oldest first; `next` is what to ask `after` for the next one, null at the end."""

    history: list[HistoryEntry]
    history_count: int
    next: int | None


class HistoryQuery(BaseModel):
    after: int = Field(0, ge=0, description="the version of the last entry seen")
    limit: int = Field(50, ge=1, le=100)


class OrderList(BaseModel):
    orders: list[OrderStatus]


class OrdersQuery(BaseModel):
    since_hours: float | None = Field(
        default=None,
        ge=0,
        le=24 * 366,
        description="open orders and those ended within these hours; none: all",
    )


class GiveUp(BaseModel):
    """Why an operator ends a compensation that cannot be finished; kept in the order's history."""

    reason: Text = Field(min_length=1, max_length=500)


class StuckOrder(BaseModel):
    """An order that needs an operator. `since`: when its present step began; times are RFC 3339 in UTC."""

    id: str
    owner: str
    status: Status
    step: Step | None
    attempt: int
    reason: str | None
    since: Time
    next_try_at: Time | None
    last_error: str | None


class StuckOrders(BaseModel):
    stuck: list[StuckOrder]
