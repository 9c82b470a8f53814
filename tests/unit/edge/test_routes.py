from __future__ import annotations

from bff.edge.app.routes import in_order
from bff.edge.bind import binding
from bff.edge.declared import Options, Route


def test_a_plain_segment_comes_before_a_parameter_in_any_order_of_declaration() -> None:
    async def nothing() -> None:
        """Takes its parameters from nowhere: only the paths are looked at."""

    declared = ["/a/{id}", "/{x}", "/a/{id}/b", "/a/new", "/a/{id}/{b}", "/a", "/{x}/b"]
    bound = binding(nothing, "/", "view /", body=False)
    ordered = [
        route.path
        for route in in_order(Route("GET", path, nothing, bound, Options(), "") for path in declared)
    ]
    for plain, parameter in [
        ("/a/new", "/a/{id}"),
        ("/a", "/{x}"),
        ("/a/{id}/b", "/a/{id}/{b}"),
        ("/a/new", "/{x}/b"),
    ]:
        assert ordered.index(plain) < ordered.index(parameter)
    assert sorted(ordered) == sorted(declared)
