"""Read a request's body, bounded in bytes and in time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope

from ..problem import Problem


@dataclass(frozen=True, slots=True)
class BodyReader:
    """`await reader(scope, receive)` gives the whole body. most: bytes; seconds: until it must be here."""

    most: int
    seconds: float

    async def __call__(self, scope: Scope, receive: Receive) -> bytes:
        """Raises Problem 413 for a body that is too large, 408 for one that does not come in time."""
        too_large = Problem(413, "body-too-large", f"At most {self.most} bytes are taken here.")
        for name, value in scope["headers"]:
            if name == b"content-length" and value.isdigit() and int(value) > self.most:
                raise too_large
        chunks: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self.seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ClientDisconnect
                    chunk = message.get("body", b"")
                    size += len(chunk)
                    if size > self.most:
                        raise too_large
                    chunks.append(chunk)
                    if not message.get("more_body", False):
                        return b"".join(chunks)
        except TimeoutError:
            raise Problem(
                408,
                "too-slow",
                f"The body did not arrive within {self.seconds:g} s.",
                headers={"connection": "close"},
            ) from None
