"""What inventory takes and answers. Guarantees bounded lists and positive quantities; anything else is 422."""

from __future__ import annotations

from typing import Annotated, Literal

from bff_service import Text
from pydantic import BaseModel, Field

Sku = Annotated[Text, Field(min_length=1, max_length=64)]
OrderId = Annotated[Text, Field(min_length=1, max_length=64)]


class Level(BaseModel):
    """How many can still be reserved; `version` counts this sku's changes from 1."""

    sku: Sku
    available: int = Field(ge=0)
    version: int = Field(ge=1)


class Levels(BaseModel):
    levels: list[Level]


class StockQuery(BaseModel):
    sku: list[Sku] = Field(
        default=[], max_length=100, description="only these, unknown ones left out; none: all"
    )


class Line(BaseModel):
    sku: Sku
    quantity: int = Field(ge=1, le=99)


class NewReservation(BaseModel):
    """All of the lines or none of them."""

    order_id: OrderId
    lines: list[Line] = Field(min_length=1, max_length=20)


class Reserved(BaseModel):
    order_id: OrderId
    status: Literal["reserved"] = "reserved"


class Released(BaseModel):
    order_id: OrderId
    status: Literal["released"] = "released"


class Reservation(BaseModel):
    """A reservation as kept; without lines it is the tombstone of a release that came first."""

    order_id: OrderId
    status: Literal["reserved", "released"]
    lines: list[Line]
