from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any

import pytest

from bff import DeclarationError, Depends, Header, Principal, Problem, Resource
from bff.edge.bind import Binding, binding
from bff.edge.dependencies import Resources
from tests.declarations import request_of

ADA = Principal("https://issuer", "ada", "token", 0.0)


class Pool:
    """A resource of the lifespan."""


class Desks:
    """Another one."""


log: list[str] = []


async def page_of(page: int = 1) -> int:
    log.append("page")
    return page


def language(accept_language: Annotated[str, Header()] = "en") -> str:
    return accept_language


async def offset(page: Annotated[int, Depends(page_of)], who: Principal) -> int:
    log.append(f"offset for {who.subject}")
    return page * 10


async def transaction(pool: Annotated[Pool, Resource()]) -> AsyncIterator[str]:
    log.append(f"begin on {type(pool).__name__}")
    try:
        yield "transaction"
    except ValueError:
        log.append("rolled back")
        raise
    log.append("committed")


async def listed(
    id: int,
    page: Annotated[int, Depends(page_of)],
    start: Annotated[int, Depends(offset)],
    db: Annotated[str, Depends(transaction)],
    tongue: Annotated[str, Depends(language)],
    desks: Annotated[Desks, Resource()],
    fails: bool = False,
) -> str:
    log.append("view")
    if fails:
        raise ValueError("no")
    return f"{id} {page} {start} {db} {tongue} {type(desks).__name__}"


def made() -> tuple[Binding, Resources]:
    log.clear()
    resources = Resources()
    resources.fill((Pool(), Desks()))
    return binding(listed, "/x/{id}", "view /x/{id}", body=False), resources


async def test_each_dependency_runs_once_before_the_function_and_ends_after_it() -> None:
    bound, resources = made()
    request = request_of({"id": "7"}, b"page=3", {"accept-language": "de"})
    found = await bound.call(listed, bound.arguments(request, None, ADA), resources)
    assert found == "7 3 30 transaction de Desks"
    assert log == ["page", "offset for ada", "begin on Pool", "view", "committed"]


async def test_an_exception_of_the_function_reaches_the_generator() -> None:
    bound, resources = made()
    with pytest.raises(ValueError, match="no"):
        await bound.call(
            listed, bound.arguments(request_of({"id": "7"}, b"fails=true"), None, ADA), resources
        )
    assert log[-1] == "rolled back"


def test_what_dependencies_take_is_read_and_described_with_the_rest() -> None:
    bound, _ = made()
    with pytest.raises(Problem) as raised:
        bound.arguments(request_of({"id": "x"}, b"page=y"), None, ADA)
    assert {(one["in"], one["pointer"]) for one in raised.value.errors} == {
        ("path", "/id"),
        ("query", "/page"),
    }
    assert bound.vary == ["Accept-Language"]
    assert (bound.takes_principal, bound.needs_principal) == (True, "who")


async def test_a_function_without_dependencies_is_called_as_it_is() -> None:
    async def plain(id: int) -> int:
        return id

    bound = binding(plain, "/x/{id}", "view /x/{id}", body=False)
    assert await bound.call(plain, bound.arguments(request_of({"id": "7"}), None, None), Resources()) == 7


@dataclass
class Opened:
    pool: Pool


@pytest.mark.parametrize("yielded", [Pool(), (Pool(), 1), {"pool": Pool()}, Opened(Pool())])
def test_a_resource_is_found_by_its_type(yielded: Any) -> None:
    resources = Resources()
    resources.fill(yielded)
    assert isinstance(resources.get(Pool), Pool)


@pytest.mark.parametrize("yielded", [None, (Pool(), Pool()), (1, "x")])
def test_a_resource_that_is_not_there_once_is_a_declaration_error(yielded: Any) -> None:
    resources = Resources()
    resources.fill(yielded)
    with pytest.raises(DeclarationError, match="Pool, and a function takes one"):
        resources.get(Pool)
    bound = binding(takes_pool, "/x", "view /x", body=False)
    with pytest.raises(DeclarationError, match="Pool"):
        bound.check_resources(resources)


async def takes_pool(pool: Annotated[Pool, Resource()]) -> str:
    return "x"


async def circle(other: Annotated[int, Depends(lambda: 0)]) -> int:
    return other


async def first(second: Annotated[int, Depends(circle)]) -> int:
    return second


async def with_body(pages: list[dict[str, int]]) -> int:
    return len(pages)


async def takes_body(n: Annotated[int, Depends(with_body)]) -> int:
    return n


async def takes_class(n: Annotated[Pool, Depends(Pool)]) -> int:
    return 1


async def takes_union(pool: Annotated[Pool | Desks, Resource()]) -> int:
    return 1


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (first, "annotate what <lambda> returns"),
        (takes_body, "no text expresses"),
        (takes_class, "no function to depend on"),
        (takes_union, "its type is one class"),
    ],
)
def test_mistakes_are_found_at_the_declaration(function: Any, why: str) -> None:
    with pytest.raises(DeclarationError, match=why):
        binding(function, "/x", "view /x", body=False)


def test_a_circle_is_found_at_the_declaration() -> None:
    async def one(n: int) -> int:
        return n

    one.__annotations__["n"] = Annotated[int, Depends(one)]

    async def view(n: int) -> int:
        return n

    view.__annotations__["n"] = Annotated[int, Depends(one)]
    with pytest.raises(DeclarationError, match="one depends on itself"):
        binding(view, "/x", "view /x", body=False)
