"""Fixed documents: the descriptions of the gateway and the pages made of them."""

from __future__ import annotations

import json
from typing import Any, Self

from starlette.types import Receive, Scope, Send


class Document:
    """A fixed document."""

    def __init__(self, body: bytes, media_type: str) -> None:
        self._body = body
        self._headers = [
            (b"content-type", media_type.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", b"no-cache"),
            (b"content-security-policy", b"default-src 'none'; style-src 'self'; frame-ancestors 'none'"),
        ]

    @classmethod
    def json(cls, document: Any) -> Self:
        return cls(json.dumps(document, ensure_ascii=False).encode(), "application/json")

    @classmethod
    def html(cls, body: bytes) -> Self:
        return cls(body, "text/html; charset=utf-8")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = b"" if scope["method"] == "HEAD" else self._body
        await send({"type": "http.response.start", "status": 200, "headers": self._headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})
