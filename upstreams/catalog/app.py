"""The catalog's API. Promises the products as sold, each price in integer cents, with how long a copy may be kept and
an ETag to confirm it by; refuses writes but on its edit page, whose changes are told to the gateway."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, Field
from sqlalchemy import Column, Integer, MetaData, String, Table, insert, select, update

from upstreams.catalog.editor import Edit, routes
from upstreams.catalog.seed import PRODUCTS
from upstreams.catalog.settings import CatalogSettings
from upstreams.catalog.webhook import Webhook
from upstreams.kit import NOT_FOUND, Ask, Nothing, Service, ServiceSettings

# Seconds a copy may be kept without asking; a change is told at once all the same.
KEPT = 30

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
    """The catalog service on its own database, seeded once; edited and told of where its own settings say so."""
    metadata = MetaData()
    table = _tables(metadata)
    own = settings if isinstance(settings, CatalogSettings) else CatalogSettings(**settings.model_dump())
    webhook: Webhook | None = None
    if own.webhook_url is not None and own.webhook_secret is not None:
        webhook = Webhook(metadata, own.webhook_url, own.webhook_secret.get_secret_value())

    async def listed() -> Sequence[Mapping[str, Any]]:
        async with service.database.read() as db:
            rows = (await db.execute(select(table).order_by(table.c.rank))).mappings()
            return [dict(row) for row in rows]

    async def save(sku: str, change: Edit) -> bool:
        async with service.database.write() as db:
            done = await db.execute(update(table).where(table.c.sku == sku).values(change.model_dump()))
            if done.rowcount == 0:
                return False
            if webhook is not None:
                row = (await db.execute(select(table).where(table.c.sku == sku))).mappings().one()
                await webhook.add(db, "product", Product.model_validate(dict(row)).model_dump())
        if webhook is not None:
            webhook.wake()
        return True

    service = Service(
        "catalog",
        team="Catalog",
        contact="#catalog",
        settings=settings,
        metadata=metadata,
        routes=routes(listed, save) if own.editing else (),
    )

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

    async def tell() -> None:
        if webhook is not None:
            await webhook.tell_forever(service.database)

    service.on_start(seed)
    service.background(tell)
    service.get(
        "/products",
        products,
        takes=ProductQuery,
        answers=Products,
        public=True,
        kept=KEPT,
        summary="What the shop sells",
    )
    service.get(
        "/products/{sku}",
        product,
        takes=Nothing,
        answers=Product,
        public=True,
        kept=KEPT,
        refuses=(NOT_FOUND,),
        summary="One product",
    )
    return service
