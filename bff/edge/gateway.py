"""`Gateway`: the router that is the ASGI application.

Declarations only record; mistakes raise DeclarationError where they are made. Settings are read and connections opened
when the application starts (ASGI lifespan), or with the first request where a host application does not pass lifespan
events on.
"""

from __future__ import annotations

import asyncio
import inspect
import types
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.types import Receive, Scope, Send

from ..calls import DeclarationError, Upstream
from ..calls.errors import declaring
from ..live.ingest import Broker
from ..policies.events import State as BreakerState
from ..stores.redis.login import RedisCredentials
from ..transport.resolvers import ResolverFactory
from . import settings as settings_file
from .access.authorization import Requirements
from .app.build import App, build
from .app.extensions import Extensions, Lifespan, Middleware
from .declared import DEADLINE, Forward, Options, Page, Route, check_beside, check_name, check_site
from .observe.observers import Observer
from .page import content_policy, permissions_policy
from .pages import Pages
from .router import Router
from .settings import Settings
from .shutdown import ShutdownWatch
from .slos import Budget, Slo, budgets_of, check_names

# Seconds within which streams end under another server: hypercorn waits 3 s for connections and then closes them.
QUICK_DRAIN = 1.5
# How many modules deep an upstream is found: `services.clients.desk.ticket()` is 3.
MODULE_DEPTH = 4


@dataclass(frozen=True, slots=True)
class GatewayStatus:
    """What a gateway is doing in this process, which with several workers is one of them.

    breakers: by upstream, the worst state of its circuit breakers; streams: open live streams. Both are empty while
    running is False.
    """

    running: bool
    breakers: Mapping[str, BreakerState]
    streams: int


