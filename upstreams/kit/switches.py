"""Faults in front of a service: the switches over HTTP, and what strikes its requests. Served only where
`SHOP_FAULTS=1`, and to this machine alone (loopback.py). The health, fault and OpenAPI routes are spared."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

from bff_service import Refusal
from bff_service.problems import INVALID, pointed
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from upstreams.kit.faults import FaultPlan, Faults, FaultState
from upstreams.kit.loopback import loopback_only

SPARED = ("/livez", "/readyz", "/openapi.json", "/faults", "/faults/release")


def fault_routes(faults: Faults) -> list[Route]:
    """`GET`, `PUT` and `DELETE /faults`, and `POST /faults/release`."""

    async def plan(request: Request) -> Response:
        if request.method == "PUT":
            try:
                wanted = FaultPlan.model_validate_json(await request.body())
            except ValidationError as error:
                raise INVALID.problem(errors=pointed(error)) from None
            return _state(faults.plan(wanted))
        return _state(faults.clear() if request.method == "DELETE" else faults.state())

    async def release(request: Request) -> Response:
        return _state(faults.release())

    return [
        Route("/faults", loopback_only(plan), methods=["GET", "PUT", "DELETE"]),
        Route("/faults/release", loopback_only(release), methods=["POST"]),
    ]


def _state(state: FaultState) -> Response:
    return Response(state.model_dump_json(), media_type="application/json")


class RequestFaults:
    """The plan in force before every endpoint of a FastAPI application: `Depends(strike, scope="function")`.

    refusals: by `METHOD /path` as declared, the endpoint's own refusal, which a plan may ask for.
    """

    def __init__(self, faults: Faults, refusals: Mapping[str, Refusal]) -> None:
        self.faults = faults
        self._refusals = refusals

    async def strike(self, request: Request) -> AsyncIterator[None]:
        """Strikes before the endpoint is called, and after its effect, before the answer leaves."""
        path, declared = request.scope["path"], request.scope["route"].path
        refusal = self._refusals.get(f"{request.method} {declared}")
        plan = None
        if path not in SPARED:
            plan = self.faults.strike(request.method, path, declared, refusable=refusal is not None)
        if plan is None:
            yield
            return
        await self.faults.before(plan)
        if plan.refuse:
            request.state.refusal = refusal
        yield
        await self.faults.after(plan)

    def refuse_if_planned(self, request: Request) -> None:
        """For `use(before_effect=…)`: raises the planned refusal of this request."""
        refusal = getattr(request.state, "refusal", None)
        if refusal is not None:
            raise refusal.problem()
