"""`/openapi.json` describes the real answers: a property that is always there is required, and a public route needs no
sign-in.

Input: a screen with an optional part, defaults and a Decimal; a public and a private view. Right: OpenAPI 3.1
(`security: []` removes the requirement that applies elsewhere; a property that is always there is `required`), so that
generated types have no needless `undefined`.
"""

from __future__ import annotations

from decimal import Decimal

from pydantic import BaseModel

from bff import Call, Gateway, Missing, Part, Upstream, optional

from .kit import answer, client, upstream


class Stock(BaseModel):
    left: int = 0
    price: Decimal = Decimal("0")


class Screen(BaseModel):
    stock: Part[Stock]
    note: str | None = None


class Shelf(Upstream, team="Shelf", contact="#shelf"):
    def stock(self) -> Call[Stock]:
        return self.get("/stock", Stock).public()


shelf = Shelf()
gateway = Gateway("described", version="7.1")


@gateway.view("/api/open", public=True)
async def for_all() -> Screen:
    return Screen(stock=await optional(shelf.stock()))


@gateway.view("/api/mine")
async def mine() -> Screen:
    return Screen(stock=Missing.model_validate({"reason": "failed", "owner": shelf.owner.as_dict()}))


async def test_properties_that_are_always_there_are_required_and_public_routes_need_no_sign_in(
    redis_url: str,
) -> None:
    async with (
        upstream(answer(b"{}")) as server,
        client(gateway, redis_url, {"shelf": server.port}, public_url="https://shop.example/app") as http,
    ):
        document = (await http.get("/openapi.json")).json()
        screen = (await http.get("/api/open")).json()
        events = (await http.get("/asyncapi.json")).json()
    schemas = document["components"]["schemas"]
    assert set(schemas["Screen"]["required"]) == set(screen) == {"stock", "note"}
    assert set(schemas["Stock"]["required"]) == set(screen["stock"]["data"]) == {"left", "price"}
    ready = schemas["Ready_Stock_"]
    assert {"state", "data"} <= set(ready["required"])
    assert {"state", "reason", "retry_after", "owner"} == set(schemas["Missing"]["required"])
    assert {"type": "number"} in schemas["Stock"]["properties"]["price"]["anyOf"]
    paths = document["paths"]
    assert paths["/api/open"]["get"]["security"] == []
    assert paths["/livez"]["get"]["security"] == []
    assert paths["/api/mine"]["get"]["security"]
    assert document["servers"] == [{"url": "https://shop.example/app"}]
    assert document["info"]["version"] == events["info"]["version"] == "7.1"
    for operations in paths.values():
        for operation in operations.values():
            assert "security" in operation and operation["tags"]
