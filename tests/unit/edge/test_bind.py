from __future__ import annotations

import pytest
from pydantic import BaseModel, Field

from bff import DeclarationError, Principal, Problem
from bff.edge.bind import binding


class Line(BaseModel):
    sku: str
    quantity: int = Field(ge=1)


class Cart(BaseModel):
    lines: list[Line]


ADA = Principal("https://issuer", "ada", "token", 0.0)


async def everything(id: int, cart: Cart, who: Principal, tag: list[str] = [], page: int = 1) -> None:  # noqa: B006
    pass


def test_each_argument_comes_from_the_path_query_or_body_as_in_the_signature() -> None:
    bound = binding(everything, "/orders/{id}", "test", body=True)
    given = bound.arguments({"id": "7"}, b"tag=a&tag=b", b'{"lines":[{"sku":"x","quantity":2}]}', ADA)
    assert given == {
        "id": 7,
        "cart": Cart(lines=[Line(sku="x", quantity=2)]),
        "who": ADA,
        "tag": ["a", "b"],
        "page": 1,
    }


def test_each_mistake_has_a_pointer_and_no_value_is_repeated() -> None:
    bound = binding(everything, "/orders/{id}", "test", body=True)
    with pytest.raises(Problem) as raised:
        bound.arguments(
            {"id": "x"}, b"page=secret", b'{"lines":[{"sku":"x","quantity":0},{"quantity":1}]}', ADA
        )
    problem = raised.value
    assert problem.status == 422
    assert [(error["in"], error["pointer"]) for error in problem.errors] == [
        ("path", "/id"),
        ("query", "/page"),
        ("body", "/lines/0/quantity"),
        ("body", "/lines/1/sku"),
    ]
    assert "secret" not in str(problem.errors)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"lines": 1}'])
def test_a_body_that_is_not_the_model_is_422_not_500(body: bytes) -> None:
    bound = binding(everything, "/orders/{id}", "test", body=True)
    with pytest.raises(Problem) as raised:
        bound.arguments({"id": "1"}, b"", body, ADA)
    assert raised.value.status == 422


async def no_return(id: str):  # type: ignore[no-untyped-def]
    pass


async def unannotated(id) -> None:  # type: ignore[no-untyped-def]
    pass


async def two_bodies(a: Cart, b: Line) -> None:
    pass


def not_async(id: str) -> None:
    pass


@pytest.mark.parametrize(
    ("function", "path", "why"),
    [
        (no_return, "/x/{id}", "annotate what"),
        (unannotated, "/x/{id}", "annotate parameter id"),
        (two_bodies, "/x", "one body only"),
        (not_async, "/x/{id}", "async def"),
        (everything, "/x/{id}/{missing}", "takes none"),
    ],
)
def test_mistakes_in_a_signature_are_raised_at_declaration(function: object, path: str, why: str) -> None:
    with pytest.raises(DeclarationError, match=why):
        binding(function, path, "command /x", body=True)  # type: ignore[arg-type]


@pytest.mark.parametrize("quantity", [b'"2"', b"true", b"2.5", b"null", b"[2]"])
def test_a_json_value_of_another_type_is_no_number(quantity: bytes) -> None:
    bound = binding(everything, "/orders/{id}", "test", body=True)
    with pytest.raises(Problem) as raised:
        bound.arguments({"id": "1"}, b"", b'{"lines":[{"sku":"x","quantity":%s}]}' % quantity, ADA)
    assert [one["pointer"] for one in raised.value.errors] == ["/lines/0/quantity"]


def test_a_parameter_given_twice_is_a_mistake_unless_it_is_a_list() -> None:
    bound = binding(everything, "/orders/{id}", "test", body=True)
    with pytest.raises(Problem) as raised:
        bound.arguments({"id": "1"}, b"page=1&tag=a&page=2&tag=b", b'{"lines":[]}', ADA)
    assert [(one["in"], one["pointer"]) for one in raised.value.errors] == [("query", "/page")]


@pytest.mark.parametrize("query", [b"tag=%ff", b"page=\xc3\xa4", b"&".join(b"a=1" for _ in range(101))])
def test_a_query_that_cannot_be_read_is_400(query: bytes) -> None:
    bound = binding(everything, "/orders/{id}", "test", body=True)
    with pytest.raises(Problem) as raised:
        bound.arguments({"id": "1"}, query, b'{"lines":[]}', ADA)
    assert raised.value.status == 400
