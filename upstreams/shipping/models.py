"""What shipping takes and answers. Guarantees weights in grams and prices in integer cents. Refuses other ranges."""

from __future__ import annotations

from typing import Annotated, Literal

from bff_service import Text
from pydantic import BaseModel, Field

OrderId = Annotated[Text, Field(min_length=1, max_length=64)]


class EstimateQuery(BaseModel):
    weight_g: int = Field(ge=0, le=1_000_000, description="the parcel's weight in grams")


class Estimate(BaseModel):
    """Days from today, and what the parcel costs in `currency` (ISO 4217)."""

    days_min: int
    days_max: int
    price_cents: int
    currency: str


class Line(BaseModel):
    sku: Text = Field(min_length=1, max_length=64)
    quantity: int = Field(ge=1, le=99)


class NewShipment(BaseModel):
    order_id: OrderId
    owner: Text = Field(min_length=1, max_length=512)
    lines: list[Line] = Field(min_length=1, max_length=20)


class Booked(BaseModel):
    order_id: OrderId
    shipment_id: str
    tracking: str
    status: Literal["booked"] = "booked"


class Cancelled(BaseModel):
    order_id: OrderId
    status: Literal["cancelled"] = "cancelled"


class Shipment(BaseModel):
    order_id: OrderId
    shipment_id: str
    tracking: str
    status: Literal["booked", "cancelled"]
    lines: list[Line]


class ShipmentList(BaseModel):
    shipments: list[Shipment]
