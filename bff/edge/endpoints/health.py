"""/livez: the process answers and its background work goes on. /readyz: whether to send it traffic, and the state of
each dependency.

The gateway stays ready while Redis is away: otherwise every replica would leave at once, and screens are served
without Redis. Redis is reported as away, or, where it answers but rejects commands, as refusing, with its message and
what to do. The gateway also stays ready while the identity provider or an issuer of tokens is away: sessions and tokens
by known keys are served without them. Draining makes it unready.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ..respond import NO_STORE


class Health:
    """dependencies: gives the state of each dependency by its name. dead: gives the parts of the gateway that a bug has
    ended, so that the process must be replaced. draining: the gateway is stopping."""

    def __init__(
        self, dependencies: Callable[[], Awaitable[dict[str, Any]]], dead: Callable[[], list[str]]
    ) -> None:
        self.draining = False
        self.dead = dead
        self._dependencies = dependencies

    async def livez(self, request: Request) -> Response:
        if dead := self.dead():
            return JSONResponse({"status": "dead", "parts": dead}, status_code=503, headers=NO_STORE)
        return JSONResponse({"status": "alive"}, headers=NO_STORE)

    async def readyz(self, request: Request) -> Response:
        dependencies = await self._dependencies()
        return JSONResponse(
            {"status": "draining" if self.draining else "ready", "dependencies": dependencies},
            status_code=503 if self.draining else 200,
            headers=NO_STORE,
        )
