from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # no stubs among our tools
from pydantic import BaseModel, Field

from bff import Gateway, Part, Router, SagaStatus
from bff.edge.describe import docs
from bff.edge.describe.examples import example
from bff.edge.describe.openapi import document
from bff.edge.problem_codes import CODES

MARKUP = "<script>alert(1)</script>"


class Leaf(BaseModel):
    name: Annotated[str, Field(min_length=9, max_length=12)]
    size: Annotated[int, Field(gt=3, le=90, multiple_of=5)] = 5
    state: Literal["open", "closed"]


class Tree(BaseModel):
    """A tree."""

    leaves: Annotated[list[Leaf], Field(min_length=2)]
    left: Tree | None = None
    more: dict[str, Leaf]
    ratio: Annotated[float, Field(ge=0.5, lt=1)]


class Screen(BaseModel):
    tree: Part[Tree]
    note: str = Field(MARKUP, description=MARKUP)


def made() -> Gateway:
    gateway = Gateway("garden")
    beds = Router(prefix="/api/beds", tags=("Beds & more",), scopes=("garden",))

    @beds.view("/{id}")
    async def bed(id: int) -> Screen:
        """One bed <b>."""
        raise NotImplementedError

    @beds.command("/{id}")
    async def dig(id: int, tree: Tree) -> Tree:
        raise NotImplementedError

    @gateway.view("/api/office", public=True, network="office")
    async def office() -> Leaf:
        raise NotImplementedError

    @gateway.view("/api/open", public=True)
    async def opened() -> Leaf:
        raise NotImplementedError

    gateway.include(beds)
    gateway.saga("job", SagaStatus)
    gateway.value("level/{sku}", Leaf, public=True)
    return gateway


def shown() -> str:
    return docs.overview(document(made(), "1")).decode()


def test_routes_are_grouped_by_tag_with_network_routes_and_builtin_ones_apart() -> None:
    found = {name: [path for path, *_ in routes] for name, _, routes in docs.grouped(document(made(), "1"))}
    assert list(found) == ["screens", "Beds & more", "internal", "gateway"]
    assert found["screens"] == ["/api/open"] and found["internal"] == ["/api/office"]
    assert found["Beds & more"] == ["/api/beds/{id}", "/api/beds/{id}"]
    assert "/bff/live" in found["gateway"] and not any(path.startswith("/api") for path in found["gateway"])
    page = shown()
    sections = re.findall(r'<section id="([^"]*)">', page)
    assert sections == ["tag-screens", "tag-beds-more", "tag-internal", "tag-gateway"]
    assert set(re.findall(r'href="#(tag-[^"]*)"', page)) == set(sections)


def test_every_route_of_the_document_is_on_the_page_once() -> None:
    found = document(made(), "1")
    listed = re.findall(r"<span class=method>(\w+)</span> <code>([^<]*)</code>", shown())
    expected = [(method.upper(), path) for path, methods in found["paths"].items() for method in methods]
    assert sorted(listed) == sorted(expected)


def test_every_schema_has_its_members_and_every_link_to_one_leads_somewhere() -> None:
    page = shown()
    anchors = re.findall(r'id="schema-([^"]*)"', page)
    assert sorted(anchors) == sorted(document(made(), "1")["components"]["schemas"])
    assert set(re.findall(r'href="#schema-([^"]*)"', page)) <= set(anchors)
    _, _, tree = page.partition('id="schema-Tree-Input"')
    tree = tree.partition("</details>")[0]
    assert 'list of <a href="#schema-Leaf-Input">Leaf-Input</a><td>at least 2 items' in tree
    assert "table of <a" in tree and "at least 0.5, below 1" in tree
    assert "<code>&quot;open&quot;</code> | <code>&quot;closed&quot;</code>" in page


def test_an_operation_says_who_may_use_it() -> None:
    page = shown()
    assert page.count("<span class=badge>scope garden</span>") == 2
    assert "<span class=badge>public</span> <span class=badge>network office</span>" in page


def test_texts_of_a_gateway_are_escaped_and_the_page_has_no_script() -> None:
    page = shown()
    assert "<script" not in page and "&lt;script" in page and "One bed &lt;b&gt;." in page


def test_every_example_on_the_page_fits_its_schema() -> None:
    found = document(made(), "1")
    schemas: list[Any] = list(found["components"]["schemas"].values())
    checked = 0
    for schema in schemas:
        value = example(schema, found["components"]["schemas"])
        Draft202012Validator(schema | {"components": found["components"]}).validate(value)
        checked += 1
    assert checked > 8


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"examples": [7], "type": "integer"}, 7),
        ({"anyOf": [{"type": "null"}, {"type": "boolean"}]}, True),
        ({"type": "null"}, None),
        ({"$ref": "#/components/schemas/Gone"}, {}),
        ({"type": "array", "items": {"type": "string"}, "maxItems": 0}, []),
        ({"type": "string", "format": "date"}, "2026-01-31"),
        ({"type": ["integer", "null"], "maximum": -4}, -4),
        ({"type": "integer", "exclusiveMinimum": 3, "multipleOf": 3}, 6),
        ({"type": "integer", "exclusiveMaximum": 0}, -1),
        ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}, 0.5),
        ({"type": "number", "exclusiveMinimum": 2}, 3.0),
    ],
)
def test_an_example_of(schema: Any, value: Any) -> None:
    Draft202012Validator(schema | {"components": {"schemas": {"Gone": {}}}}).validate(value)
    assert example(schema, {}) == value


def test_an_endless_schema_has_an_example_of_bounded_depth() -> None:
    endless = {
        "A": {"type": "object", "required": ["a"], "properties": {"a": {"$ref": "#/components/schemas/A"}}}
    }
    assert example({"$ref": "#/components/schemas/A"}, endless) is None


def test_the_page_of_problems_has_cause_and_cure_of_each_and_links_to_the_site_where_it_is_set() -> None:
    page = docs.problems().decode()
    assert re.findall(r'<dt id="([^"]*)">', page) == sorted(CODES)
    assert "<code>Retry-After</code>" in page and "`" not in page and "https://" not in page
    linked = docs.problems("https://docs.test/bff/").decode()
    assert 'href="https://docs.test/bff/reference/problems/timeout/"' in linked
