"""Finds a declared route, and makes the ASGI scope of a request for a binding."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from starlette.types import Scope

from bff.edge.declared import Declarations, Route


def route_of(gateway: Declarations, path: str, method: str = "GET") -> Route:
    return next(route for route in gateway.routes if (route.method, route.path) == (method, path))


def paths_of(routes: Iterable[Route]) -> list[str]:
    return [route.path for route in routes]


def request_of(
    path: Mapping[str, str] | None = None, query: bytes = b"", headers: Mapping[str, str] | None = None
) -> Scope:
    """path: the parameters of the path; headers: names in lower case, as servers give them."""
    pairs = [(name.encode(), value.encode("latin-1")) for name, value in (headers or {}).items()]
    return {"type": "http", "path_params": path or {}, "query_string": query, "headers": pairs}
