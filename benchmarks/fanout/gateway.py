"""The screen as gateways of bff: three services, modelled parts, one required and two optional. `bench` has every kind
of row; `many` has one hundred routes, each with a screen of its own."""

from __future__ import annotations

from pydantic import BaseModel

from bff import Call, Gateway, Part, Raw, Upstream, optional, together

from .bodies import ROUTES
from .models import Amount, Levels, Options, ProductInfo, Reservation


class Product(Upstream, team="Bench", contact="#bench"):
    def of(self, sku: str) -> Call[ProductInfo]:
        return self.get("/product/{sku}", ProductInfo, sku=sku)

    def whole(self, sku: str) -> Call[Raw]:
        return self.get("/product/{sku}", Raw, sku=sku).public()


class Stock(Upstream, team="Bench", contact="#bench"):
    def of(self, sku: str) -> Call[Levels]:
        return self.get("/stock/{sku}", Levels, sku=sku)

    def whole(self, sku: str) -> Call[Raw]:
        return self.get("/stock/{sku}", Raw, sku=sku).public()

    def reserve(self, sku: str, amount: Amount) -> Call[Reservation]:
        return self.post("/stock/{sku}", Reservation, amount, sku=sku)


class Delivery(Upstream, team="Bench", contact="#bench"):
    def of(self, sku: str) -> Call[Options]:
        return self.get("/delivery/{sku}", Options, sku=sku)

    def whole(self, sku: str) -> Call[Raw]:
        return self.get("/delivery/{sku}", Raw, sku=sku).public()


FRESH = 3600
"""Seconds for which the cached screen may show a part: longer than a run."""
product, stock, delivery = Product(), Stock(), Delivery()
# As many seconds as the hand-written contenders wait: if calls were cut short under full load, less work would be done.
bench = Gateway("bench", deadline=30)
many = Gateway("many", deadline=30)


class Screen(BaseModel):
    product: ProductInfo
    stock: Part[Levels]
    delivery: Part[Options]


@bench.view("/open/{sku}", public=True)
async def open_screen(sku: str) -> Screen:
    """For everybody."""
    one, two, three = await together(
        product.of(sku).public(), optional(stock.of(sku).public()), optional(delivery.of(sku).public())
    )
    return Screen(product=one, stock=two, delivery=three)


class RawScreen(BaseModel):
    product: Raw
    stock: Part[Raw]
    delivery: Part[Raw]


@bench.view("/raw/{sku}", public=True)
async def raw_screen(sku: str) -> RawScreen:
    """The same, with bodies passed on whole."""
    one, two, three = await together(
        product.whole(sku), optional(stock.whole(sku)), optional(delivery.whole(sku))
    )
    return RawScreen(product=one, stock=two, delivery=three)


@bench.view("/own/{sku}")
async def own_screen(sku: str) -> Screen:
    """For a signed-in person; the caller's token is passed on to the services."""
    one, two, three = await together(product.of(sku), optional(stock.of(sku)), optional(delivery.of(sku)))
    return Screen(product=one, stock=two, delivery=three)


@bench.view("/cached/{sku}", public=True)
async def cached_screen(sku: str) -> Screen:
    """For everybody, from parts that may be an hour old."""
    one, two, three = await together(
        product.of(sku).public().fresh(FRESH),
        optional(stock.of(sku).public().fresh(FRESH)),
        optional(delivery.of(sku).public().fresh(FRESH)),
    )
    return Screen(product=one, stock=two, delivery=three)


@bench.command("/reservations/{sku}")
async def reserve(sku: str, amount: Amount) -> Reservation:
    """One call of a service, once for each Idempotency-Key."""
    return await stock.reserve(sku, amount)


def _numbered(number: int) -> None:
    @many.view(f"/many/{number}/{{sku}}")
    async def screen(sku: str) -> Screen:
        """For a signed-in person."""
        return await own_screen(sku)


for _number in range(ROUTES):
    _numbered(_number)
