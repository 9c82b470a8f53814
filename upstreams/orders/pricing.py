"""What an order costs, from the catalog, once, before it is accepted. Guarantees names and prices as sold right now,
and that nobody is charged another price than the one they saw. Refuses unknown products with pointers, and says whose
failure it is when the catalog does not answer."""

from __future__ import annotations

import asyncio

import httpx
from bff_service import Refusal
from pydantic import BaseModel, Field, ValidationError

from upstreams.kit import TARIFF_CURRENCY, parcel_cents
from upstreams.orders.models import NewOrder, OrderContent, OrderLine

UNKNOWN_PRODUCT = Refusal(422, "unknown-product", "The catalog does not have this product.")
PRICE_CHANGED = Refusal(409, "price-changed", "A price has changed since you were shown it.")
CATALOG_UNAVAILABLE = Refusal(
    503,
    "catalog-unavailable",
    "The catalog does not answer.",
    retry_after=1,
    owner={"service": "catalog", "team": "Catalog", "contact": "#catalog"},
)


class _Product(BaseModel):
    """What orders reads of a product; the rest is the catalog's own."""

    sku: str
    name: str
    price_cents: int = Field(ge=0)
    currency: str
    weight_g: int = Field(ge=0)


class _Products(BaseModel):
    products: list[_Product]


async def priced(catalog: httpx.AsyncClient, cart: NewOrder, *, seconds: float) -> OrderContent:
    """The cart with names and prices.

    Raises `unknown-product` (422), `price-changed` (409) with a pointer to each line that was shown another price, the
    delivery among them, and `catalog-unavailable` (503).
    """
    known = {one.sku: one for one in await _products(catalog, {line.sku for line in cart.lines}, seconds)}
    missing = [
        (f"/lines/{index}/sku", f"There is no product {line.sku!r}.")
        for index, line in enumerate(cart.lines)
        if line.sku not in known
    ]
    if missing:
        raise UNKNOWN_PRODUCT.problem(errors=missing)
    changed = [
        (f"/lines/{index}/price_cents", f"{known[line.sku].name} has another price now.")
        for index, line in enumerate(cart.lines)
        if line.price_cents is not None and line.price_cents != known[line.sku].price_cents
    ]
    weight_g = sum(known[line.sku].weight_g * line.quantity for line in cart.lines)
    delivery_cents = parcel_cents(weight_g)
    if cart.delivery_cents not in (None, delivery_cents):
        changed.append(("/delivery_cents", "The delivery has another price now."))
    if changed:
        raise PRICE_CHANGED.problem(errors=changed)
    lines = [
        OrderLine(
            sku=line.sku,
            name=known[line.sku].name,
            quantity=line.quantity,
            price_cents=known[line.sku].price_cents,
        )
        for line in cart.lines
    ]
    if {known[line.sku].currency for line in lines} != {TARIFF_CURRENCY}:
        raise UNKNOWN_PRODUCT.problem(
            f"Only what is sold in {TARIFF_CURRENCY} can be delivered.", [("/lines", "currency")]
        )
    total = sum(line.price_cents * line.quantity for line in lines) + delivery_cents
    return OrderContent(
        lines=lines,
        delivery_cents=delivery_cents,
        card=cart.card,
        total_cents=total,
        currency=TARIFF_CURRENCY,
    )


async def _products(catalog: httpx.AsyncClient, skus: set[str], seconds: float) -> list[_Product]:
    try:
        async with asyncio.timeout(seconds):
            answer = await catalog.get("/products", params=[("sku", sku) for sku in sorted(skus)])
            answer.raise_for_status()
        return _Products.model_validate_json(answer.content).products
    except (httpx.HTTPError, OSError, TimeoutError, ValidationError):
        raise CATALOG_UNAVAILABLE.problem() from None
