"""/livez: the process answers and its own work goes on. /readyz: whether to send it traffic, each dependency named.

Redis being away does not make the gateway unready: every replica would leave at once, and screens are served without
it. It is named as away, or as refusing with what it says and what to do, where it answers but does not do its work. The
same goes for the identity provider and the issuers of tokens: people who are signed in and tokens by known keys are
served without them. Draining makes it unready.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

NO_STORE = {"cache-control": "no-store"}


class Lifecycle(Protocol):
    """draining: told to stop; dead: what a bug has ended, so that the process is to be replaced."""

    draining: bool

    @property
    def dead(self) -> list[str]: ...


class Health:
    """dependencies: each by name, with what is known of it."""

    def __init__(self, lifecycle: Lifecycle, dependencies: Callable[[], Awaitable[dict[str, Any]]]) -> None:
        self._lifecycle = lifecycle
        self._dependencies = dependencies

    async def livez(self, request: Request) -> Response:
        if dead := self._lifecycle.dead:
            return JSONResponse({"status": "dead", "parts": dead}, status_code=503, headers=NO_STORE)
        return JSONResponse({"status": "alive"}, headers=NO_STORE)

    async def readyz(self, request: Request) -> Response:
        dependencies = await self._dependencies()
        draining = self._lifecycle.draining
        return JSONResponse(
            {"status": "draining" if draining else "ready", "dependencies": dependencies},
            status_code=503 if draining else 200,
            headers=NO_STORE,
        )
