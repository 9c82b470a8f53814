from __future__ import annotations

import enum
from typing import Annotated, Any

from openapi_spec_validator import OpenAPIV31SpecValidator, validate
from pydantic import BaseModel, Field

from bff import Gateway, Part, SagaStatus
from bff.edge.describe.openapi import document


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
