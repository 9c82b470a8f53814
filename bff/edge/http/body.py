"""Read a request's body, bounded in bytes and in time."""

from __future__ import annotations

import asyncio

from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope

from ..problem import Problem
from ..settings import Settings


async def read_body(scope: Scope, receive: Receive, settings: Settings) -> bytes:
    """The whole body. Raises Problem 413 over `max_body` bytes, 408 when it does not come in `http.body_timeout`."""
    limit, seconds = settings.max_body, settings.http.body_timeout
    too_large = Problem(413, "body-too-large", f"At most {limit} bytes are taken here.")
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and int(value) > limit:
            raise too_large
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(seconds):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                chunk = message.get("body", b"")
                size += len(chunk)
                if size > limit:
                    raise too_large
                chunks.append(chunk)
                if not message.get("more_body", False):
                    return b"".join(chunks)
    except TimeoutError:
        raise Problem(
            408,
            "too-slow",
            f"The body did not arrive within {seconds:g} s.",
            headers={"connection": "close"},
        ) from None
