"""The catalog's API. Guarantees the products as sold, each price in integer cents, with how long a copy may be kept and
an ETag to confirm it by. Refuses writes but on its edit page, whose changes are told to the gateway."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from bff_service import NOT_FOUND, Database, Outbox, Reading, Text, refusals
from fastapi import FastAPI, Query, Request, Response
from pydantic import BaseModel, Field
from sqlalchemy import Column, Integer, MetaData, String, Table, insert, select, update

from upstreams.catalog.editor import Edit, routes
from upstreams.catalog.seed import PRODUCTS
from upstreams.catalog.settings import CatalogSettings
from upstreams.catalog.webhook import LONGEST_PAUSE, Webhook, updated
from upstreams.kit import shop_service

# Seconds a copy may be kept without asking; a change is told at once all the same.
KEPT = 30

Sku = Annotated[Text, Field(min_length=1, max_length=64)]


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


def _products(metadata: MetaData) -> Table:
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


def cacheable(request: Request, body: BaseModel) -> Response:
    """A public answer with how long a copy may be kept; 304 for whoever has this very one (RFC 9110, section 13)."""
    content = body.model_dump_json().encode()
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": f"public, max-age={KEPT}"}
    known = {one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")}
    if known & {tag, "*"}:
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type="application/json")


def build(settings: CatalogSettings) -> FastAPI:
    """The catalog service on its own database, seeded once; edited and told of where its settings say so."""
    metadata = MetaData()
    table = _products(metadata)
    outbox = Outbox(metadata, longest_pause=LONGEST_PAUSE)
    database = Database(settings.own_database_url, metadata)
    webhook: Webhook | None = None
    if settings.webhook_url is not None and settings.webhook_secret is not None:
        webhook = Webhook(settings.webhook_url, settings.webhook_secret.get_secret_value())

    async def listed() -> Sequence[Mapping[str, Any]]:
        async with database.read() as db:
            rows = (await db.execute(select(table).order_by(table.c.rank))).mappings()
            return [dict(row) for row in rows]

    async def save(sku: str, change: Edit) -> bool:
        async with database.write() as db:
            done = await db.execute(update(table).where(table.c.sku == sku).values(change.model_dump()))
            if done.rowcount == 0:
                return False
            if webhook is not None:
                row = (await db.execute(select(table).where(table.c.sku == sku))).mappings().one()
                product = Product.model_validate(dict(row))
                await outbox.add(db, updated("product", product.model_dump()))
        return True

    async def seed() -> None:
        async with database.write() as db:
            known = set((await db.execute(select(table.c.sku))).scalars())
            fresh = [{**one, "rank": rank} for rank, one in enumerate(PRODUCTS) if one["sku"] not in known]
            if fresh:
                await db.execute(insert(table), fresh)

    app = shop_service(
        settings,
        database,
        prepare=seed,
        tasks=[] if webhook is None else [lambda: outbox.drain(database, webhook)],
        closing=[] if webhook is None else [webhook.close],
    )
    if settings.editing:
        app.router.routes.extend(routes(listed, save))

    @app.get("/products", response_model=Products, summary="What the shop sells")
    async def products(request: Request, query: Annotated[ProductQuery, Query()], db: Reading) -> Response:
        wanted = select(table).order_by(table.c.rank)
        if query.sku:
            wanted = wanted.where(table.c.sku.in_(query.sku))
        rows = (await db.execute(wanted)).mappings()
        return cacheable(request, Products(products=[Product.model_validate(dict(row)) for row in rows]))

    @app.get("/products/{sku}", response_model=Product, responses=refusals(NOT_FOUND), summary="One product")
    async def product(request: Request, sku: Sku, db: Reading) -> Response:
        found = (await db.execute(select(table).where(table.c.sku == sku))).mappings().first()
        if found is None:
            raise NOT_FOUND.problem("There is no such product.")
        return cacheable(request, Product.model_validate(dict(found)))

    return app
