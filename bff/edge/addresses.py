"""Every address of a running gateway: the user's screens and commands, its own endpoints, its documents, its page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.routing import BaseRoute, Mount, Route

from .._version import __version__
from . import docs, openapi
from .commands import CommandRoute
from .events import LIMIT as EVENTS_LIMIT
from .events import ROUTE as EVENTS
from .events import EventsRoute
from .health import Health
from .invalidate import ROUTE as CHANGES
from .invalidate import ChangesRoute
from .metrics import MetricsRoute
from .own import Bytes, Limited, LiveRoute, SagaRoute, SnapshotRoute
from .page import Html, assets
from .routes import in_order
from .screens import Screen

if TYPE_CHECKING:
    from .access.oidc import SignIn
    from .runtime import Runtime


def inside(runtime: Runtime) -> list[BaseRoute]:
    """What the admin port answers."""
    health = Health(runtime)
    return [
        Route("/livez", health.livez),
        Route("/readyz", health.readyz),
        Route("/metrics", MetricsRoute(runtime.metrics), methods=["GET"]),
    ]


def addresses(runtime: Runtime, sign_in: SignIn | None) -> list[BaseRoute]:
    """What the public port answers. sign_in: None where browsers cannot sign in."""
    gateway, health = runtime.gateway, Health(runtime)
    routes: list[BaseRoute] = [
        Route(path, Screen(gateway.views[path], runtime), methods=["GET"]) for path in in_order(gateway.views)
    ]
    routes += [
        Route(path, CommandRoute(gateway.commands[path], runtime), methods=["POST"])
        for path in in_order(gateway.commands)
    ]
    routes += [
        Route("/bff/live", LiveRoute(runtime), methods=["GET"]),
        Route("/bff/live/snapshot", SnapshotRoute(runtime), methods=["GET"]),
        Route("/bff/sagas/{type}/{id}", SagaRoute(runtime), methods=["GET"]),
        Route("/livez", health.livez),
        Route("/readyz", health.readyz),
    ]
    document = openapi.document(gateway, __version__)
    routes += [
        Route("/openapi.json", Bytes.json(document), methods=["GET"]),
        Route("/docs", Bytes.html(docs.overview(document)), methods=["GET"]),
        Route("/docs/problems", Bytes.html(docs.problems()), methods=["GET"]),
        Route("/docs/style.css", Bytes(docs.STYLE.encode(), "text/css"), methods=["GET"]),
    ]
    if sign_in is not None:
        attempts = {"/bff/login", "/bff/callback"}
        routes += [
            Route(
                route.path,
                # Only these are somebody's attempts: every page asks who is signed in, and a provider sends
                # the logouts of many people from one address.
                Limited(
                    runtime,
                    route.path,
                    route.app,
                    runtime.settings.limits.login if route.path in attempts else None,
                ),
                methods=sorted(route.methods or ()),
            )
            for route in sign_in.routes()
        ]
    if runtime.settings.webhooks:
        tell = Limited(runtime, CHANGES, ChangesRoute(runtime), None)
        routes.append(Route(CHANGES, tell, methods=["POST"]))
    if runtime.settings.events:
        take = Limited(runtime, EVENTS, EventsRoute(runtime), EVENTS_LIMIT)
        routes.append(Route(EVENTS, take, methods=["POST", "OPTIONS"]))
    if gateway.page is not None:
        page = gateway.page
        routes += [Route(path, Html(page.file), methods=["GET"]) for path in page.paths]
        routes += [Mount(prefix, assets(folder)) for prefix, folder in page.folders.items()]
    return routes
