"""The types that users depend on: a gateway passes mypy strict, and each wrong use is an error on its own line."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ..conftest import ROOT

GOOD = """
from __future__ import annotations

from typing import Optional

from pydantic import BaseModel

from bff import Call, Gateway, Missing, Part, Principal, SagaStatus, Upstream, optional, together
from bff.testing import fails, request_context


class Product(BaseModel):
    name: str
    weight_g: int


class Stock(BaseModel):
    available: int


class Line(BaseModel):
    sku: str


class ProductScreen(BaseModel):
    product: Product
    stock: Part[Stock]
    delivery: Part[str | None]


class Catalog(Upstream, team="Catalog", contact="#catalog"):
    def product(self, sku: str) -> Call[Product]:
        return self.get("/products/{sku}", Product, sku=sku).fresh(30).public()

    def stock(self, sku: str) -> Call[Stock]:
        return self.get("/stock/{sku}", Stock, sku=sku).within(0.2)

    def delivery(self, weight_g: int) -> Call[str | None]:
        return self.get("/delivery", str | None, weight_g=weight_g)

    def older(self) -> Call[Product | None]:
        return self.get("/older", Optional[Product])

    def forget(self, sku: str) -> Call[None]:
        return self.delete("/products/{sku}", None, sku=sku)

    def place(self, line: Line) -> Call[SagaStatus]:
        return self.post("/orders", SagaStatus, line).keyed("mine")

    def of_owner(self, owner: str) -> Call[list[SagaStatus]]:
        return self.get("/orders", list[SagaStatus], owner=owner)

    @Upstream.batch(by=lambda line: line.sku)
    def line(self, skus: list[str]) -> Call[list[Line]]:
        return self.get("/lines", list[Line], sku=skus)


catalog = Catalog()
shop = Gateway("shop", deadline=1.5)
order = shop.saga("order", SagaStatus, restore=catalog.of_owner)
shop.value("stock/{sku}", Stock, public=True, load=catalog.stock)


@shop.view("/products/{sku}", public=True)
async def product_screen(sku: str) -> ProductScreen:
    product = await catalog.product(sku)
    stock, delivery = await together(
        optional(catalog.stock(sku)), optional(catalog.delivery(product.weight_g), within=0.3)
    )
    return ProductScreen(product=product, stock=stock, delivery=delivery)


@shop.command("/orders", starts=order, limit="10/minute")
async def place_order(line: Line, who: Principal) -> SagaStatus:
    return await catalog.place(line)


async def one_by_one(skus: list[str]) -> list[Part[Line]]:
    first: Line = await catalog.line(skus[0])
    return await together([optional(catalog.line(sku)) for sku in (first.sku, *skus)])


async def used_in_a_test() -> bool:
    with request_context({"Catalog.stock": fails("timeout")}) as kit:
        screen = await product_screen("mug")
    waves: list[list[str]] = kit.waves
    named: dict[str, str] = {"Catalog.delivery": "tomorrow"}
    exact = {catalog.delivery(3): "tomorrow"}
    both: dict[str | Call[str | None], str] = {"Catalog.stock": "none", catalog.delivery(3): "tomorrow"}
    with request_context(named), request_context(exact), request_context(both):
        await catalog.delivery(3)
    return isinstance(screen.stock, Missing) and screen.stock.reason == "timeout" and bool(waves)
"""

BAD = """
from __future__ import annotations

from good import Catalog, Line, Product, ProductScreen, Stock, catalog, product_screen, shop

from bff import Call, Missing, Part, SagaStatus, Upstream, optional, together


class Wrong(Upstream, team="Wrong", contact="#wrong"):
    def product(self) -> Call[Product]:
        return self.get("/x", Stock)  # wrong: arg-type


async def forgot_to_await() -> None:
    print(catalog.product("mug").weight_g)  # wrong: attr-defined


async def forgot_that_it_can_be_missing() -> Stock:
    part = await optional(catalog.stock("mug"))
    return part.data  # wrong: union-attr


async def optional_where_required() -> ProductScreen:
    product = await optional(catalog.product("mug"))
    stock = await optional(catalog.stock("mug"))
    return ProductScreen(product=product, stock=stock, delivery=stock)  # wrong: arg-type


async def in_the_wrong_order() -> Stock:
    product, stock = await together(catalog.product("mug"), catalog.stock("mug"))
    return product  # wrong: return-value


async def called_wrongly() -> None:
    await product_screen(7)  # wrong: arg-type


async def one_of_another_kind() -> Stock:
    await catalog.line(7)  # wrong: arg-type
    return await catalog.line("mug")  # wrong: return-value


async def told_in_words() -> None:
    catalog.product("mug").fresh("soon")  # wrong: arg-type


@shop.command("/other", starts="order")  # wrong: arg-type
async def starts_a_name(line: Line) -> SagaStatus:
    return await catalog.place(line)


@shop.view("/not-async")  # wrong: arg-type
def not_async() -> Stock:
    return Stock(available=1)


def a_value_is_no_model() -> None:
    shop.value("price/{sku}", int)  # wrong: arg-type
"""


@pytest.fixture(scope="module")
def messages(tmp_path_factory: pytest.TempPathFactory) -> str:
    """mypy's messages for both files, in one run."""
    folder = tmp_path_factory.mktemp("typing")
    (folder / "good.py").write_text(GOOD)
    (folder / "bad.py").write_text(BAD)
    # As a user has it: strict, and no plugin.
    (folder / "mypy.ini").write_text("[mypy]\nstrict = true\n")
    ended = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", "mypy.ini", "good.py", "bad.py"]
        + ["--cache-dir", str(ROOT / ".mypy_cache" / "users"), "--hide-error-context", "--no-pretty"],
        cwd=folder,
        env={**os.environ, "MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert ended.returncode in (0, 1), ended.stderr + ended.stdout
    return ended.stdout


def test_a_users_gateway_passes_mypy_strict(messages: str) -> None:
    assert "good.py" not in messages


def test_each_wrong_use_is_an_error_on_its_line_and_nothing_else_is(messages: str) -> None:
    expected = {
        (number, line.partition("# wrong: ")[2])
        for number, line in enumerate(BAD.splitlines(), 1)
        if "# wrong: " in line
    }
    found = {
        (int(number), code)
        for number, code in re.findall(r"^bad\.py:(\d+): error: .*\[(.+)\]$", messages, re.M)
    }
    assert found == expected, messages


def test_the_package_is_marked_as_typed() -> None:
    assert (Path(ROOT) / "bff" / "py.typed").exists()
