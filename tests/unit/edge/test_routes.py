from __future__ import annotations

from bff.edge.app.routes import in_order


def test_a_plain_segment_comes_before_a_parameter_in_any_order_of_declaration() -> None:
    declared = ["/a/{id}", "/{x}", "/a/{id}/b", "/a/new", "/a/{id}/{b}", "/a", "/{x}/b"]
    ordered = in_order(declared)
    for plain, parameter in [
        ("/a/new", "/a/{id}"),
        ("/a", "/{x}"),
        ("/a/{id}/b", "/a/{id}/{b}"),
        ("/a/new", "/{x}/b"),
    ]:
        assert ordered.index(plain) < ordered.index(parameter)
    assert sorted(ordered) == sorted(declared)
