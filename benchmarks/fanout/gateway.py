"""The screen as a gateway of bff: three services, modelled parts, one required and two optional."""

from __future__ import annotations

from pydantic import BaseModel

from bff import Call, Gateway, Part, Upstream, optional, together


class Dimensions(BaseModel):
    height_mm: int
    width_mm: int
    depth_mm: int


class Supplier(BaseModel):
    name: str
    city: str
    since: str


class ProductInfo(BaseModel):
    sku: str
    name: str
    description: str
    category: str
    price_cents: int
    currency: str
    weight_g: float
    tags: list[str]
    dimensions: Dimensions
    available: bool
    supplier: Supplier
    rating: float


class Level(BaseModel):
    place: str
    available: int
    reserved: int
    next_delivery: str


class Levels(BaseModel):
    sku: str
    version: int
    places: list[Level]


class Option(BaseModel):
    carrier: str
    service: str
    days_min: int
    days_max: int
    price_cents: int
    currency: str
    tracked: bool
    countries: list[str]
    co2_g: float


class Options(BaseModel):
    sku: str
    options: list[Option]


class Product(Upstream, team="Bench", contact="#bench"):
    def of(self, sku: str) -> Call[ProductInfo]:
        return self.get("/product/{sku}", ProductInfo, sku=sku)


class Stock(Upstream, team="Bench", contact="#bench"):
    def of(self, sku: str) -> Call[Levels]:
        return self.get("/stock/{sku}", Levels, sku=sku)


class Delivery(Upstream, team="Bench", contact="#bench"):
    def of(self, sku: str) -> Call[Options]:
        return self.get("/delivery/{sku}", Options, sku=sku)


product, stock, delivery = Product(), Stock(), Delivery()
# Seconds as long as the hand-written contenders wait: under full load nothing may be cut short, or less would be done.
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


@bench.view("/own/{sku}")
async def own_screen(sku: str) -> Screen:
    """For whoever signed in; the caller's token goes on to the services."""
    one, two, three = await together(product.of(sku), optional(stock.of(sku)), optional(delivery.of(sku)))
    return Screen(product=one, stock=two, delivery=three)
