"""/livez: the process answers and its own work goes on. /readyz: whether to send it traffic, each dependency named.

Redis being away does not make the gateway unready: every replica would leave at once, and screens are served without
it. It is named as away, or as refusing with what it says and what to do, where it answers but does not do its work. The
same goes for the identity provider and the issuers of tokens: people who are signed in and tokens by known keys are
served without them. Draining makes it unready.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

if TYPE_CHECKING:
    from ..runtime import Runtime

NO_STORE = {"cache-control": "no-store"}


class Health:
    """Endpoints over one runtime."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def livez(self, request: Request) -> Response:
        if dead := self._runtime.dead:
            return JSONResponse({"status": "dead", "parts": dead}, status_code=503, headers=NO_STORE)
        return JSONResponse({"status": "alive"}, headers=NO_STORE)

    async def readyz(self, request: Request) -> Response:
        runtime = self._runtime
        redis = await runtime.redis.look()
        upstreams = {name: {"circuit": lane.circuit} for name, lane in sorted(runtime.chain.lanes.items())}
        dependencies = {
            "redis": redis | runtime.link.shape,
            "upstreams": upstreams,
            "journals": {"waiting": runtime.hub.restoring},
            **runtime.identity(),
        }
        status = "draining" if runtime.draining else "ready"
        return JSONResponse(
            {"status": status, "dependencies": dependencies},
            status_code=503 if runtime.draining else 200,
            headers=NO_STORE,
        )
