"""The catalog's API. Promises the products as sold, each price in integer cents; refuses writes: the seed is the
assortment."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field
from sqlalchemy import Column, Integer, MetaData, String, Table, insert, select

from upstreams.catalog.seed import PRODUCTS
from upstreams.kit import NOT_FOUND, Ask, Nothing, Service, ServiceSettings

Sku = Annotated[str, Field(min_length=1, max_length=64)]


class Product(BaseModel):
    """What is sold: `price_cents` of `currency` (ISO 4217), `weight_g` in grams, `art` the key of a drawing."""

    sku: Sku
    name: str
    description: str
    category: str
    price_cents: int = Field(ge=0)
    currency: str = Field(min_length=3, max_length=3)
    weight_g: int = Field(ge=0)
    art: str


class Products(BaseModel):
    products: list[Product]


class ProductQuery(BaseModel):
    sku: list[Sku] = Field(
        default=[], max_length=100, description="only these, unknown ones left out; none: all"
    )


def _tables(metadata: MetaData) -> Table:
    return Table(
        "products",
        metadata,
        Column("sku", String(64), primary_key=True),
        Column("rank", Integer, nullable=False),
        Column("name", String(100), nullable=False),
        Column("description", String(1000), nullable=False),
        Column("category", String(50), nullable=False),
        Column("price_cents", Integer, nullable=False),
        Column("currency", String(3), nullable=False),
        Column("weight_g", Integer, nullable=False),
        Column("art", String(50), nullable=False),
    )


def build(settings: ServiceSettings) -> Service:
    """The catalog service on its own database, seeded once."""
    metadata = MetaData()
    table = _tables(metadata)
    service = Service("catalog", team="Catalog", contact="#catalog", settings=settings, metadata=metadata)

    async def products(ask: Ask[ProductQuery]) -> Products:
        wanted = select(table).order_by(table.c.rank)
        if ask.input.sku:
            wanted = wanted.where(table.c.sku.in_(ask.input.sku))
        rows = (await ask.db.execute(wanted)).mappings()
        return Products(products=[Product.model_validate(dict(row)) for row in rows])

    async def product(ask: Ask[Nothing]) -> Product:
        found = (await ask.db.execute(select(table).where(table.c.sku == ask.path["sku"]))).mappings().first()
        if found is None:
            raise NOT_FOUND.problem("There is no such product.")
        return Product.model_validate(dict(found))

    async def seed() -> None:
        async with service.database.write() as db:
            known = set((await db.execute(select(table.c.sku))).scalars())
            fresh = [{**one, "rank": rank} for rank, one in enumerate(PRODUCTS) if one["sku"] not in known]
            if fresh:
                await db.execute(insert(table), fresh)

    service.on_start(seed)
    service.get(
        "/products",
        products,
        takes=ProductQuery,
        answers=Products,
        public=True,
        summary="What the shop sells",
    )
    service.get(
        "/products/{sku}",
        product,
        takes=Nothing,
        answers=Product,
        public=True,
        refuses=(NOT_FOUND,),
        summary="One product",
    )
    return service
