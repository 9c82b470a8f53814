"""The screen as a gateway of bff: three services, modelled parts, one required and two optional."""

from __future__ import annotations

from pydantic import BaseModel

from bff import Call, Gateway, Part, Raw, Upstream, optional, together

from .models import Levels, Options, ProductInfo


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


class Delivery(Upstream, team="Bench", contact="#bench"):
    def of(self, sku: str) -> Call[Options]:
        return self.get("/delivery/{sku}", Options, sku=sku)

    def whole(self, sku: str) -> Call[Raw]:
        return self.get("/delivery/{sku}", Raw, sku=sku).public()


product, stock, delivery = Product(), Stock(), Delivery()
# As many seconds as the hand-written contenders wait: if calls were cut short under full load, less work would be done.
bench = Gateway("bench", deadline=30)


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
