from __future__ import annotations

import enum
import re
from decimal import Decimal
from typing import Annotated, Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator, validate
from pydantic import BaseModel, Field

from bff import Cookie, Gateway, Header, Part, Redirect, Reply, SagaStatus, Upstream
from bff.edge.describe.openapi import document
from bff.edge.settings import Settings


class Colour(enum.StrEnum):
    RED = "red"
    BLUE = "blue"


class Thing(BaseModel):
    name: str
    colour: Colour = Colour.RED
    inside: Thing | None = None


class Screen(BaseModel):
    part: Part[Thing]
    parts: list[Part[Thing]]


def made() -> Gateway:
    gateway = Gateway("shop")

    @gateway.view("/a/{colour}", public=True)
    async def same_name(
        colour: Colour, size: Annotated[int, Field(ge=1, le=9)] = 3, tag: list[Colour] | None = None
    ) -> Screen:
        raise NotImplementedError

    def another() -> None:
        @gateway.view("/b")
        async def same_name(colour: Colour) -> list[Thing] | None:
            raise NotImplementedError

    another()

    @gateway.command("/a/{colour}")
    async def written(colour: Colour, thing: Thing) -> Thing:
        raise NotImplementedError

    gateway.saga("job", SagaStatus)
    gateway.value("level/{sku}", Thing, public=True)
    return gateway


def test_the_document_of_a_gateway_with_every_kind_of_declaration_is_valid() -> None:
    validate(document(made(), "1.2.3"), cls=OpenAPIV31SpecValidator)
    validate(document(Gateway("empty"), "1"), cls=OpenAPIV31SpecValidator)


def test_operation_ids_differ_when_functions_have_the_same_name() -> None:
    found = document(made(), "1")
    ids = [one["operationId"] for methods in found["paths"].values() for one in methods.values()]
    assert len(ids) == len(set(ids))
    assert {"same_name", "same_name_2"} <= set(ids)


def test_a_parameter_keeps_its_bounds_and_its_references_resolve() -> None:
    found = document(made(), "1")
    parameters = {one["name"]: one for one in found["paths"]["/a/{colour}"]["get"]["parameters"]}
    assert parameters["size"]["schema"] == {
        "default": 3,
        "maximum": 9,
        "minimum": 1,
        "title": "Size",
        "type": "integer",
    }
    assert (parameters["colour"]["in"], parameters["colour"]["required"]) == ("path", True)
    references = set(_references(found))
    assert "#/components/schemas/Colour" in references
    for reference in references:
        place: Any = found
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [one for inner in value.values() for one in _references(inner)]
    if isinstance(value, list):
        return [one for inner in value for one in _references(inner)]
    return []


def test_public_routes_have_no_security_and_others_do() -> None:
    paths = document(made(), "1")["paths"]
    assert paths["/a/{colour}"]["get"]["security"] == []
    assert paths["/b"]["get"]["security"] == [{"bearer": []}, {"session": []}]
    assert paths["/a/{colour}"]["post"]["security"]
    assert "level/{sku}" in str(paths["/bff/live"])


def issuers(*bound: bool) -> Settings:
    """Settings with an issuer for each; bound: whether its tokens must be bound to a key."""
    return Settings.model_validate(
        {
            "issuers": [
                {"issuer": f"https://{number}.test", "audience": "shop", "bound_only": one}
                for number, one in enumerate(bound)
            ]
        }
    )


@pytest.mark.parametrize(
    ("settings", "schemes"),
    [
        (Settings(), ["bearer"]),
        (issuers(False), ["bearer", "dpop"]),
        (issuers(True, False), ["bearer", "dpop"]),
        (issuers(True, True), ["dpop"]),
    ],
)
def test_the_schemes_of_tokens_are_those_that_the_issuers_have(
    settings: Settings, schemes: list[str]
) -> None:
    gateway = Gateway("shop", scopes=("shop",))

    @gateway.view("/mine")
    async def mine() -> Thing:
        raise NotImplementedError

    found = document(gateway, "1", settings)
    by_name = found["components"]["securitySchemes"]
    assert [name for name in by_name if name != "session"] == schemes
    assert all((by_name[name]["type"], by_name[name]["scheme"]) == ("http", name) for name in schemes)
    expected = [{name: ["shop"]} for name in (*schemes, "session")]
    assert found["paths"]["/mine"]["get"]["security"] == expected
    assert found["paths"]["/bff/live"]["get"]["security"] == expected
    for operations in found["paths"].values():
        for operation in operations.values():
            assert {name for one in operation["security"] for name in one} <= by_name.keys()


