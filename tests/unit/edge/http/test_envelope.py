from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from starlette.requests import ClientDisconnect

from bff import Problem
from bff.edge.http.envelope import Envelope
from bff.edge.observe.request_traces import RequestTraces
from bff.edge.state import state_of


async def run(app: Any, method: str = "GET") -> tuple[list[Any], dict[str, Any]]:
    """Run one request through the envelope: what was sent, and the scope as the application saw it."""
    sent: list[Any] = []
    seen: dict[str, Any] = {}

    async def recorded(scope: Any, receive: Any, send: Any) -> None:
        seen.update(scope)
        await app(scope, receive, send)

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise NotImplementedError

    scope = {"type": "http", "method": method, "path": "/x", "headers": []}
    await Envelope(recorded, RequestTraces(), "https://shop.test")(scope, receive, send)
    return sent, seen


async def fine(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": [(b"a", b"b")]})
    await send({"type": "http.response.body", "body": b""})


async def refused(scope: Any, receive: Any, send: Any) -> None:
    raise Problem(409, "idempotency-in-flight", "Wait.", retry_after=0.5)


async def bug(scope: Any, receive: Any, send: Any) -> None:
    raise KeyError("hunter2")


async def half(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    raise KeyError("late")


async def left(scope: Any, receive: Any, send: Any) -> None:
    raise ClientDisconnect


async def test_every_answer_gets_its_ids_and_the_security_headers() -> None:
    for app in (fine, refused, bug):
        sent, scope = await run(app)
        headers = dict(sent[0]["headers"])
        assert headers[b"x-correlation-id"].decode() == state_of(scope).correlation
        assert headers[b"x-content-type-options"] == b"nosniff"
        assert headers[b"x-frame-options"] == b"DENY"
        assert len(state_of(scope).trace_id) == 32


async def test_a_problem_is_sent_with_its_body_and_without_it_for_head() -> None:
    sent, _ = await run(refused)
    body = json.loads(sent[1]["body"])
    assert (sent[0]["status"], body["type"]) == (409, "https://shop.test/docs/problems#idempotency-in-flight")
    assert dict(sent[0]["headers"])[b"retry-after"] == b"1"
    assert dict(sent[0]["headers"])[b"content-length"] == str(len(sent[1]["body"])).encode()
    sent, _ = await run(refused, "HEAD")
    assert (sent[0]["status"], sent[1]["body"]) == (409, b"")


async def test_a_bug_is_logged_with_its_traceback_and_answered_without_details(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.ERROR, logger="bff.edge"):
        sent, _ = await run(bug)
    assert sent[0]["status"] == 500
    assert b"hunter2" not in sent[1]["body"]
    assert "hunter2" in caplog.text


async def test_an_error_after_the_head_was_sent_is_raised_to_the_server() -> None:
    with pytest.raises(KeyError, match="late"):
        await run(half)


async def test_nothing_is_sent_to_a_client_that_left() -> None:
    sent, _ = await run(left)
    assert sent == []


async def test_each_request_has_one_access_log_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="bff.access"):
        await run(fine)
        await run(refused)
    lines = [vars(record)["fields"] for record in caplog.records if record.name == "bff.access"]
    assert [(line["method"], line["path"], line["status"]) for line in lines] == [
        ("GET", "/x", 204),
        ("GET", "/x", 409),
    ]
