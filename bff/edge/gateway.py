"""The public way in: declare screens, commands, sagas and live values, and serve them as one ASGI application.

Declaring has no side effects beyond remembering; mistakes raise DeclarationError there and then. Settings are read
and connections opened when the application starts (ASGI lifespan), or with the first request where a host
application does not pass lifespan events on.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from pydantic import BaseModel
from starlette.types import Receive, Scope, Send

from ..calls import Call, DeclarationError, SagaStatus, Upstream
from ..calls.errors import declaring
from ..live.topics import OWNER
from . import settings as settings_file
from .access.permit import NOTHING
from .bind import binding
from .declared import (
    Command,
    Page,
    SagaType,
    ValueType,
    View,
    check_beside,
    check_name,
    check_path,
    check_route,
    check_site,
    check_tags,
)
from .page import content_policy, permissions_policy
from .pages import Pages
from .quotas import Limit
from .runtime import Runtime
from .settings import Settings
from .stopping import StopNotice

# Seconds within which streams end under another server: hypercorn waits 3 s for connections before it cuts them off.
SOON = 1.5

P = ParamSpec("P")
R = TypeVar("R")
Decorated = Callable[P, Awaitable[R]]


class Gateway:
    """A backend for one frontend.

    name      names the gateway in logs and traces: lower-case letters, digits, dashes
    version   the gateway's own, as its documents name it; default "0"
    deadline  seconds a request may take in all, default 1.5; a view or command may set a nearer one
    upstreams the ones to check and list; those that views and commands mention by global name are found anyway
    scopes    every one is needed for whatever is not public, the live stream too, unless a view or command names its
              own; none: being signed in is enough
    roles     one of them is needed, in the same way
    pages     makes the page that a person is shown in place of a problem document (`bff.ProblemPage` → HTML); default
              a plain one of ours
    settings  for tests; default: read from file and environment at start
    """

    def __init__(
        self,
        name: str,
        *,
        version: str = "0",
        deadline: float = 1.5,
        upstreams: tuple[Upstream, ...] = (),
        scopes: tuple[str, ...] = (),
        roles: tuple[str, ...] = (),
        pages: Pages | None = None,
        settings: Settings | None = None,
    ) -> None:
        self.needs = NOTHING
        with declaring():
            check_name(name, "gateway")
            self.needs = NOTHING.narrowed(scopes, roles, False, f"gateway {name}")
            if not 0 < deadline <= 60:
                raise DeclarationError(
                    f"gateway {name}: deadline is seconds above 0 and up to 60, not {deadline}"
                )
        self.name = name
        self.version = version
        self.deadline = deadline
        self.views: dict[str, View] = {}
        self.commands: dict[str, Command] = {}
        self.sagas: dict[str, SagaType] = {}
        self.values: dict[str, ValueType] = {}
        self.page: Page | None = None
        self.pages = pages
        self._upstreams = upstreams
        self._settings = settings
        self._runtime: Runtime | None = None
        self._notice: StopNotice | None = None
        self._starting = asyncio.Lock()

    # ---- declaring -------------------------------------------------------------------------------------------

    def view(
        self,
        path: str,
        *,
        public: bool = False,
        deadline: float | None = None,
        limit: str | Limit | None = None,
        scopes: tuple[str, ...] | None = None,
        roles: tuple[str, ...] | None = None,
        network: str | None = None,
    ) -> Callable[[Callable[P, Awaitable[R]]], Callable[P, Awaitable[R]]]:
        """A screen at GET `path`. Login is required unless `public`; `limit` is a `Limit`, or a text in
        slowapi's grammar for what each principal may ask.

        scopes, roles  every scope and one of the roles is needed, in place of what the gateway names for all
        network        a name from the setting `http.networks`: clients elsewhere get 403; default: everywhere
        """

        def declare(function: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
            with declaring():
                what = f"view {path}"
                check_route(path, what, deadline, limit, self.views)
                check_beside(path, what, self.page)
                bound = binding(function, path, what, body=False)
                if bound.who and not bound.who_optional and public:
                    raise DeclarationError(f"{what}: public, so annotate {bound.who} as `Principal | None`")
                needs = self.needs.narrowed(scopes, roles, public, what)
                self.views[path] = View(
                    path, function, bound, public, deadline or self.deadline, limit, needs, network
                )
            return function

        return declare

    def command(
        self,
        path: str,
        *,
        starts: SagaType | None = None,
        deadline: float | None = None,
        limit: str | Limit | None = None,
        safe: bool = True,
        changes: tuple[str, ...] = (),
        scopes: tuple[str, ...] | None = None,
        roles: tuple[str, ...] | None = None,
        network: str | None = None,
    ) -> Callable[[Callable[P, Awaitable[R]]], Callable[P, Awaitable[R]]]:
        """A guarded write at POST `path`, carried out once per Idempotency-Key.

        starts  the saga it begins or moves; the answer is then 202 with the saga's place, else 200 with the result
        safe    its upstreams honour the idempotency keys they are handed (default); False where one does not, so
                that an unknown outcome is reported instead of tried again
        changes tags (`Call.tagged`) of what it changes, such as ``orders`` or ``order/{id}`` with a parameter of the
                path: kept answers that show it are not served to its caller any more, on any gateway
        scopes, roles  as for views
        network as a view has it
        """

        def declare(function: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
            with declaring():
                what = f"command {path}"
                check_route(path, what, deadline, limit, self.commands)
                bound = binding(function, path, what, body=True)
                check_tags(changes, path, what)
                if starts is not None:
                    if starts.name not in self.sagas:
                        raise DeclarationError(f"{what}: saga {starts.name!r} belongs to another gateway")
                    if not (isinstance(bound.returns, type) and issubclass(bound.returns, SagaStatus)):
                        raise DeclarationError(
                            f"{what}: it starts a saga, so it must return a SagaStatus model"
                        )
                self.commands[path] = Command(
                    path,
                    function,
                    bound,
                    deadline or self.deadline,
                    limit,
                    starts,
                    safe,
                    changes,
                    self.needs.narrowed(scopes, roles, False, what),
                    network,
                )
            return function

        return declare

    def saga(
        self,
        name: str,
        model: type[SagaStatus],
        *,
        restore: Callable[[str], Call[Any]] | None = None,
    ) -> SagaType:
        """A kind of saga whose events (`<domain>.<name>.status`) browsers see.

        restore  given the owner's principal id, a Call that lists the owner's sagas (a list of `model`, or a model
                 whose single field is one); it rebuilds a lost journal
        """
        with declaring():
            check_name(name, "saga")
            if name in self.sagas:
                raise DeclarationError(f"saga {name!r} is declared twice")
        self.sagas[name] = SagaType(name, model, restore)
        return self.sagas[name]

    def value(
        self,
        template: str,
        model: type[BaseModel],
        *,
        public: bool = False,
        load: Callable[..., Call[Any]] | None = None,
    ) -> ValueType:
        """A live value such as ``stock/{sku}``: latest wins, sent whole.

        public  whoever is signed in may ask for it; without it the template has one `{owner}`, as in
                ``bell/{owner}``, and is open only to the principal whose `pseudonym` stands there
        load    given the template's parameters, a Call that fetches a value nobody has published yet, in nobody's
                name; its answer carries the value's `version`
        """
        with declaring():
            kind = template.partition("/")[0]
            check_name(kind, "value")
            check_path("/" + template, f"value {template}")
            if any(known.kind == kind for known in self.values.values()):
                raise DeclarationError(f"value {template!r}: {kind!r} is declared twice")
            if not public and template.split("/").count(OWNER) != 1:
                raise DeclarationError(
                    f"value {template!r}: public=True, or one {OWNER} in it: nobody could ask for it otherwise"
                )
        self.values[template] = ValueType(template, model, public, load)
        return self.values[template]

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

        fallback     for routes that only the page's script knows: whoever goes to an address that is nothing else's
                     gets `file`, below these prefixes or, with True, anywhere. A script's request and a missing asset
                     are 404 all the same
        csp          sources added to directives of the Content-Security-Policy, as in
                     `{"connect-src": ("https://api.example.org",)}`
        permissions  features of the Permissions-Policy and who may use them, as in `{"geolocation": ("self",)}`

        Raises DeclarationError, also for a second site and for a path that a view has.
        """
        with declaring():
            if self.page is not None:
                raise DeclarationError("site: declared twice; one call takes several paths and folders")
            for place in (file, *(folders or {}).values()):
                if not place.exists():
                    raise DeclarationError(f"page: {place} does not exist")
            page = Page(
                file,
                paths,
                dict(folders or {}),
                ("/",) if fallback is True else fallback or (),
                content_policy(csp or {}),
                permissions_policy(permissions or {}),
            )
            check_site(page, self.views)
            self.page = page

    # ---- asking about it -------------------------------------------------------------------------------------

    def upstreams(self) -> list[Upstream]:
        """Every upstream this gateway can call: given ones, and those its functions' modules know by name."""
        found = {id(one): one for one in self._upstreams}
        functions: list[Callable[..., Any] | None] = [view.function for view in self.views.values()]
        functions += [command.function for command in self.commands.values()]
        functions += [saga.restore for saga in self.sagas.values()]
        functions += [value.load for value in self.values.values()]
        for function in filter(None, functions):
            owner = getattr(function, "__self__", None)
            candidates = [owner, *inspect.unwrap(function).__globals__.values()]
            candidates += [cell.cell_contents for cell in getattr(function, "__closure__", None) or ()]
            found |= {id(one): one for one in candidates if isinstance(one, Upstream)}
        return sorted(found.values(), key=lambda one: one.owner.service)

    # ---- serving ---------------------------------------------------------------------------------------------

    @property
    def runtime(self) -> Runtime | None:
        """What is open while it serves, to be looked at; None before the start and after the end."""
        return self._runtime

    async def start(self, settings: Settings | None = None) -> Runtime:
        """Read settings unless given, open connections. Raises DeclarationError that lists every mistake."""
        async with self._starting:
            if self._runtime is None:
                runtime = Runtime(self, settings or self._settings or settings_file.load())
                try:
                    await runtime.start()
                except BaseException:
                    # What is open already is nobody's otherwise.
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

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            runtime = self._runtime or await self._start_under_a_server()
            if self._notice is not None and not self._notice.looks:
                self._notice.look((scope.get("server") or (None, None))[1])
            await runtime.app(scope, receive, send)
        else:
            # No WebSockets: refuse the handshake instead of leaving the client waiting.
            await send({"type": "websocket.close", "code": 1000})

    async def _start_under_a_server(self) -> Runtime:
        """Start as an application of another ASGI server, which does not say that it is about to end."""
        runtime = await self.start()
        if self._notice is None:
            self._notice = StopNotice(lambda: self._drain(runtime))
            self._notice.start()
        return runtime

    def _drain(self, runtime: Runtime) -> None:
        runtime.own(runtime.drain(min(runtime.settings.live.drain, SOON)), "the end of the streams")

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
