from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from starlette.routing import BaseRoute, Match, Mount, Route

from bff.edge.app.route_table import RouteTable

SEGMENTS = st.sampled_from(["a", "b", "{x}", "{y:int}", "c.d", "{x}.json", "{p:path}"])
METHODS = st.sampled_from(["GET", "POST", "DELETE"])


async def endpoint(scope: object, receive: object, send: object) -> None: ...


def unique(segments: list[str]) -> bool:
    names = [one.split("}")[0].split(":")[0] for one in "/".join(segments).split("{")[1:]]
    return len(names) == len(set(names))


ROUTES = st.lists(
    st.tuples(
        st.lists(SEGMENTS, min_size=1, max_size=3).filter(unique), st.lists(METHODS, min_size=1, max_size=2)
    ),
    max_size=8,
)
PATHS = st.lists(st.sampled_from(["a", "b", "7", "c.d", "cxd", "q.json", "z", "", "a\n"]), max_size=4)


def first_of(routes: list[BaseRoute], method: str, path: str) -> BaseRoute | None:
    scope = {"type": "http", "method": method, "path": path}
    return next((route for route in routes if route.matches(scope)[0] is Match.FULL), None)


@given(ROUTES, METHODS, PATHS)
def test_the_table_finds_what_the_router_would_use(
    declared: list[tuple[list[str], list[str]]], method: str, segments: list[str]
) -> None:
    routes: list[BaseRoute] = [
        Route("/" + "/".join(path), endpoint, methods=methods) for path, methods in declared
    ]
    path = "/" + "/".join(segments)
    found = RouteTable(routes).find(method, path)
    wanted = first_of(routes, method, path)
    # What the table does not find is left to the router. What it finds is what the router would use.
    assert found is wanted or (found is None and "\n" in path)


def test_routes_behind_a_mount_are_left_to_the_router() -> None:
    before, behind = Route("/a", endpoint, methods=["GET"]), Route("/b", endpoint, methods=["GET"])
    table = RouteTable([before, Mount("/m", endpoint), behind])
    assert table.find("GET", "/a") is before and table.find("HEAD", "/a") is before
    assert table.find("GET", "/b") is None and table.find("POST", "/a") is None
