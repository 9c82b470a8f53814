"""The demo's switches under /demo: break the services and see what the page makes of it. Served only by demo.py."""

from __future__ import annotations

import contextlib
from typing import Any

import httpx
from httpx_aiohttp import AiohttpTransport
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from .processes import Fleet

SWITCHES = ("latency_ms", "error_rate", "refuse", "hold", "match", "times")


class Panel:
    """An ASGI application in front of the gateway: /demo is its own, everything else goes through."""

    def __init__(self, fleet: Fleet, gateway: ASGIApp) -> None:
        self._fleet = fleet
        self._gateway = gateway
        self._client = httpx.AsyncClient(transport=AiohttpTransport(), timeout=2.0, trust_env=False)
        self._own = Starlette(
            routes=[
                Route("/demo/state", self._state),
                Route("/demo/faults/{service}", self._faults, methods=["POST"]),
                Route("/demo/kill/{service}", self._kill, methods=["POST"]),
            ]
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        own = scope["type"] == "http" and scope["path"].startswith("/demo/")
        await (self._own if own else self._gateway)(scope, receive, send)

    async def close(self) -> None:
        await self._client.aclose()

    async def _state(self, request: Request) -> Response:
        services = []
        for service in self._fleet.services:
            faults: dict[str, Any] = {}
            with contextlib.suppress(httpx.HTTPError, ValueError):
                faults = (await self._client.get(f"{service.url}/faults")).json()
            services.append(
                {
                    "name": service.name,
                    "pid": service.process.pid if service.process else None,
                    "up": service.up,
                    "faults": {name: faults.get(name) for name in (*SWITCHES, "held")},
                }
            )
        return JSONResponse({"services": services}, headers={"cache-control": "no-store"})

    async def _faults(self, request: Request) -> Response:
        if (refusal := _foreign(request)) is not None:
            return refusal
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
        if (refusal := _foreign(request)) is not None:
            return refusal
        try:
            pid = self._fleet.kill(request.path_params["service"])
        except KeyError:
            return _problem(404, "There is no such service, or it is down already.")
        return JSONResponse({"killed": pid})


def _foreign(request: Request) -> Response | None:
    """Another site's page must not be able to press these switches."""
    if request.headers.get("x-bff") != "1":
        return _problem(403, "Send the header X-BFF: 1.")
    return None


def _problem(status: int, detail: str) -> Response:
    return JSONResponse(
        {"type": "about:blank", "title": "The demo's panel refused", "status": status, "detail": detail},
        status_code=status,
        media_type="application/problem+json",
    )
