"""Every route of a running gateway: declared screens and commands, built-in endpoints, documents, the site."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp

from ...calls import DeclarationError
from ...live import Hub
from ...stores.events import BrokerEvent
from ...stores.journal import Journal
from ...stores.progress import Deliveries
from ..declared import CHANGES, EVENTS, RESERVED, Command, Declarations, Page, View
from ..describe import asyncapi, docs, openapi
from ..endpoints.documents import Document
from ..endpoints.guard import Guard
from ..endpoints.health import Health
from ..endpoints.live import LiveEndpoint, SagaEndpoint, SnapshotEndpoint
from ..endpoints.sign_in import SignIn
from ..endpoints.webhooks import ChangesEndpoint, EventsEndpoint
from ..http.networks import IpAllowlist, networks_of
from ..http.request import VARY, BodyReader
from ..internal_tokens import InternalTokens
from ..observe.metrics import Metrics
from ..page import Fallback, Html, assets
from ..settings import Settings
from .routing import in_order


def admin_routes(health: Health, metrics: Metrics, internal: InternalTokens | None) -> list[BaseRoute]:
    """The routes of the admin port."""
    routes: list[BaseRoute] = [
        Route("/livez", health.livez),
        Route("/readyz", health.readyz),
        Route("/metrics", metrics.respond, methods=["GET"]),
    ]
    if internal is not None:
        routes.append(Route("/.well-known/jwks.json", internal.published, methods=["GET"]))
    return routes


def public_routes(
    declared: Declarations,
    settings: Settings,
    *,
    guard: Guard,
    body: BodyReader,
    screen: Callable[[View], ASGIApp],
    command: Callable[[Command], ASGIApp],
    hub: Hub,
    journal: Journal,
    health: Health,
    deliveries: Deliveries,
    on_change: Callable[[Sequence[str]], Awaitable[None]],
    on_event: Callable[[BrokerEvent], Awaitable[Any]],
    sign_in: SignIn | None,
) -> list[BaseRoute]:
    """The routes of the public port. Raises DeclarationError for a network that no setting defines.

    screen, command        make the endpoint of a view or a command
    deliveries, on_change  for webhooks that report changes
    on_event               for signed events
    sign_in                None where browsers cannot sign in
    """
    networks, requirements = settings.http.networks, declared.requirements
    routes: list[BaseRoute] = [
        Route(path, _restricted(screen(view), view, networks), methods=["GET"])
        for path, view in ((path, declared.views[path]) for path in in_order(declared.views))
    ]
    routes += [
        Route(path, _restricted(command(write), write, networks), methods=["POST"])
        for path, write in ((path, declared.commands[path]) for path in in_order(declared.commands))
    ]
    saga = SagaEndpoint(guard, requirements, hub, journal, declared.sagas)
    routes += [
        Route(LiveEndpoint.ROUTE, LiveEndpoint(guard, requirements, hub, settings.live), methods=["GET"]),
        Route(
            SnapshotEndpoint.ROUTE, SnapshotEndpoint(guard, requirements, hub, settings.live), methods=["GET"]
        ),
        Route(SagaEndpoint.ROUTE, saga, methods=["GET"]),
        Route("/livez", health.livez),
        Route("/readyz", health.readyz),
    ]
    document = openapi.document(declared, declared.version, settings)
    routes += [
        Route("/openapi.json", Document.json(document), methods=["GET"]),
        Route(
            "/asyncapi.json", Document.json(asyncapi.document(declared, declared.version)), methods=["GET"]
        ),
        Route("/docs", Document.html(docs.overview(document)), methods=["GET"]),
        Route("/docs/problems", Document.html(docs.problems()), methods=["GET"]),
        Route("/docs/style.css", Document(docs.STYLE.encode(), "text/css"), methods=["GET"]),
    ]
    if sign_in is not None:
        routes += sign_in.routes()
    if settings.webhooks:
        changes = ChangesEndpoint(guard, body, settings.webhooks, deliveries, on_change)
        routes.append(Route(CHANGES, changes, methods=["POST"]))
    if settings.events:
        events = EventsEndpoint(guard, body, settings.events, on_event)
        routes.append(Route(EVENTS, events, methods=["POST", "OPTIONS"]))
    if declared.page is not None:
        page = declared.page
        headers = page.headers
        routes += [Route(path, Html(page.file, headers), methods=["GET"]) for path in page.paths]
        routes += [Mount(prefix, assets(folder, headers)) for prefix, folder in page.folders.items()]
    return routes


def _restricted(app: ASGIApp, route: View | Command, known: Mapping[str, tuple[str, ...]]) -> ASGIApp:
    if route.network is None:
        return app
    if route.network not in known:
        raise DeclarationError(no_network(route))
    return IpAllowlist(app, route.path, networks_of(known[route.network]))


def no_network(route: View | Command) -> str:
    """The message for a network that a route names and no setting defines."""
    return f'{route.path}: set BFF_HTTP__NETWORKS__{str(route.network).upper()}, for example ["10.0.0.0/8"]'


def fallback(page: Page | None) -> Fallback | None:
    """Answers a person where no route does: with the page of a site that has client-side routes."""
    if page is None or not page.fallback:
        return None
    # Requests that are no navigation get 404 at the same address.
    return Fallback(Html(page.file, page.headers | {"vary": VARY}), page.fallback, (*RESERVED, *page.folders))