class Gateway(Router):
    """A backend for one frontend: a router that is the ASGI application.

    name       names the gateway in logs and traces: lower-case letters, digits, dashes
    version    of the gateway, for its documents; default "0"
    deadline   seconds a request may take in all, above 0 to 60, default 1.5; a view or command may set another one
    upstreams  that it may call; those that the modules of its functions name are found without being listed
    routers    declarations made elsewhere, as `include` takes them
    scopes     all of them are required for everything that is not public, the live stream too, unless a view or command
               names others; none: being signed in is enough
    roles      one of them is required, in the same way
    redirects  origins outside that a `Redirect` may lead to, unless a view or command names others
    fresh, acr  how recent and how strong a sign-in must be for everything that is not public, the live stream included,
               as `Router` has them
    brokers    event sources to read, beside those of the settings; see `Broker`
    resolvers  by name: what an upstream's setting `balance.resolver` may select, beside `static`, `dns` and `file`
    observers  functions that are called with every policy event and every `RequestEnded`; see `bff.events`
    middleware ASGI middleware around every request, the first outermost; see `Middleware`
    lifespan   makes an async context manager for your resources; see `Lifespan`
    pages      makes the page that a person gets in place of a problem document (`bff.ProblemPage` → HTML); default a
               plain page
    slos       objectives of its views and commands, which the metrics count and `bff slo export` makes alerts of
    redis_credentials  fetches the login for connections to Redis, where it changes by itself; see `RedisCredentials`
    settings   for tests; default: read from file and environment at the start
    """

    def __init__(
        self,
        name: str,
        *,
        version: str = "0",
        deadline: float = DEADLINE,
        upstreams: tuple[Upstream, ...] = (),
        routers: tuple[Router, ...] = (),
        scopes: tuple[str, ...] = (),
        roles: tuple[str, ...] = (),
        redirects: tuple[str, ...] = (),
        fresh: float | None = None,
        acr: tuple[str, ...] = (),
        brokers: tuple[Broker, ...] = (),
        resolvers: Mapping[str, ResolverFactory] | None = None,
        observers: tuple[Observer, ...] = (),
        middleware: tuple[Middleware, ...] = (),
        lifespan: Lifespan | None = None,
        pages: Pages | None = None,
        slos: Iterable[Slo] = (),
        redis_credentials: RedisCredentials | None = None,
        settings: Settings | None = None,
    ) -> None:
        super().__init__()
        self.options = Options(scopes, roles, deadline, redirects=redirects, tags=(), fresh=fresh, acr=acr)
        self.name = name
        self.version = version
        self.deadline = deadline
        self.page: Page | None = None
        self.slos: tuple[Slo, ...] = ()
        with declaring():
            self.slos = check_names(slos)
        self.extensions = Extensions(
            tuple(brokers),
            dict(resolvers or {}),
            tuple(observers),
            tuple(middleware),
            lifespan,
            pages,
            redis_credentials,
            self.slos,
        )
        self._upstreams = upstreams
        self._settings = settings
        self._runtime: App | None = None
        self._notice: ShutdownWatch | None = None
        self._starting = asyncio.Lock()
        with declaring():
            check_name(name, "gateway")
            self.options.check(f"gateway {name}")
        self.include(*routers)

    # ---- declaring -------------------------------------------------------------------------------------------

    def site(
        self,
        file: Path,
        *,
        paths: tuple[str, ...] = ("/",),
        folders: Mapping[str, Path] | None = None,
        fallback: bool | tuple[str, ...] = False,
        csp: Mapping[str, tuple[str, ...]] | None = None,
        permissions: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        """Serve a site: `file` at each of `paths` (templates allowed), and folders of assets under URL prefixes.

        fallback     for routes that only the page's script knows: a navigation to an address without a route gets
                     `file`, below these prefixes or, with True, anywhere. A script's request and a missing asset are
                     still 404
        csp          sources added to directives of the Content-Security-Policy, as in
                     `{"connect-src": ("https://api.example.org",)}`
        permissions  features of the Permissions-Policy and who may use them, as in `{"geolocation": ("self",)}`

        Raises DeclarationError, also for a second site and for a path that a view has.
        """
        with declaring():
            if self.page is not None:
                raise DeclarationError("site: declared twice; one call takes several paths and folders")
            for path in (file, *(folders or {}).values()):
                if not path.exists():
                    raise DeclarationError(f"page: {path} does not exist")
            page = Page(
                file,
                paths,
                dict(folders or {}),
                ("/",) if fallback is True else fallback or (),
                content_policy(csp or {}),
                permissions_policy(permissions or {}),
            )
            check_site(page, [view.path for view in self.views])
            self.page = page

    def add(self, route: Route, *, direct: bool = True) -> None:
        if route.method == "GET":
            check_beside(route.path, route.what, self.page)
        if direct:
            self._check_saga(route)
        super().add(route)

    def _check_saga(self, route: Route) -> None:
        saga = route.starts
        if saga is not None and self.sagas.get(saga.name) is not saga:
            raise DeclarationError(
                f"{route.what}: saga {saga.name!r} belongs to another gateway, or to a router that is not included "
                f"({route.origin})"
            )

    # ---- inspecting ------------------------------------------------------------------------------------------

    @property
    def views(self) -> list[Route]:
        """In the order of their declarations, as `commands` are."""
        return [route for route in self.routes if route.kind == "view"]

    @property
    def commands(self) -> list[Route]:
        return [route for route in self.routes if route.kind == "command"]

    @property
    def all_routes(self) -> list[Route | Forward]:
        """Views, commands and forwards."""
        return [*self.routes, *self.forwards]

    @property
    def requirements(self) -> Requirements:
        return self.options.requirements

    def check(self) -> None:
        """Raises DeclarationError for mistakes that show only when everything is declared."""
        for route in self.routes:
            with declaring():
                self._check_saga(route)
        with declaring():
            self.budgets()

    def budgets(self) -> list[Budget]:
        """The error budgets of its SLOs. Raises DeclarationError for an SLO of no view or command."""
        return budgets_of(self.slos, self.routes)

    def upstreams(self) -> list[Upstream]:
        """Every upstream that this gateway can call: those of the parameter `upstreams`, and those that the modules of
        its functions name, also through imported modules (`clients.desk.ticket()`)."""
        found = {id(upstream): upstream for upstream in self._upstreams}
        found |= {id(forward.upstream): forward.upstream for forward in self.forwards}
        functions: list[Callable[..., Any] | None] = [route.function for route in self.routes]
        functions += [saga.restore for saga in self.sagas.values()]
        functions += [value.load for value in self.values.values()]
        for function in filter(None, functions):
            plain = inspect.unwrap(function)
            candidates = [getattr(function, "__self__", None), *plain.__globals__.values()]
            candidates += [cell.cell_contents for cell in getattr(function, "__closure__", None) or ()]
            names = set(plain.__code__.co_names)
            for value in plain.__globals__.values():
                if isinstance(value, types.ModuleType):
                    candidates += _named_in(value, names, MODULE_DEPTH)
            found |= {id(value): value for value in candidates if isinstance(value, Upstream)}
        return sorted(found.values(), key=lambda upstream: upstream.owner.service)

    # ---- serving ---------------------------------------------------------------------------------------------

    @property
    def runtime(self) -> App | None:
        """The running application, for tests and pages that show its state; None while it does not run."""
        return self._runtime

    def status(self) -> GatewayStatus:
        """What this gateway is doing at the moment."""
        runtime = self._runtime
        if runtime is None:
            return GatewayStatus(False, {}, 0)
        breakers = {name: client.circuit for name, client in runtime.calls.pipeline.clients.items()}
        return GatewayStatus(True, breakers, runtime.live.hub.count)

    async def start(self, settings: Settings | None = None) -> App:
        """Read settings unless given, open connections. Raises DeclarationError that lists every mistake."""
        async with self._starting:
            if self._runtime is None:
                self.check()
                runtime = build(self, settings or self._settings or settings_file.load(), self.extensions)
                try:
                    await runtime.start()
                except BaseException:
                    # Close what is open already.
                    await runtime.stop()
                    raise
                self._runtime = runtime
            return self._runtime

    async def stop(self) -> None:
        """End streams, finish claimed commands (bounded), close connections."""
        runtime, self._runtime = self._runtime, None
        notice, self._notice = self._notice, None
        if notice is not None:
            await notice.close()
        if runtime is not None:
            await runtime.stop()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[App]:
        """Run inside another application: enter it in that application's lifespan, where it mounts the gateway. Open
        streams end when the server stops accepting connections, so that they do not hold its end up.

        Raises DeclarationError that lists every mistake.
        """
        try:
            yield await self._start_under_a_server()
        finally:
            await self.stop()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            runtime = self._runtime or await self._start_under_a_server()
            if self._notice is not None and not self._notice.is_watching:
                self._notice.watch_sockets((scope.get("server") or (None, None))[1])
            await runtime.admission(scope, receive, send)
        else:
            # WebSockets are not supported: refuse the handshake, so that the client does not wait.
            await send({"type": "websocket.close", "code": 1000})

    async def _start_under_a_server(self) -> App:
        """Start as an application of another ASGI server, which does not announce that it will stop."""
        runtime = await self.start()
        if self._notice is None:
            self._notice = ShutdownWatch(lambda: self._drain(runtime))
            self._notice.start()
        return runtime

    def _drain(self, runtime: App) -> None:
        runtime.tasks.spawn(
            runtime.drain(min(runtime.settings.live.drain, QUICK_DRAIN)), "the end of the streams"
        )

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self._start_under_a_server()
        except DeclarationError as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.stop()
        await send({"type": "lifespan.shutdown.complete"})


def _named_in(module: types.ModuleType, names: set[str], depth: int) -> Iterator[Any]:
    """The values of these names in a module and in modules that it names, `depth` levels deep."""
    for name in names & vars(module).keys():
        value = vars(module)[name]
        if not isinstance(value, types.ModuleType):
            yield value
        elif depth > 1:
            yield from _named_in(value, names, depth - 1)
