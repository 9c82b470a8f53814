from __future__ import annotations

import enum
from pathlib import Path

import pytest
from pydantic import BaseModel

from bff import Call, DeclarationError, Gateway, Principal, SagaStatus, Upstream
from tests.declarations import route_of


class Thing(BaseModel):
    name: str


class Colour(enum.StrEnum):
    RED = "red"


class Shelf(Upstream, team="Shelf", contact="#shelf"):
    def thing(self) -> Call[Thing]:
        return self.get("/thing", Thing)


async def nothing() -> Thing:
    return Thing(name="x")


async def one(id: str) -> Thing:
    return Thing(name=id)


async def two(id: str, sku: str) -> Thing:
    return Thing(name=id + sku)


async def who_required(who: Principal) -> Thing:
    return Thing(name=who.id)


async def a_saga() -> SagaStatus:
    raise NotImplementedError


def gateway() -> Gateway:
    return Gateway("test")


def test_a_decorator_returns_the_function_unchanged() -> None:
    made = gateway()
    assert made.view("/a")(nothing) is nothing
    assert made.command("/b")(nothing) is nothing
    assert (route_of(made, "/a").name, route_of(made, "/b", "POST").safe) == ("nothing", True)
    assert (route_of(made, "/a").public, route_of(made, "/a").deadline) == (False, 1.5)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "a",
        "/a/",
        "//a",
        "/a b",
        "/a?b",
        "/a/{Id}",
        "/a/{id",
        "/a/x{id}",
        "/bff",
        "/bff/x",
        "/docs",
        "/docs/x",
    ]
    + ["/livez", "/readyz", "/metrics", "/openapi.json", "/a/%2e", "/a\n"],
)
def test_a_path_that_is_not_canonical_or_is_reserved_is_refused(path: str) -> None:
    with pytest.raises(DeclarationError, match="view"):
        gateway().view(path)(nothing)


def test_two_views_with_one_address_are_refused_also_with_other_parameter_names() -> None:
    made = gateway()
    made.view("/a/{id}")(one)
    for path in ("/a/{id}", "/a/{sku}"):
        with pytest.raises(DeclarationError, match="declared twice"):
            made.view(path)(one)
    made.command("/a/{id}")(one)
    made.view("/a/{id}/{sku}")(two)


@pytest.mark.parametrize("deadline", [0, -1, 61])
def test_a_deadline_out_of_range_is_refused(deadline: float) -> None:
    with pytest.raises(DeclarationError, match="deadline is seconds"):
        gateway().view("/a", deadline=deadline)(nothing)
    with pytest.raises(DeclarationError, match="deadline is seconds"):
        Gateway("x", deadline=deadline)


def test_a_public_view_with_a_required_principal_is_refused() -> None:
    with pytest.raises(DeclarationError, match=r"Principal \| None"):
        gateway().view("/a", public=True)(who_required)


def test_a_command_that_starts_a_saga_returns_a_saga_status_and_its_saga_is_of_the_same_gateway() -> None:
    made = gateway()
    job = made.saga("job", SagaStatus)
    made.command("/ok", starts=job)(a_saga)
    with pytest.raises(DeclarationError, match="must return a SagaStatus"):
        made.command("/a", starts=job)(nothing)
    with pytest.raises(DeclarationError, match="belongs to another gateway"):
        gateway().command("/a", starts=job)(a_saga)


def test_names_are_checked_and_unique() -> None:
    made = gateway()
    for bad in ("", "Order", "order_1", "1order", "o" * 64):
        with pytest.raises(DeclarationError):
            made.saga(bad, SagaStatus)
    made.saga("order", SagaStatus)
    with pytest.raises(DeclarationError, match="twice"):
        made.saga("order", SagaStatus)
    made.value("stock/{sku}", Thing, public=True)
    with pytest.raises(DeclarationError, match="twice"):
        made.value("stock/{id}", Thing, public=True)


def test_a_site_with_a_missing_file_or_a_reserved_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match="does not exist"):
        gateway().site(tmp_path / "none.html")
    with pytest.raises(DeclarationError, match="own addresses"):
        gateway().site(Path(__file__), paths=("/docs/mine",))


def test_upstreams_are_found_by_name_in_modules_closures_and_arguments() -> None:
    inside = Shelf()

    async def closed_over() -> Thing:
        return await inside.thing()

    made = Gateway("test", upstreams=(Shelf(),))
    assert len(made.upstreams()) == 1
    made.view("/a")(closed_over)
    assert inside in made.upstreams()


def test_an_upstream_without_a_contact_is_refused_at_its_declaration() -> None:
    with pytest.raises(DeclarationError, match="names no owner"):

        class Nobodys(Upstream, team="Team"):
            pass
