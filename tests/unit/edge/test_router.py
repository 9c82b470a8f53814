"""Routers: declarations of any module, in any order, reach the gateway with the options of all their routers."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from bff import Call, DeclarationError, Gateway, Principal, Router, SagaStatus, Upstream
from bff.cli.static_analysis import steps
from bff.edge.access.authorization import Requirements
from bff.edge.describe import openapi
from tests.declarations import paths_of, route_of

from ...waiting import GUARD


class Thing(BaseModel):
    name: str


class Desk(Upstream, team="Desk", contact="#desk"):
    def ticket(self, id: str) -> Call[Thing]:
        return self.get("/tickets/{id}", Thing, id=id)


async def nothing() -> Thing:
    return Thing(name="x")


async def of_one(id: str) -> Thing:
    return Thing(name=id)


async def of_team(team: str, id: str) -> Thing:
    return Thing(name=team + id)


async def job(who: Principal) -> SagaStatus:
    raise AssertionError


def test_declarations_before_and_after_an_include_reach_the_gateway_through_every_router() -> None:
    notes, tickets = Router(prefix="/notes"), Router(prefix="/api/tickets")
    notes.view("")(nothing)
    tickets.include(notes)
    desk = Gateway("desk", routers=(tickets,))
    notes.command("/{id}")(of_one)
    tickets.view("/{id}")(of_one)
    desk.view("/api/me")(nothing)
    assert paths_of(desk.views) == ["/api/tickets/notes", "/api/tickets/{id}", "/api/me"]
    assert paths_of(desk.commands) == ["/api/tickets/notes/{id}"]
    assert [route.path for route in tickets.routes] == [
        "/api/tickets/notes",
        "/api/tickets/notes/{id}",
        "/api/tickets/{id}",
    ]


def test_an_option_of_a_route_wins_over_its_router_and_that_over_the_outer_one() -> None:
    inner = Router(prefix="/inner", roles=("boss",), limit="7/minute")
    outer = Router(prefix="/outer", scopes=("outer",), deadline=3, network="office")
    outer.include(inner)
    gateway = Gateway("x", scopes=("all",), roles=("staff",), deadline=2, routers=(outer,))
    inner.view("/plain")(nothing)
    inner.view("/own", scopes=(), roles=("cook",), deadline=1, limit="1/hour", network="kitchen")(nothing)
    inner.view("/open", public=True)(nothing)
    outer.view("/plain")(nothing)
    gateway.view("/plain")(nothing)

    def of(path: str) -> tuple[Any, ...]:
        view = route_of(gateway, path)
        return view.requirements, view.deadline, view.options.limit, view.options.network

    outer_scope = frozenset({"outer"})
    assert of("/outer/inner/plain") == (
        Requirements(outer_scope, frozenset({"boss"})),
        3,
        "7/minute",
        "office",
    )
    assert of("/outer/inner/own") == (Requirements(frozenset(), frozenset({"cook"})), 1, "1/hour", "kitchen")
    assert of("/outer/inner/open") == (Requirements(), 3, "7/minute", "office")
    assert of("/outer/plain") == (Requirements(outer_scope, frozenset({"staff"})), 3, None, "office")
    assert of("/plain") == (Requirements(frozenset({"all"}), frozenset({"staff"})), 2, None, None)


def test_a_prefix_may_have_parameters_that_every_function_takes() -> None:
    tickets = Router(prefix="/tickets")
    tickets.view("/{id}")(of_team)
    with pytest.raises(DeclarationError, match=r"/teams/\{team\}/tickets/x has \{team\} but the function"):
        bare = Router(prefix="/tickets")
        bare.view("/x")(nothing)
        Router(prefix="/teams/{team}").include(bare)
    gateway = Gateway("x", routers=(teams := Router(prefix="/teams/{team}"),))
    teams.include(tickets)
    bound = route_of(gateway, "/teams/{team}/tickets/{id}").binding
    assert [(source.where, source.names) for source in bound.sources] == [("path", ("team", "id"))]
    # Where it was declared, `team` is a parameter of the query.
    assert [source.where for source in tickets.routes[0].binding.sources] == ["path", "query"]


def test_one_router_may_be_in_two_gateways() -> None:
    shared = Router(prefix="/shared")
    one, two = Gateway("one", scopes=("one",), routers=(shared,)), Gateway("two", routers=(shared,))
    shared.view("/x")(nothing)
    assert route_of(one, "/shared/x").requirements == Requirements(frozenset({"one"}))
    assert route_of(two, "/shared/x").requirements == Requirements()


@pytest.mark.parametrize("prefix", ["/", "api", "/api/", "/bff", "/a b", "//a"])
def test_a_prefix_that_is_no_valid_path_is_refused(prefix: str) -> None:
    with pytest.raises(DeclarationError, match="router"):
        Router(prefix=prefix)


def test_the_prefix_itself_is_the_empty_path() -> None:
    router = Router(prefix="/things")
    with pytest.raises(DeclarationError, match='the address of the prefix itself is ""'):
        router.view("/")(nothing)
    with pytest.raises(DeclarationError, match="a path begins with /"):
        Router().view("")(nothing)
    router.view("")(nothing)
    assert router.routes[0].path == "/things"


def test_a_duplicate_names_the_lines_of_both_declarations() -> None:
    first, second = Router(), Router(prefix="/a")
    gateway = Gateway("x", routers=(first, second))
    first.view("/a/{id}")(of_one)
    here = __name__
    with pytest.raises(
        DeclarationError, match=rf"declared twice, the other is /a/\{{id\}} \({here}:\d+, {here}"
    ):
        second.view("/{sku}")(of_sku)
    first.saga("job", SagaStatus)
    with pytest.raises(DeclarationError, match=rf"saga 'job' is declared twice \({here}:\d+, {here}:\d+\)"):
        gateway.saga("job", SagaStatus)
    first.value("level/{sku}", Thing, public=True)
    with pytest.raises(DeclarationError, match=rf"'level' is declared twice \({here}:\d+"):
        second.value("level/{id}", Thing, public=True)


async def of_sku(sku: str) -> Thing:
    return Thing(name=sku)


def test_no_router_is_included_twice_or_contains_itself() -> None:
    one, two, three = Router(), Router(), Router()
    one.include(two)
    two.include(three)
    for outer, inner in ((one, two), (one, one), (three, one)):
        with pytest.raises(DeclarationError, match=r"included twice|contain itself"):
            outer.include(inner)
    with pytest.raises(DeclarationError, match="is no Router"):
        one.include("two")  # type: ignore[arg-type]
    with pytest.raises(DeclarationError, match="tags is a tuple"):
        Router(tags="things")  # type: ignore[arg-type]


async def test_a_command_may_start_a_saga_of_another_router_that_is_included_later() -> None:
    sagas, commands = Router(), Router(prefix="/jobs")
    kind = sagas.saga("job", SagaStatus)
    commands.command("", starts=kind)(job)
    gateway = Gateway("x", routers=(commands,))
    with pytest.raises(DeclarationError, match=r"saga 'job' belongs to .* a router that is not included"):
        gateway.check()
    gateway.include(sagas)
    gateway.check()
    assert route_of(gateway, "/jobs", "POST").starts is kind


def test_operations_have_the_tags_of_their_router_by_default_the_name_of_its_module() -> None:
    named, unnamed = Router(prefix="/named", tags=("Things",)), Router(prefix="/unnamed")
    gateway = Gateway("x", routers=(named, unnamed))
    for one in (named, unnamed, gateway):
        one.view("/x")(nothing)
    document = openapi.document(gateway, "1")
    tags = {path: document["paths"][path]["get"]["tags"] for path in ("/named/x", "/unnamed/x", "/x")}
    assert tags == {"/named/x": ["Things"], "/unnamed/x": ["test_router"], "/x": ["screens"]}
    assert {"Things", "test_router"} <= {tag["name"] for tag in document["tags"]}


CLIENTS = "from {here} import Desk\ndesk = Desk()\n"
SCREENS = """
from bff import Router
from {here} import Thing
import {name}_clients as clients

