"""What payments takes and answers. Guarantees amounts in integer cents. Refuses zero, negative and absurd ones."""

from __future__ import annotations

from typing import Annotated, Literal

from bff_service import Text
from pydantic import BaseModel, Field

OrderId = Annotated[Text, Field(min_length=1, max_length=64)]
Cents = Annotated[int, Field(ge=1, le=1_000_000_000)]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]


class NewCharge(BaseModel):
    """Take `amount_cents` of `currency` (ISO 4217) from a card of `owner`, a principal's id."""

    order_id: OrderId
    owner: Text = Field(min_length=1, max_length=512)
    amount_cents: Cents
    currency: Currency
    card: Literal["first", "second"] = "first"


class Captured(BaseModel):
    order_id: OrderId
    charge_id: str
    status: Literal["captured"] = "captured"


class Refunded(BaseModel):
    order_id: OrderId
    status: Literal["refunded"] = "refunded"


class Charge(BaseModel):
    order_id: OrderId
    charge_id: str
    status: Literal["captured", "refunded"]
    amount_cents: int
    currency: Currency


class ChargeList(BaseModel):
    charges: list[Charge]
