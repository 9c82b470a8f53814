"""What the FastAPI contenders share: the models, and a route for the screen with its response model."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Generic, Literal, TypeVar

from fastapi import FastAPI, Path
from pydantic import BaseModel

from ..models import Levels, Options, ProductInfo

T = TypeVar("T")


class Ready(BaseModel, Generic[T]):
    state: Literal["ready"] = "ready"
    data: T


class Screen(BaseModel):
    product: ProductInfo
    stock: Ready[Levels]
    delivery: Ready[Options]


def made_with(fetch: Callable[[str, str], Awaitable[bytes]]) -> FastAPI:
    """fetch: (kind, sku) → the service's body."""
    app = FastAPI()

    @app.get("/open/{sku}")
    async def screen(sku: Annotated[str, Path()]) -> Screen:
        product, stock, delivery = await asyncio.gather(
            fetch("product", sku), fetch("stock", sku), fetch("delivery", sku)
        )
        return Screen(
            product=ProductInfo.model_validate_json(product),
            stock=Ready(data=Levels.model_validate_json(stock)),
            delivery=Ready(data=Options.model_validate_json(delivery)),
        )

    return app