tickets = Router(prefix="/tickets")

@tickets.view("/{{id}}", public=True)
async def ticket(id: str) -> Thing:
    return await clients.desk.ticket(id)
"""


@pytest.fixture
def screens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A module whose screen reaches its upstream through another module."""
    name = f"routed_{tmp_path.name}"
    (tmp_path / f"{name}_clients.py").write_text(CLIENTS.format(here=__name__))
    (tmp_path / f"{name}.py").write_text(SCREENS.format(here=__name__, name=name))
    monkeypatch.syspath_prepend(str(tmp_path))
    module = __import__(name)
    monkeypatch.delitem(sys.modules, name)
    return module


def test_an_upstream_is_found_through_the_modules_that_a_function_names(screens: types.ModuleType) -> None:
    gateway = Gateway("x", routers=(screens.tickets,))
    assert gateway.upstreams() == [screens.clients.desk]
    (step,) = steps(screens.ticket)
    assert (step.upstream, step.name, step.verb) == (screens.clients.desk, "ticket", "GET")


async def test_a_gateway_of_routers_is_served(screens: types.ModuleType, redis_url: str) -> None:
    from ...cases.kit import answer, client, upstream

    gateway = Gateway("x", deadline=GUARD, routers=(screens.tickets,))
    async with (
        upstream(answer(b'{"name":"it"}')) as server,
        client(gateway, redis_url, {"desk": server.port}) as browser,
    ):
        assert (await browser.get("/tickets/7")).json() == {"name": "it"}
        assert server.requests[0].startswith(b"GET /tickets/7 ")
