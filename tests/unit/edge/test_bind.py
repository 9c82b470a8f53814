from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field

from bff import Body, Cookie, DeclarationError, Header, Principal, Problem, Query
from bff.edge.bind import binding
from tests.declarations import request_of


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
    given = bound.arguments(
        request_of({"id": "7"}, b"tag=a&tag=b"), b'{"lines":[{"sku":"x","quantity":2}]}', ADA
    )
    assert given == {
        "id": 7,
        "cart": Cart(lines=[Line(sku="x", quantity=2)]),
        "who": ADA,
        "tag": ["a", "b"],
        "page": 1,
    }


def test_a_cookie_that_is_sent_a_thousand_times_is_one_mistake() -> None:
    async def view(a: Annotated[str, Cookie()], b: Annotated[str, Cookie()]) -> None:
        pass

    bound = binding(view, "/x", "test", body=False)
    with pytest.raises(Problem) as raised:
        bound.arguments(request_of(headers={"cookie": "a=1;b=2;" * 1000}), None, None)
    assert [(error["in"], error["pointer"]) for error in raised.value.errors] == [
        ("cookie", "/a"),
        ("cookie", "/b"),
    ]


def test_each_mistake_has_a_pointer_and_no_value_is_repeated() -> None:
    bound = binding(everything, "/orders/{id}", "test", body=True)
    with pytest.raises(Problem) as raised:
        bound.arguments(
            request_of({"id": "x"}, b"page=secret"),
            b'{"lines":[{"sku":"x","quantity":0},{"quantity":1}]}',
            ADA,
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
        bound.arguments(request_of({"id": "1"}, b""), body, ADA)
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
        bound.arguments(
            request_of({"id": "1"}, b""), b'{"lines":[{"sku":"x","quantity":%s}]}' % quantity, ADA
        )
    assert [one["pointer"] for one in raised.value.errors] == ["/lines/0/quantity"]


def test_a_parameter_given_twice_is_a_mistake_unless_it_is_a_list() -> None:
    bound = binding(everything, "/orders/{id}", "test", body=True)
    with pytest.raises(Problem) as raised:
        bound.arguments(request_of({"id": "1"}, b"page=1&tag=a&page=2&tag=b"), b'{"lines":[]}', ADA)
    assert [(one["in"], one["pointer"]) for one in raised.value.errors] == [("query", "/page")]


@pytest.mark.parametrize("query", [b"tag=%ff", b"page=\xc3\xa4", b"&".join(b"a=1" for _ in range(101))])
def test_a_query_that_cannot_be_read_is_400(query: bytes) -> None:
    bound = binding(everything, "/orders/{id}", "test", body=True)
    with pytest.raises(Problem) as raised:
        bound.arguments(request_of({"id": "1"}, query), b'{"lines":[]}', ADA)
    assert raised.value.status == 400


class Filter(BaseModel):
    state: str = "open"
    label: list[str] = []


class Deep(BaseModel):
    line: Line


async def marked(
    filter: Filter,
    language: Annotated[str, Header("Accept-Language")],
    trace_state: Annotated[str, Header()] = "",
    theme: Annotated[str, Cookie()] = "light",
    text: Annotated[str, Query("q"), Field(max_length=3)] = "",
) -> None:
    pass


def test_a_marker_says_where_a_parameter_comes_from() -> None:
    bound = binding(marked, "/x", "view /x", body=False)
    headers = {"accept-language": "de", "trace-state": "a", "cookie": "theme=dark"}
    assert bound.arguments(request_of(query=b"q=abc&label=a&label=b", headers=headers), None, None) == {
        "filter": Filter(label=["a", "b"]),
        "language": "de",
        "trace_state": "a",
        "theme": "dark",
        "text": "abc",
    }
    assert bound.vary == ["Accept-Language", "Trace-State", "Cookie"]
    with pytest.raises(Problem) as raised:
        bound.arguments(request_of(query=b"q=abcd"), None, None)
    assert [(one["in"], one["pointer"]) for one in raised.value.errors] == [
        ("query", "/q"),
        ("header", "/accept-language"),
    ]


async def list_of_models(lines: list[Line]) -> None:
    pass


async def annotated_model(line: Annotated[Line, Field(description="one")]) -> None:
    pass


async def mapping(counts: dict[str, int]) -> None:
    pass


async def single(count: Annotated[int, Body()]) -> None:
    pass


@pytest.mark.parametrize(
    ("function", "body", "value"),
    [
        (list_of_models, b'[{"sku":"x","quantity":1}]', [Line(sku="x", quantity=1)]),
        (annotated_model, b'{"sku":"x","quantity":1}', Line(sku="x", quantity=1)),
        (mapping, b'{"a":1}', {"a": 1}),
        (single, b"7", 7),
    ],
)
def test_a_body_may_have_any_type(function: Any, body: bytes, value: object) -> None:
    bound = binding(function, "/x", "command /x", body=True)
    assert list(bound.arguments(request_of(), body, None).values()) == [value]


async def nested(deep: Deep) -> None:
    pass


async def union(one: Filter | Line) -> None:
    pass


async def body_in_a_view(line: Annotated[Line, Body()]) -> None:
    pass


async def mapping_in_query(counts: Annotated[dict[str, int], Query()]) -> None:
    pass


async def bare_marker(language: Annotated[str, Header]) -> None:
    pass


async def two_markers(language: Annotated[str, Header(), Query()]) -> None:
    pass


async def twice(state: str, filter: Filter) -> None:
    pass


async def own_header(token: Annotated[str, Header("Authorization")]) -> None:
    pass


async def own_cookie(session: Annotated[str, Cookie("__Host-bff")]) -> None:
    pass


async def wrong_name(name: Annotated[str, Header("a b")]) -> None:
    pass


async def from_path_and_header(id: Annotated[str, Header()]) -> None:
    pass


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (list_of_models, "lines comes from the query, where no text expresses"),
        (nested, "deep.line comes from the query, where no text expresses Line"),
        (union, "one comes from the query, where no text expresses"),
        (body_in_a_view, "it takes no body"),
        (mapping_in_query, "no text expresses"),
        (bare_marker, r"write Header\(\), not Header"),
        (two_markers, "from one place only"),
        (twice, "state of the query is declared twice"),
        (own_header, "read by the gateway alone"),
        (own_cookie, "read by the gateway alone"),
        (wrong_name, "no name of a header"),
        (from_path_and_header, "comes from the path"),
    ],
)
def test_what_cannot_be_bound_as_written_is_a_mistake_in_the_declaration(function: Any, why: str) -> None:
    path = "/x/{id}" if function is from_path_and_header else "/x"
    with pytest.raises(DeclarationError, match=why):
        binding(function, path, "view /x", body=False)
