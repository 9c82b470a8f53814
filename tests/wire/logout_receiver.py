"""An application beside the gateway that keeps the logout tokens which its identity provider sends to it."""

from __future__ import annotations

from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


def receiver(logout_tokens: list[str]) -> Starlette:
    """logout_tokens: where each token is appended."""

    async def receive(request: Request) -> Response:
        logout_tokens.append(parse_qs((await request.body()).decode())["logout_token"][0])
        return Response()

    return Starlette(routes=[Route("/", receive, methods=["POST"])])
