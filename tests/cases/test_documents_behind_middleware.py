"""A fixed document was one answer for all requests: what middleware added to its headers stayed and grew."""

from __future__ import annotations

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bff import Gateway

from ..waiting import GUARD
from .kit import client


class Stamp:
    """Adds a header to the list of headers of each answer, as plain ASGI middleware often does."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def stamped(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"].append((b"x-stamp", b"1"))
            await send(message)

        await self._app(scope, receive, stamped)


@pytest.mark.parametrize(
    "path",
    [
        "/openapi.json",
        "/asyncapi.json",
        "/bff/events.schema.json",
        "/docs",
        "/docs/problems",
        "/docs/style.css",
    ],
)
async def test_a_header_that_middleware_adds_is_in_each_answer_once(path: str, redis_url: str) -> None:
    gateway = Gateway("x", deadline=GUARD, middleware=(Stamp,))
    async with client(gateway, redis_url) as browser:
        for _ in range(3):
            answer = await browser.get(path)
            assert (answer.status_code, answer.headers.get_list("x-stamp")) == (200, ["1"])
