"""Addresses of a service as addresses here: whole, or not at all."""

from __future__ import annotations

import pytest

from bff.edge.http.forwarded_headers import Addresses

FILES = Addresses("/api/files/{path:path}", "/v1/files/{path}", ["http://files:80/base"], "/desk")


@pytest.mark.parametrize(
    ("address", "here"),
    [
        ("/v1/files/a/b", "/desk/api/files/a/b"),
        ("b?x=1&y=%2F", "/desk/api/files/b?x=1&y=%2F"),
        ("http://files:80/base/v1/files/a", "/desk/api/files/a"),
        ("/v1/files/a%20b~%C3%A9", "/desk/api/files/a%20b~%C3%A9"),
        # As a service writes them that does not escape: one character is one byte here.
        ("/v1/files/\xc3\xa9 x", "/desk/api/files/%C3%A9%20x"),
        ("/v1/files/a?q=\xc3\xa9", "/desk/api/files/a?q=%C3%A9"),
        # They have no form here.
        ("/v1/files/\xa9", None),
        ("/v1/files/%FF", None),
        ("/v1/files/%00", None),
        ("/v1/files/%2e%2e/x", None),
        ("/v1/files/a%2Fb", None),
        ("/v1/files/a%5Cb", None),
        ("/v1/files/a//b", None),
        # They are elsewhere.
        ("/v1/other", None),
        ("http://evil.test/v1/files/a", None),
        ("//evil.test/v1/files/a", None),
        ("http://[", None),
    ],
)
def test_an_address_is_rewritten_or_dropped(address: str, here: str | None) -> None:
    assert FILES.here(address, "/v1/files/x") == here
