"""The words of a notification. Promises a title and a sentence a person understands for every event worth telling,
also for a reason nobody has words for; refuses to decide who gets it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from upstreams.notifications.models import Kind, StatusEvent

_REASONS: Mapping[str, str] = {
    "out-of-stock": "there was not enough in stock",
    "card-declined": "the bank declined the card",
    "cancelled": "it was cancelled, as you asked",
    "no-carrier": "no carrier takes this parcel",
    "inventory-unavailable": "our warehouse could not be reached",
    "payments-unavailable": "the payment could not be made",
    "shipping-unavailable": "no parcel could be booked",
}
_NO_WORDS = "something went wrong on our side"
_LONGEST = 1000


@dataclass(frozen=True, slots=True)
class Wording:
    kind: Kind
    title: str
    text: str


def wording_of(event: StatusEvent) -> Wording | None:
    """What to tell of this event; None when a person need not know."""
    order, data = short(event.subject), event.data
    why = _REASONS.get(data.reason or "", _NO_WORDS)
    cancelled = data.reason == "cancelled"
    match data.status:
        case "COMPLETED":
            things = ", ".join(f"{line.quantity} × {line.name}" for line in data.data.lines)
            text = f"Order {order} is on its way" + (f": {things}." if things else ".")
            return Wording("order-completed", "Your order is on its way", _cut(text))
        case "COMPENSATED":
            title = "Your order is cancelled" if cancelled else "Your order was taken back"
            text = f"Order {order} was taken back: {why}. Everything is undone; you pay nothing."
            return Wording("order-compensated", title, text)
        case "REJECTED":
            title = "Your order is cancelled" if cancelled else "We could not take your order"
            text = f"Order {order} did not go through: {why}. You pay nothing."
            return Wording("order-rejected", title, text)
        case "NEEDS_ATTENTION":
            text = (
                f"Taking order {order} back needs longer than it should. "
                "Our people look after it, and you will hear from us; you need do nothing."
            )
            return Wording("order-needs-attention", "We are looking after your order", text)
    return None


def short(order_id: str) -> str:
    """The order's id as people read it: its first eight characters."""
    return order_id[:8]


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
