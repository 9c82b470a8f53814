"""What identity has beside sign-in: an OpenAPI document and switches for faults, like the other services."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from openapi_spec_validator import validate
from starlette.routing import Route

from tests.upstreams.world import World, eventually
from upstreams.identity.app import build
from upstreams.identity.settings import IdentitySettings

# Not part of the API: the style of a page and the operator's addresses.
OWN = {"/page.css", "/livez", "/readyz", "/openapi.json"}


@pytest.fixture
def world(services: World) -> Iterator[World]:
    yield services
    services.calm("identity")


def ask(world: World, path: str = "/jwks.json") -> httpx.Response:
    return world.http.get(f"{world.url('identity')}{path}")


def test_the_document_is_valid_and_names_every_address(world: World, tmp_path: Path) -> None:
    document = ask(world, "/openapi.json").json()
    validate(document)
    identity = build(IdentitySettings(data_dir=tmp_path))
    told = {(path, method.upper()) for path, methods in document["paths"].items() for method in methods}
    there = {
        (route.path, method)
        for route in identity.routes
        if isinstance(route, Route) and route.path not in OWN
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert told == there


def test_latency_and_a_number_of_errors_can_be_set_and_removed(world: World) -> None:
    world.faults("identity", error_rate=1.0, status=500, match="GET /jwks.json", times=2)
    assert [ask(world).status_code for _ in range(3)] == [500, 500, 200]
    world.faults("identity", error_rate=1.0)
    assert ask(world).status_code == 503
    assert ask(world).headers["content-type"] == "application/problem+json"
    assert ask(world, "/livez").status_code == ask(world, "/openapi.json").status_code == 200
    world.calm("identity")
    world.faults("identity", latency_ms=200)
    assert ask(world).elapsed.total_seconds() >= 0.2
    world.calm("identity")
    assert ask(world).status_code == 200


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_request_can_be_held_and_released(world: World, moment: str) -> None:
    world.faults("identity", hold=moment, match="GET /jwks.json")
    answers: list[httpx.Response] = []
    asking = threading.Thread(target=lambda: answers.append(httpx.get(f"{world.url('identity')}/jwks.json")))
    asking.start()
    eventually(lambda: world.held("identity") == 1)
    assert answers == []
    world.calm("identity")
    asking.join(5)
    assert [answer.status_code for answer in answers] == [200]


def test_without_the_setting_there_are_no_switches(tmp_path: Path) -> None:
    identity = build(IdentitySettings(data_dir=tmp_path))
    assert "/faults" not in {route.path for route in identity.routes if isinstance(route, Route)}
