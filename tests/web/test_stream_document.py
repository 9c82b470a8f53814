"""The stream matches /asyncapi.json: the document is valid by the official schema, and every event fits it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from jsonschema import Draft7Validator, Draft202012Validator  # type: ignore[import-untyped]  # no stubs among our tools

from bff import Gateway
from bff.edge.describe import asyncapi
from tests.conftest import ROOT
from tests.shop.system import Follower, Shop
from web.shop.gateway import shop as shop_gateway

OFFICIAL = ROOT / "web/client/node_modules/@asyncapi/specs/schemas/3.0.0.json"


def fits(document: dict[str, Any], name: str, payload: Any) -> None:
    schema = {"$ref": document["components"]["messages"][name]["payload"]["$ref"]}
    Draft202012Validator(schema | {"components": document["components"]}).validate(payload)


@pytest.mark.parametrize("gateway", [shop_gateway, Gateway("bare")], ids=["shop", "bare"])
def test_the_document_is_asyncapi_by_the_official_schema(gateway: Gateway) -> None:
    official = Draft7Validator(json.loads(OFFICIAL.read_text()))
    document = asyncapi.document(gateway, "1")
    official.validate(document)
    assert not official.is_valid({key: document[key] for key in document if key != "info"})


async def test_every_event_of_a_stream_fits_the_document(paced_shop: Shop) -> None:
    document = httpx.get(f"{paced_shop.url}/asyncapi.json", trust_env=False).json()
    follower = Follower(paced_shop, "ada", "?value=stock/mug-01")
    async with asyncio.TaskGroup() as group:
        running = group.create_task(follower.run())
        await follower.until(lambda one: one.events)
        placed = await asyncio.to_thread(paced_shop.world.order_id, "ada", [("mug-01", 1)])
        await follower.until(lambda one: one.ended(placed))
        running.cancel()
    names = {"saga": "saga.order", "value": "value.stock"}
    for event in follower.events:
        fits(document, names.get(event.name, event.name), event.data)
    assert {event.name for event in follower.events} >= {"snapshot", "saga", "value"}
    with pytest.raises(Exception, match="is not one of"):
        fits(document, "saga.order", follower.sagas(placed)[0] | {"status": "LOST"})
