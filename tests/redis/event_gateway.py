"""The gateway for `bff events check`, `tail` and `publish`, and for the publishers of docs/events.md."""

from pydantic import BaseModel

from bff import Gateway, SagaStatus


class Parcel(BaseModel):
    weight: int | None = None


class Order(SagaStatus):
    data: Parcel | None = None


class Stock(BaseModel):
    available: int


desk = Gateway("desk")
desk.saga("order", Order)
desk.value("stock/{sku}", Stock, public=True)
