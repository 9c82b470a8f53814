"""What the shop's screens show: those fields of the services' answers that this page uses."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field
from typing_extensions import TypeAliasType

from bff import Part, SagaStatus

Sku = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[a-z0-9][a-z0-9-]*$")]


# The items of a basket in a path: `mug-01:2,pen-01:1`.
Items = Annotated[
    str,
    Field(
        max_length=1400,
        pattern=r"^[a-z0-9][a-z0-9-]{0,63}:[0-9]{1,2}(,[a-z0-9][a-z0-9-]{0,63}:[0-9]{1,2}){0,19}$",
    ),
]

# The codes for which the page has texts. Orders may add codes before the page does: any other text is accepted and
# shown without a text of the page.
Step = TypeAliasType("Step", Literal["reserve", "charge", "ship", "cancel-shipment", "refund", "release"])
Reason = TypeAliasType(
    "Reason",
    Literal[
        "card-declined",
        "no-carrier",
        "out-of-stock",
        "inventory-unavailable",
        "payments-unavailable",
        "shipping-unavailable",
        "cancelled",
        "given-up",
    ],
)


class Product(BaseModel):
    sku: str
    name: str
    description: str
    category: str
    price_cents: int
    currency: str
    weight_g: int
    art: str


class Products(BaseModel):
    products: list[Product]


class Stock(BaseModel):
    """version: rises with every change of this product's stock."""

    sku: str
    available: int
    version: int


class StockLevels(BaseModel):
    levels: list[Stock]


class Estimate(BaseModel):
    days_min: int
    days_max: int
    price_cents: int
    currency: str


class Line(BaseModel):
    """price_cents: of one piece, as the page shows it; the order is refused if it is another one by now."""

    sku: Sku
    quantity: int = Field(ge=1, le=99)
    price_cents: int | None = Field(None, ge=0)


Card = TypeAliasType("Card", Literal["first", "second"])


class Cart(BaseModel):
    """delivery_cents: as the page shows it; the order is refused if it costs something else by now. card: which of the
    person's two cards is charged."""

    lines: list[Line] = Field(min_length=1, max_length=20)
    delivery_cents: int | None = Field(None, ge=0)
    card: Card = "first"


class OrderLine(BaseModel):
    sku: str
    name: str
    quantity: int
    price_cents: int


class OrderData(BaseModel):
    """total_cents: with the delivery. reached: the last step that was begun on the way forward, also while the steps
    are undone. next_try_at (RFC 3339), last_error: when the step is tried again, and why it failed."""

    lines: list[OrderLine]
    delivery_cents: int = 0
    card: Card | str = "first"
    total_cents: int
    currency: str
    reached: Step | str | None = None
    next_try_at: str | None = None
    last_error: str | None = None


class OrderStatus(SagaStatus):
    """An order as its saga reports it."""

    step: Step | str | None = None
    reason: Reason | str | None = None
    data: OrderData


class Moment(BaseModel):
    """One entry of an order's history. note: the reason that an operator gave."""

    version: int
    status: str
    step: Step | str | None
    attempt: int
    reason: Reason | str | None
    at: str
    next_try_at: str | None = None
    last_error: str | None = None
    note: str | None = None


class OrderDetail(OrderStatus):
    history: list[Moment]


class Orders(BaseModel):
    orders: list[OrderStatus]


class Payment(BaseModel):
    charge_id: str
    status: str
    amount_cents: int
    currency: str


class Shipment(BaseModel):
    shipment_id: str
    tracking: str
    status: str


class Notification(BaseModel):
    id: str
    kind: str
    title: str
    text: str
    order_id: str
    at: str
    read: bool


class Notifications(BaseModel):
    """The newest fifty; `unread` counts all of them."""

    notifications: list[Notification]
    unread: int


class Bell(BaseModel):
    """The number of a person's unread notifications, live; version: rises with every change."""

    unread: int
    version: int


class Unread(BaseModel):
    unread: int


class ProductsScreen(BaseModel):
    products: list[Product]
    stock: Part[StockLevels]


class ProductScreen(BaseModel):
    product: Product
    stock: Part[Stock]
    delivery: Part[Estimate]


class BasketScreen(BaseModel):
    """delivery: of all items in one parcel."""

    delivery: Part[Estimate]


class OrdersScreen(BaseModel):
    orders: list[OrderStatus]


class OrderScreen(BaseModel):
    order: OrderDetail
    payment: Part[Payment]
    shipment: Part[Shipment]


class NotificationsScreen(Notifications):
    """topic: the name of the person's live value, a Bell."""

    topic: str
