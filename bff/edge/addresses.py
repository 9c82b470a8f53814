"""Every address of a running gateway: the user's screens and commands, its own endpoints, its documents, its page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp

from ..calls import DeclarationError
from .commands import CommandRoute
from .declared import RESERVED, Command, Page, View
from .describe import asyncapi, docs, openapi
from .http.navigation import VARY
from .http.networks import Fence, networks_of
from .observe.health import Health
from .observe.metrics import MetricsRoute
from .own import Bytes, Limited, LiveRoute, SagaRoute, SnapshotRoute
from .page import Fallback, Html, assets
from .routes import in_order
from .screens import Screen
from .webhooks.events import LIMIT as EVENTS_LIMIT
from .webhooks.events import ROUTE as EVENTS
from .webhooks.events import EventsRoute
from .webhooks.invalidate import ROUTE as CHANGES
from .webhooks.invalidate import ChangesRoute

if TYPE_CHECKING:
    from .access.oidc import SignIn
    from .runtime import Runtime


def inside(runtime: Runtime) -> list[BaseRoute]:
    """What the admin port answers."""
    health = Health(runtime)
    routes: list[BaseRoute] = [
        Route("/livez", health.livez),
        Route("/readyz", health.readyz),
        Route("/metrics", MetricsRoute(runtime.metrics), methods=["GET"]),
    ]
    if runtime.internal is not None:
        routes.append(Route("/.well-known/jwks.json", runtime.internal.published, methods=["GET"]))
    return routes


def _fenced(app: ASGIApp, route: View | Command, runtime: Runtime) -> ASGIApp:
    if route.network is None:
        return app
    known = runtime.settings.http.networks
    if route.network not in known:
        raise DeclarationError(no_network(route))
    return Fence(app, route.path, networks_of(known[route.network]))


def no_network(route: View | Command) -> str:
    """What to do about a network that a route names and no setting explains."""
    return f'{route.path}: set BFF_HTTP__NETWORKS__{str(route.network).upper()}, for example ["10.0.0.0/8"]'


def addresses(runtime: Runtime, sign_in: SignIn | None) -> list[BaseRoute]:
    """What the public port answers. sign_in: None where browsers cannot sign in."""
    gateway, health = runtime.gateway, Health(runtime)
    routes: list[BaseRoute] = [
        Route(path, _fenced(Screen(view, runtime), view, runtime), methods=["GET"])
        for path, view in ((path, gateway.views[path]) for path in in_order(gateway.views))
    ]
    routes += [
        Route(path, _fenced(CommandRoute(command, runtime), command, runtime), methods=["POST"])
        for path, command in ((path, gateway.commands[path]) for path in in_order(gateway.commands))
    ]
    routes += [
        Route("/bff/live", LiveRoute(runtime), methods=["GET"]),
        Route("/bff/live/snapshot", SnapshotRoute(runtime), methods=["GET"]),
        Route("/bff/sagas/{type}/{id}", SagaRoute(runtime), methods=["GET"]),
        Route("/livez", health.livez),
        Route("/readyz", health.readyz),
    ]
    document = openapi.document(gateway, gateway.version, runtime.settings)
    routes += [
        Route("/openapi.json", Bytes.json(document), methods=["GET"]),
        Route("/asyncapi.json", Bytes.json(asyncapi.document(gateway, gateway.version)), methods=["GET"]),
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
        headers = page.headers
        routes += [Route(path, Html(page.file, headers), methods=["GET"]) for path in page.paths]
        routes += [Mount(prefix, assets(folder, headers)) for prefix, folder in page.folders.items()]
    return routes


def fallback(page: Page | None) -> Fallback | None:
    """What answers a person where no route does: the page of a site that has routes of its own in the browser."""
    if page is None or not page.fallback:
        return None
    # Who asks in another way gets 404 at the same address.
    return Fallback(Html(page.file, page.headers | {"vary": VARY}), page.fallback, (*RESERVED, *page.folders))