class Files(Upstream, team="Files", contact="#files"):
    """The service behind."""


def answering() -> dict[str, Any]:
    """The document of routes with other answers than their model."""
    gateway = Gateway("shop")

    @gateway.view("/go", public=True)
    async def go() -> Redirect:
        raise NotImplementedError

    @gateway.view("/thing", public=True)
    async def thing() -> Thing | Redirect:
        raise NotImplementedError

    @gateway.command("/reply")
    async def reply() -> Reply[Thing]:
        raise NotImplementedError

    @gateway.view("/text", public=True)
    async def text(
        price: Decimal = Decimal(1),
        colour: Colour | None = None,
        either: int | Colour | None = None,
        number: Annotated[int | None, Header("X-Number")] = None,
        theme: Annotated[Colour | None, Cookie()] = Colour.RED,
    ) -> Thing:
        raise NotImplementedError

    gateway.forward("/files/{path:path}", Files(), "/v1/{path}", methods=("GET", "PUT"))
    gateway.forward("/open/{name}", Files(), "/v1/{name}", public=True)
    found: dict[str, Any] = document(gateway, "1")
    validate(found, cls=OpenAPIV31SpecValidator)
    return found["paths"]  # type: ignore[no-any-return]


def test_redirects_and_the_statuses_of_a_reply_are_described() -> None:
    paths = answering()
    assert {"200", "204"} & set(paths["/go"]["get"]["responses"]) == set()
    assert "Location" in paths["/go"]["get"]["responses"]["3XX"]["headers"]
    assert {"200", "3XX"} <= set(paths["/thing"]["get"]["responses"])
    replied = paths["/reply"]["post"]["responses"]
    assert "200" not in replied and "application/json" in replied["2XX"]["content"]
    assert "3XX" not in replied


def test_no_text_of_a_parameter_is_null_and_a_decimal_is_a_number_in_text() -> None:
    schemas = {one["name"]: one["schema"] for one in answering()["/text"]["get"]["parameters"]}
    assert "null" not in str(schemas)
    assert schemas["colour"]["$ref"] == "#/components/schemas/Colour" and "default" not in schemas["colour"]
    assert (schemas["theme"]["$ref"], schemas["theme"]["default"]) == ("#/components/schemas/Colour", "red")
    assert [one.get("type", "$ref") for one in schemas["either"]["anyOf"]] == ["integer", "$ref"]
    assert schemas["x-number"]["type"] == "integer"
    number, text = schemas["price"]["anyOf"]
    assert number == {"type": "number"}
    for given, fits in (
        ("1", True),
        ("-1.50", True),
        (".5e-3", True),
        ("", False),
        ("Úî", False),
        ("1 €", False),
    ):
        assert bool(re.search(text["pattern"], given)) == fits, given


def test_a_forward_is_described_with_the_services_own_words_and_the_gateways_problems() -> None:
    paths = answering()
    for path, method, own in (
        ("/files/{path}", "put", {"401"}),
        ("/files/{path}", "get", {"401"}),
        ("/open/{name}", "get", set()),
    ):
        responses = paths[path][method]["responses"]
        assert set(responses) == {"2XX", "204", "304", "3XX", "4XX", "429", "500", "502", "503", "504", *own}
        assert set(responses["4XX"]["content"]) == {"application/problem+json", "*/*"}
        assert "content" not in responses["204"] and "Location" in responses["3XX"]["headers"]
    assert (
        "requestBody" in paths["/files/{path}"]["put"] and "requestBody" not in paths["/open/{name}"]["get"]
    )
