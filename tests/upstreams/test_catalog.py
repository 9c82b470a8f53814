"""The catalog's API on a real socket."""

from __future__ import annotations

from openapi_spec_validator import validate

from tests.upstreams.conftest import Serve
from upstreams.catalog.app import build


async def test_the_catalog_lists_at_least_eight_products_to_anyone(serve: Serve) -> None:
    catalog = await serve(build)
    products = (await catalog.get("/products")).json()["products"]
    assert len(products) >= 8
    assert set(products[0]) == {
        "sku",
        "name",
        "description",
        "category",
        "price_cents",
        "currency",
        "weight_g",
        "art",
    }
    assert all(isinstance(product["price_cents"], int) and product["price_cents"] > 0 for product in products)


async def test_repeated_sku_parameters_select_products_and_unknown_ones_are_left_out(serve: Serve) -> None:
    catalog = await serve(build)
    answer = await catalog.get("/products?sku=pen-01&sku=mug-01&sku=none-99")
    assert {product["sku"] for product in answer.json()["products"]} == {"pen-01", "mug-01"}


async def test_one_product_is_found_by_its_sku_and_an_unknown_one_is_a_problem(serve: Serve) -> None:
    catalog = await serve(build)
    assert (await catalog.get("/products/mug-01")).json()["art"] == "mug"
    missing = await catalog.get("/products/none-99")
    assert missing.status_code == 404
    assert missing.headers["content-type"] == "application/problem+json"
    assert missing.json()["code"] == "not-found"


async def test_too_many_skus_are_refused_with_a_pointer(serve: Serve) -> None:
    catalog = await serve(build)
    answer = await catalog.get("/products?" + "&".join(f"sku=s{n}" for n in range(101)))
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/sku"


async def test_the_catalogs_openapi_is_valid(serve: Serve) -> None:
    catalog = await serve(build)
    validate((await catalog.get("/openapi.json")).json())


async def test_a_restart_keeps_one_copy_of_each_product(serve: Serve) -> None:
    first = await serve(build)
    again = await serve(build)
    assert (await first.get("/products")).json() == (await again.get("/products")).json()
