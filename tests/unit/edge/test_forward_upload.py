"""When a request that is forwarded has a body, by the version of HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from bff.edge.endpoints.forward import Upload
from bff.edge.settings.http import ForwardSettings
from bff.transport.forwarding import HeadTimer


@pytest.mark.parametrize(
    ("version", "method", "headers", "length", "has_body"),
    [
        ("1.1", "POST", {"content-length": "3"}, 3, True),
        ("1.1", "POST", {"transfer-encoding": "chunked"}, None, True),
        ("1.1", "POST", {"content-length": "0"}, 0, False),
        ("1.1", "DELETE", {}, None, False),
        ("1.1", "GET", {}, None, False),
        # RFC 9113 section 8.1: the end of the stream ends the body.
        ("2", "POST", {}, None, True),
        ("2", "POST", {"content-length": "3"}, 3, True),
        ("2", "POST", {"content-length": "0"}, 0, False),
        ("2", "GET", {}, None, False),
    ],
)
async def test_a_body_is_announced_by_a_header_in_http_1_and_needs_none_in_http_2(
    version: str, method: str, headers: dict[str, str], length: int | None, has_body: bool
) -> None:
    messages = [
        {"type": "http.request", "body": b"ab", "more_body": True},
        {"type": "http.request", "body": b"c", "more_body": False},
    ]

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "headers": pairs, "http_version": version}
    upload = Upload(scope, receive, 10, ForwardSettings(), HeadTimer(1.0))
    assert upload.length == length
    assert (upload.body is not None, upload.is_complete) == (has_body, not has_body)
    if upload.body is not None:
        assert [piece async for piece in upload.body] == [b"ab", b"c"]
        assert upload.is_complete
