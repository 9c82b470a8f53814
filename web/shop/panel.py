"""The demo's switches under /demo: break the system and see how the page reacts. Served only by demo.py.

Every switch can be reset, and the panel shows the real state: it asks the services for their faults, and the running
gateway for breakers and streams. It refuses writes without the header `X-BFF: 1`, and every request that does not name
this machine or comes from a page of another origin (upstreams/kit/loopback.py).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
from bff_service import Problem
from httpx_aiohttp import AiohttpTransport
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from bff import Gateway
from upstreams.kit.loopback import loopback_only

from .activity import Activity
from .chaos import CannotStart, ChaosScenarios
from .embedded import Store
from .operator_client import OperatorClient
from .processes import Fleet, Service

SWITCHES = ("latency_ms", "error_rate", "refuse", "hold", "match", "times")
Endpoint = Callable[[Request], Awaitable[Response]]


class Panel:
    """An ASGI application in front of the gateway: it serves /demo, everything else goes to the gateway.

    issuer, secret  for the operator's token
    activity        an observer of the gateway
    """

    def __init__(
        self, fleet: Fleet, gateway: Gateway, store: Store, issuer: str, secret: str, activity: Activity
    ) -> None:
        self._fleet = fleet
        self._gateway = gateway
        self._activity = activity
        self._client = httpx.AsyncClient(transport=AiohttpTransport(), timeout=2.0, trust_env=False)
        self._scenarios = ChaosScenarios(fleet, store, self._client)
        self._operator = OperatorClient(self._client, issuer, secret, fleet.named("orders").url)
        self._own = Starlette(
            routes=[
                Route("/demo/state", _local(self._state), methods=["GET"]),
                Route("/demo/faults/{service}", _guarded(self._faults), methods=["POST"]),
                Route("/demo/kill/{service}", _guarded(self._kill), methods=["POST"]),
                Route("/demo/scenes", _guarded(self._stop_all), methods=["DELETE"]),
                Route("/demo/scenes/{name}", _guarded(self._scenario), methods=["POST", "DELETE"]),
                Route("/demo/orders/{id}/{operation}", _guarded(self._operate), methods=["POST"]),
            ]
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        own = scope["type"] == "http" and (scope["path"] + "/").startswith("/demo/")
        await (self._own if own else self._gateway)(scope, receive, send)

    async def close(self) -> None:
        """Release everything that a scene holds or has stopped."""
        await self._scenarios.close()
        await self._client.aclose()

    # ---- state ----------------------------------------------------------------------------------------------

    async def _state(self, request: Request) -> Response:
        services, stuck = await asyncio.gather(
            asyncio.gather(*(self._service(service) for service in self._fleet.services)), self._stuck()
        )
        status = self._gateway.status()
        state = {
            "services": services,
            "scenes": self._scenarios.state({one["name"]: one["faults"] for one in services}),
            "gateway": {"breakers": dict(status.breakers), "streams": status.streams},
            "redis": self._scenarios.store_state(),
            "stuck": stuck,
            "activity": self._activity.entries(),
        }
        return JSONResponse(state, headers={"cache-control": "no-store"})

    async def _service(self, service: Service) -> dict[str, Any]:
        faults: dict[str, Any] = {}
        with contextlib.suppress(httpx.HTTPError, ValueError):
            faults = (await self._client.get(f"{service.url}/faults")).json()
        return {
            "name": service.name,
            "pid": service.process.pid if service.process else None,
            "up": service.up,
            "faults": {name: faults.get(name) for name in (*SWITCHES, "held")},
        }

    async def _stuck(self) -> list[dict[str, Any]]:
        with contextlib.suppress(httpx.HTTPError, ValueError, KeyError):
            return await self._operator.stuck()
        return []

    # ---- switches -------------------------------------------------------------------------------------------

    async def _scenario(self, request: Request) -> Response:
        name = request.path_params["name"]
        try:
            if request.method == "DELETE":
                await self._scenarios.stop(name)
            else:
                await self._scenarios.start(name)
        except KeyError:
            return _problem(404, "There is no such scene.")
        except CannotStart as error:
            return _problem(409, str(error))
        except httpx.HTTPError:
            return _problem(503, "A service of this scene is not up.")
        return JSONResponse({"scene": name, "active": request.method == "POST"})

    async def _stop_all(self, request: Request) -> Response:
        await self._scenarios.stop_all()
        return JSONResponse({"scenes": "stopped"})

    async def _faults(self, request: Request) -> Response:
        try:
            service = self._fleet.named(request.path_params["service"])
            body = await request.json()
            wanted = {name: body[name] for name in SWITCHES if name in body}
            answer = await self._client.put(f"{service.url}/faults", json=wanted)
        except KeyError:
            return _problem(404, "There is no such service.")
        except (ValueError, TypeError):
            return _problem(422, f"Send a JSON object with some of: {', '.join(SWITCHES)}.")
        except httpx.HTTPError:
            return _problem(503, "The service is not up.")
        return JSONResponse(answer.json(), status_code=answer.status_code)

    async def _kill(self, request: Request) -> Response:
        try:
            pid = self._fleet.kill(request.path_params["service"])
        except KeyError:
            return _problem(404, "There is no such service, or it is down already.")
        return JSONResponse({"killed": pid})

    async def _operate(self, request: Request) -> Response:
        try:
            answer = await self._operator.operate(request.path_params["id"], request.path_params["operation"])
        except KeyError:
            return _problem(404, "There is no such operation.")
        except httpx.HTTPError:
            return _problem(503, "Orders or the sign-in is not up.")
        if not answer.is_success:
            return _problem(409, f"Orders refused with {answer.status_code}.")
        return JSONResponse({"done": request.path_params["operation"]}, status_code=202)


def _local(endpoint: Endpoint) -> Endpoint:
    """Only for this machine and for pages of this origin."""
    inner = loopback_only(endpoint)

    async def local(request: Request) -> Response:
        try:
            return await inner(request)
        except Problem as problem:
            return problem.response()

    return local


def _guarded(endpoint: Endpoint) -> Endpoint:
    """The same for writes: they need the header that no form and no simple request can have."""

    async def guarded(request: Request) -> Response:
        if request.headers.get("x-bff") != "1":
            return _problem(403, "Send the header X-BFF: 1.")
        return await endpoint(request)

    return _local(guarded)


def _problem(status: int, detail: str) -> Response:
    return JSONResponse(
        {"type": "about:blank", "title": "The demo's panel refused", "status": status, "detail": detail},
        status_code=status,
        media_type="application/problem+json",
    )
