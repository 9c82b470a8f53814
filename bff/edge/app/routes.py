"""Every route of a running gateway (declared screens and commands, builtin endpoints, documents, the site), and the
router that finds the one for a request. 404 and 405 are raised here; the envelope answers them.

A path that is not in canonical form (http/head.py) gets 404. `OPTIONS *` is about the server as a whole (RFC 9110
section 9.3.7) and is the only request without a path.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TypeVar
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Match, Mount, Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from ...calls import DeclarationError
from ...stores.progress import Deliveries
from ..declared import BROWSER, CHANGES, EVENTS, RESERVED, Declarations, Forward, Page
from ..declared import Route as DeclaredRoute
from ..describe import asyncapi, docs, event_schema, explorer, openapi
from ..endpoints import webhooks
from ..endpoints.browser_reports import MOST_BODY, BrowserReports
from ..endpoints.guard import Guard, kind_of
from ..endpoints.health import Health
from ..endpoints.live import LiveEndpoint, SagaEndpoint, SnapshotEndpoint
from ..http.head import is_canonical
from ..http.networks import IpAllowlist, networks_of
from ..http.public_path import PublicPath
from ..http.request import VARY, BodyReader
from ..internal_tokens import InternalTokens
from ..observe.browser import BrowserMetrics, BrowserSpans
from ..observe.metrics import Metrics
from ..page import Fallback, Html, assets
from ..settings import Settings
from .parts import Calls, Live, Stores
from .route_table import RouteTable

R = TypeVar("R", DeclaredRoute, Forward)
# The keys that Starlette's router adds to the scope when it has found a route.
_OF_A_ROUTE = ("endpoint", "path_params", "router")
# The headers of the fixed documents.
_FIXED = {
    "cache-control": "no-cache",
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
}


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
    stores: Stores,
    calls: Calls,
    live: Live,
    *,
    guard: Guard,
    body: BodyReader,
    health: Health,
    screen: Callable[[DeclaredRoute], ASGIApp],
    command: Callable[[DeclaredRoute], ASGIApp],
    forward: Callable[[Forward], ASGIApp],
    sign_in: Iterable[BaseRoute],
    browser: tuple[BrowserMetrics, BrowserSpans] | None = None,
) -> list[BaseRoute]:
    """The routes of the public port. Raises DeclarationError for a network that no setting defines.

    screen, command, forward  make the endpoint of a view, a command or a forward
    sign_in          those of browser sign-in, none where browsers cannot sign in
    browser          what takes the reports of browsers; None: nothing does
    """
    routes: list[BaseRoute] = []
    for route in in_order(declared.routes):
        endpoint = screen(route) if route.kind == "view" else command(route)
        app = _restricted(endpoint, route, settings.http.networks)
        routes.append(Route(route.path, app, methods=[route.method]))
    table = RouteTable(routes)
    for passed in in_order(declared.forwards):
        app = _restricted(forward(passed), passed, settings.http.networks)
        routes.append(Route(passed.path, app, methods=list(passed.methods)))
    requirements, hub = declared.requirements, live.hub
    for stream in (LiveEndpoint, SnapshotEndpoint):
        routes.append(Route(stream.ROUTE, stream(guard, requirements, hub, settings.live), methods=["GET"]))
    saga = SagaEndpoint(guard, requirements, hub, stores.journal, declared.sagas)
    routes += [
        Route(SagaEndpoint.ROUTE, saga, methods=["GET"]),
        Route("/livez", health.livez),
        Route("/readyz", health.readyz),
    ]
    document = openapi.document(declared, declared.version, settings)
    events_document = asyncapi.document(declared, declared.version)
    schema_of_events = event_schema.document(declared)
    documents = (
        ("/openapi.json", "application/json", json.dumps(document, ensure_ascii=False).encode()),
        ("/asyncapi.json", "application/json", json.dumps(events_document, ensure_ascii=False).encode()),
        (
            event_schema.PATH,
            "application/schema+json",
            json.dumps(schema_of_events, ensure_ascii=False).encode(),
        ),
        ("/docs", "text/html; charset=utf-8", docs.overview(document, explorer=settings.docs.explorer)),
        ("/docs/problems", "text/html; charset=utf-8", docs.problems(settings.docs.site)),
        ("/docs/style.css", "text/css; charset=utf-8", docs.STYLE.encode()),
    )
    routes += [
        Route(path, partial(_document, media_type=media_type, content=content), methods=["GET"])
        for path, media_type, content in documents
    ]
    if settings.docs.explorer:
        routes += [
            Route(file.path, partial(_explorer_file, file=file), methods=["GET"])
            for file in explorer.files(declared.name)
        ]
    routes += sign_in
    if settings.webhooks:
        changes = partial(
            webhooks.changes,
            guard=guard,
            body=body,
            sources=settings.webhooks,
            deliveries=Deliveries(stores.redis),
            on_change=calls.invalidations.invalidate,
        )
        routes.append(Route(CHANGES, changes, methods=["POST"]))
    if settings.events:
        events = partial(
            webhooks.events,
            guard=guard,
            body=body,
            sources=settings.events,
            on_event=live.dispatcher.dispatch,
        )
        routes.append(Route(EVENTS, events, methods=["POST", "OPTIONS"]))
    if browser is not None:
        reports = BrowserReports(
            guard,
            BodyReader(min(MOST_BODY, body.most), body.seconds),
            stores.claims,
            *browser,
            route_of=lambda method, path: None if (found := table.find(method, path)) is None else found.path,
            prefix=PublicPath.of(settings.public_url).prefix,
        )
        routes.append(Route(BROWSER, reports.respond, methods=["POST"]))
    if (page := declared.page) is not None:
        html = Html(page.file, page_headers(page, settings))
        routes += [Route(path, html, methods=["GET"]) for path in page.paths]
        routes += [Mount(prefix, assets(folder, page.headers)) for prefix, folder in page.folders.items()]
    return routes


async def _document(request: Request, *, media_type: str, content: bytes) -> Response:
    """A fixed document. Each answer is a new object, because middleware may add to the headers of an answer."""
    return Response(content, headers=_FIXED | {"content-type": media_type})


async def _explorer_file(request: Request, *, file: explorer.ExplorerFile) -> Response:
    """A page or a file of the explorer."""
    headers = dict(explorer.HEADERS) | {"content-type": file.media_type}
    if isinstance(file.content, bytes):
        return Response(file.content, headers=headers)
    # Swagger UI is large and changes with its package alone.
    return FileResponse(file.content, headers=headers | {"cache-control": "private, max-age=3600"})


def in_order(routes: Iterable[R]) -> list[R]:
    """Plain segments before parameters, so that /orders/new is not the order with the id `new`."""
    return sorted(routes, key=lambda route: [segment.startswith("{") for segment in route.path.split("/")])


def _restricted(
    app: ASGIApp, route: DeclaredRoute | Forward, known: Mapping[str, tuple[str, ...]]
) -> ASGIApp:
    network = route.options.network
    if network is None:
        return app
    if network not in known:
        raise DeclarationError(no_network(route))
    return IpAllowlist(app, route.path, networks_of(known[network]), kind_of(route))


def no_network(route: DeclaredRoute | Forward) -> str:
    """The message for a network that a route names and no setting defines."""
    return f'{route.path}: set BFF_HTTP__NETWORKS__{str(route.options.network).upper()}, for example ["10.0.0.0/8"]'


def page_headers(page: Page, settings: Settings) -> dict[str, str]:
    """The headers of the page. A page finds `bff-browser` in the entry of its own navigation: the share of what it does
    that it reports to this gateway."""
    share = settings.telemetry.browser
    return page.headers | ({"server-timing": f'bff-browser;desc="{share:g}"'} if share else {})


def fallback(page: Page | None, settings: Settings) -> Fallback | None:
    """Answers navigations that no route matches, for a site with client-side routes; None: without such a site."""
    if page is None or not page.fallback:
        return None
    # A request that is no navigation gets 404 at the same address.
    html = Html(page.file, page_headers(page, settings) | {"vary": VARY})
    return Fallback(html, page.fallback, (*RESERVED, *page.folders))


class Routes:
    """Starlette's router, made to raise instead of answering in plain text. fallback: answers if no route matches."""

    def __init__(self, routes: list[BaseRoute], fallback: Fallback | None = None) -> None:
        self._router = Router(routes, redirect_slashes=False, default=fallback)
        self._table = RouteTable(routes)
        self._fallback = fallback

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "OPTIONS" and scope["path"] == "*":
            allow = ", ".join(sorted({"OPTIONS"} | self._methods()))
            await Response(status_code=204, headers={"allow": allow})(scope, receive, send)
            return
        if not is_canonical(scope.get("raw_path") or quote(scope["path"]).encode()):
            raise HTTPException(404)
        # Starlette raises 404 and 405 where there is an application to handle them.
        scope["app"] = self
        root = scope.get("root_path", "")
        route = self._table.find(scope["method"], scope["path"].removeprefix(root))
        found, parameters = (Match.NONE, {}) if route is None else route.matches(scope)
        try:
            if route is not None and found is Match.FULL:
                scope.update(parameters)
                await route.handle(scope, receive, send)
            else:
                await self._router(scope, receive, send)
        except HTTPException as error:
            if error.status_code != 405:
                raise
            # The scope as it was before the router changed it.
            before = {name: value for name, value in scope.items() if name not in _OF_A_ROUTE} | {
                "root_path": root
            }
            if self._fallback is not None and self._fallback.takes(before):
                # For a person who navigates there, the address may be a page of the site.
                await self._fallback(before, receive, send)
                return
            # A screen and a command may share an address, and each route knows only its own method.
            allowed = {name.strip() for name in (error.headers or {}).get("Allow", "").split(",")} - {""}
            allow = ", ".join(sorted(allowed | self._methods(before)))
            raise HTTPException(405, headers={"Allow": allow}) from None

    def _methods(self, scope: Scope | None = None) -> set[str]:
        """The methods of the routes that match, or of all routes."""
        return {
            method
            for route in self._router.routes
            if isinstance(route, Route) and (scope is None or route.matches(scope)[0] is not Match.NONE)
            for method in route.methods or ()
        }
