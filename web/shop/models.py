"""What the shop's screens show: the fields of the services' answers that this page uses, and no others."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from bff import Part, SagaStatus

Sku = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[a-z0-9][a-z0-9-]*$")]


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
    """version: counts up with every change of this product's stock."""

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
    sku: Sku
    quantity: int = Field(ge=1, le=99)


class Cart(BaseModel):
    lines: list[Line] = Field(min_length=1, max_length=20)


class OrderLine(BaseModel):
    sku: str
    name: str
    quantity: int
    price_cents: int


class OrderData(BaseModel):
    lines: list[OrderLine]
    total_cents: int
    currency: str


class OrderStatus(SagaStatus):
    """An order as its saga reports it."""

    data: OrderData


class Moment(BaseModel):
    """One entry of an order's history."""

    version: int
    status: str
    step: str | None
    attempt: int
    reason: str | None
    at: str


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


class ProductsScreen(BaseModel):
    products: list[Product]
    stock: Part[StockLevels]


class ProductScreen(BaseModel):
    product: Product
    stock: Part[Stock]
    delivery: Part[Estimate]


class OrdersScreen(BaseModel):
    orders: list[OrderStatus]


class OrderScreen(BaseModel):
    order: OrderDetail
    payment: Part[Payment]
    shipment: Part[Shipment]
