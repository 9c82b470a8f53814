"""What notifications takes, answers and understands of an order's event. Promises bounded texts and lists; refuses
an event without the fields a notification is made of, as something nobody can handle."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from bff_service import Text as AnyText
from pydantic import BaseModel, ConfigDict, Field

ORDER_STATUS = "shop.order.status"

Text = Annotated[AnyText, Field(min_length=1, max_length=255)]
Owner = Annotated[AnyText, Field(min_length=1, max_length=512)]
Kind = Literal["order-completed", "order-compensated", "order-rejected", "order-needs-attention"]


class EventLine(BaseModel):
    name: Text
    quantity: int = Field(ge=1)


class EventOrder(BaseModel):
    lines: list[EventLine] = Field(max_length=100)


class StatusData(BaseModel):
    """The part of an order's status event that a person is told about."""

    status: Text
    reason: Text | None = None
    owner: Owner
    at: datetime
    data: EventOrder


class StatusEvent(BaseModel):
    """A `shop.order.status` event; attributes it does not know are left aside, as CloudEvents asks."""

    specversion: Literal["1.0"]
    id: Text
    type: Literal["shop.order.status"]
    source: Text
    subject: Annotated[AnyText, Field(min_length=1, max_length=64)]
    traceparent: str | None = None
    data: StatusData


class AnyEvent(BaseModel):
    """The least an event must have, of whatever type."""

    type: Text


class Notification(BaseModel):
    """One thing a person is told; `id` is the id of the event it comes from."""

    id: str
    kind: Kind
    title: str
    text: str
    order_id: str
    at: str
    read: bool


class Notifications(BaseModel):
    """Newest first, at most 50; `unread` counts all of the person's, not only these."""

    notifications: list[Notification]
    unread: int


class NotificationsQuery(BaseModel):
    after: Text | None = Field(None, description="the id of the last one seen: only older ones")


class ReadNow(BaseModel):
    """Which to mark as read; without `ids`, all. Ids that are not the caller's are passed over."""

    model_config = ConfigDict(extra="forbid")

    ids: list[Text] | None = Field(None, max_length=100)


class Unread(BaseModel):
    unread: int


class DeadLetter(BaseModel):
    """An event that could not be handled: where it was, why it failed last, and how often it was delivered."""

    id: str
    event: str
    stream: str
    entry: str = Field(description="the event's id in its stream")
    why: str
    deliveries: int
    at: str


class DeadLetters(BaseModel):
    """Newest first, at most 100."""

    dead_letters: list[DeadLetter]


class Replayed(BaseModel):
    id: str
    status: Literal["replayed"] = "replayed"
