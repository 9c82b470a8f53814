"""`Router`: declares screens, commands, sagas and live values, in any number of modules.

A `Router` is included in another router or in the `Gateway`, which is a router, too. Declarations that are made on a
router after it was included reach the gateway as well, so modules may import each other's routers in any order.
Mistakes raise DeclarationError where they are made.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Any, ParamSpec, TypeVar

from pydantic import BaseModel

from ..calls import Call, DeclarationError, SagaStatus, Upstream
from ..calls.errors import declaring
from ..live.topics import OWNER
from .bind import binding
from .declared import (
    BODY_METHODS,
    COMMAND_METHODS,
    UPLOAD,
    CommandMethod,
    Forward,
    Options,
    Route,
    SagaType,
    ValueType,
    check_name,
    check_path,
    check_tags,
    described,
    shape,
)
from .http.forwarded_headers import may_be_forwarded
from .rate_limits import Limit

P = ParamSpec("P")
R = TypeVar("R")


class Router:
    """Screens, commands, sagas and live values that belong together.

    prefix   begins every path, such as ``/api/products``; it may have parameters, which every function then takes
    scopes   all of them are required for everything that is not public, unless a route or an included router names
             others
    roles    one of them is required, in the same way
    deadline seconds that a request may take in all
    limit    how often each route may be requested, as `view` has it; every route is counted separately
    network  a name from the setting `http.networks`: clients elsewhere get 403
    redirects  origins outside that a `Redirect` may lead to, such as ``https://pay.example.org``
    tags     under which the OpenAPI document lists its routes; default: the name of the module that declares them
    fresh    seconds since the person proved who they are, at most; else the answer is 401 with a challenge that says
             where they do it again (RFC 9470). Bearer tokens count by their `auth_time`. math.inf: any sign-in is
             recent enough
    acr      classes of authentication, the preferred one first, of which one is required in the same way; (): any

    An option that is None is taken from the router or gateway that includes this router.
    """

    def __init__(
        self,
        prefix: str = "",
        *,
        scopes: tuple[str, ...] | None = None,
        roles: tuple[str, ...] | None = None,
        deadline: float | None = None,
        limit: str | Limit | None = None,
        network: str | None = None,
        redirects: tuple[str, ...] | None = None,
        tags: tuple[str, ...] | None = None,
        fresh: float | None = None,
        acr: tuple[str, ...] | None = None,
    ) -> None:
        self.prefix = ""
        self.options = Options()
        self.routes: list[Route] = []
        self.forwards: list[Forward] = []
        self.sagas: dict[str, SagaType] = {}
        self.values: dict[str, ValueType] = {}
        self.routers: list[Router] = []
        self.outer: list[Router] = []
        with declaring():
            what = f"router {prefix}" if prefix else "router"
            if not isinstance(prefix, str) or prefix == "/":
                raise DeclarationError(f'{what}: a prefix is "" or begins with / and does not end with it')
            if prefix:
                check_path(prefix, what)
            options = Options(scopes, roles, deadline, limit, network, redirects, tags, fresh, acr)
            options.check(what)
            self.prefix, self.options = prefix, options

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
        redirects: tuple[str, ...] | None = None,
        fresh: float | None = None,
        acr: tuple[str, ...] | None = None,
    ) -> Callable[[Callable[P, Awaitable[R]]], Callable[P, Awaitable[R]]]:
        """A screen at GET `path`; "" is the router's prefix itself. Login is required unless `public`; `limit` is a
        `Limit`, or a text in slowapi's grammar for what each principal may ask.

        scopes, roles  all of the scopes and one of the roles are required, in place of those of the router and gateway
        network        a name from the setting `http.networks`: clients elsewhere get 403; default: everywhere
        redirects      origins outside that a `Redirect` may lead to
        fresh, acr     how recent and how strong the sign-in must be, as a router has them

        Raises DeclarationError for a view that could not be served; for two at one address it names both lines.
        """

        def declared(function: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
            with declaring():
                options = Options(scopes, roles, deadline, limit, network, redirects, fresh=fresh, acr=acr)
                route = self._route("GET", path, function, options, public=public)
                who = route.binding.needs_principal
                if who and public:
                    raise DeclarationError(f"{route.what}: public, so annotate {who} as `Principal | None`")
                self.add(route)
            return function

        return declared

    def command(
        self,
        path: str,
        *,
        method: CommandMethod = "POST",
        starts: SagaType | None = None,
        deadline: float | None = None,
        limit: str | Limit | None = None,
        safe: bool = True,
        invalidates: tuple[str, ...] = (),
        keep: float | None = None,
        scopes: tuple[str, ...] | None = None,
        roles: tuple[str, ...] | None = None,
        network: str | None = None,
        redirects: tuple[str, ...] | None = None,
        fresh: float | None = None,
        acr: tuple[str, ...] | None = None,
    ) -> Callable[[Callable[P, Awaitable[R]]], Callable[P, Awaitable[R]]]:
        """A guarded write at `path`, carried out once per Idempotency-Key.

        method  POST (default), PUT, PATCH or DELETE; one path may have several. Clients must send the key with POST and
                PATCH, and may send it with PUT and DELETE
        starts  the saga that it starts or advances; the answer is then 202 with the saga's address, else 200 with the
                result, or 204 where the function returns None
        safe    its upstreams honour idempotency keys (default); False where one does not: an unknown outcome is then
                reported and not tried again
        invalidates  tags (`Call.tagged`) of what it changes, such as ``orders`` or ``order/{id}`` with a parameter of
                the path: cached answers with these tags are not served to its caller any more, on any gateway
        keep    seconds for which its outcome is stored for repeats, and with it what it answered; default: the setting
                `idempotency.keep`. 60 to 604,800: a repeat after that time runs the command again
        scopes, roles, network, redirects, fresh, acr  as a view has them

        Raises DeclarationError as `view` does.
        """

        def declared(function: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
            with declaring():
                if method not in COMMAND_METHODS:
                    raise DeclarationError(
                        f"command {path}: method is one of {', '.join(COMMAND_METHODS)}, not {method!r}"
                    )
                options = Options(scopes, roles, deadline, limit, network, redirects, fresh=fresh, acr=acr)
                route = self._route(
                    method,
                    path,
                    function,
                    options,
                    starts=starts,
                    safe=safe,
                    invalidates=invalidates,
                    keep=keep,
                )
                if keep is not None and not 60 <= keep <= 604_800:
                    raise DeclarationError(f"{route.what}: keep is seconds from 60 to 604,800, not {keep}")
                check_tags(invalidates, route.path, route.what)
                if route.binding.returns.download:
                    raise DeclarationError(f"{route.what}: only a view may return a Download")
                if starts is not None and not route.binding.returns.is_plain(SagaStatus):
                    raise DeclarationError(
                        f"{route.what}: it starts a saga, so it must return a SagaStatus model"
                    )
                self.add(route)
            return function

        return declared

    def forward(
        self,
        path: str,
        upstream: Upstream,
        target: str,
        *,
        methods: tuple[str, ...] = ("GET",),
        public: bool = False,
        deadline: float | None = None,
        limit: str | Limit | None = None,
        scopes: tuple[str, ...] | None = None,
        roles: tuple[str, ...] | None = None,
        network: str | None = None,
        fresh: float | None = None,
        acr: tuple[str, ...] | None = None,
        upload: int = UPLOAD,
        headers: tuple[str, ...] = (),
        answer_headers: tuple[str, ...] = (),
        inline: tuple[str, ...] = (),
    ) -> None:
        """Pass requests at `path` on to `target` at the service as they are, and their answers to the client: files,
        ranges, uploads, whole APIs. `{name:path}` at the end of `path` takes several segments; `target` has the same
        parameters.

        methods   some of GET (with HEAD), POST, PUT, PATCH and DELETE; a write is never tried again by the gateway
        deadline  seconds from the end of a request until its answer begins; a body may take as long as it moves
        upload    bytes of a request's body at most (default 10,000,000)
        headers, answer_headers  names that are passed on beside those of docs/contract.md. Cookies, credentials and
                  hop-by-hop headers never are
        inline    media types that browsers may show, beside images, sound, films, plain text and JSON, and that a page
                  may load as its script or style. Anything else is offered for saving, and no answer may run scripts:
                  what was uploaded must not act as this site
        public, limit, scopes, roles, network, fresh, acr  as a view has them

        Raises DeclarationError.
        """
        with declaring():
            whole = self.prefix + path
            what = f"forward {whole}"
            if path or not self.prefix:
                check_path(path, what, several=True)
            check_path(whole, what, several=True)
            if not isinstance(upstream, Upstream):
                raise DeclarationError(f"{what}: {upstream!r} is no Upstream")
            if not 0 < upload <= 10_000_000_000:
                raise DeclarationError(
                    f"{what}: upload is bytes above 0 and at most 10,000,000,000, not {upload}"
                )
            for name in (*headers, *answer_headers):
                if not may_be_forwarded(name.lower()):
                    raise DeclarationError(f"{what}: the header {name} is never passed on")
            options = Options(scopes, roles, deadline, limit, network, fresh=fresh, acr=acr)
            options.check(what, public=public)
            self.add_forward(
                Forward(
                    whole,
                    upstream,
                    target,
                    methods,
                    options.within(self.options),
                    _caller(),
                    public,
                    upload,
                    tuple(name.lower() for name in headers),
                    tuple(name.lower() for name in answer_headers),
                    tuple(media.lower() for media in inline),
                )
            )

    def saga(
        self,
        name: str,
        model: type[SagaStatus],
        *,
        restore: Callable[[str], Call[Any]] | None = None,
    ) -> SagaType:
        """A kind of saga whose events (`<domain>.<name>.status`) browsers see.

        restore  given the owner's principal id, a Call that lists the owner's sagas (a list of `model`, or a model
                 with one such list); it rebuilds a lost journal
        """
        saga = SagaType(name, model, restore, _caller())
        with declaring():
            check_name(name, "saga")
            self.add_saga(saga)
        return saga

    def value(
        self,
        template: str,
        model: type[BaseModel],
        *,
        public: bool = False,
        load: Callable[..., Call[Any]] | None = None,
    ) -> ValueType:
        """A live value such as ``stock/{sku}``: the latest version replaces earlier ones and is sent whole.

        public  everybody who is signed in may ask for it; otherwise the template has one `{owner}`, as in
                ``bell/{owner}``, and only the principal with this `pseudonym` may ask for the value
        load    given the template's parameters, a Call that fetches a value that was not published yet; it is made for
                no principal, and its answer has the value's `version`
        """
        value = ValueType(template, model, public, load, _caller())
        with declaring():
            check_name(value.kind, "value")
            check_path("/" + template, f"value {template}")
            if not public and template.split("/").count(OWNER) != 1:
                raise DeclarationError(
                    f"value {template!r}: public=True, or one {OWNER} in it: otherwise no principal may ask for it"
                )
            self.add_value(value)
        return value

    def include(self, *routers: Router) -> None:
        """Also serve the declarations of these routers, including those that are made later.

        Raises DeclarationError for a router that is included already, would contain itself, or declares something
        that is declared here.
        """
        for router in routers:
            with declaring():
                if not isinstance(router, Router):
                    raise DeclarationError(f"include: {router!r} is no Router")
                if router in self.routers:
                    raise DeclarationError(f"router {router.prefix}: included twice")
                if router is self or self in router.nested():
                    raise DeclarationError(f"router {router.prefix}: it would contain itself")
                self.routers.append(router)
                router.outer.append(self)
            for route in router.routes:
                with declaring():
                    self.add(route.inside(self.prefix, self.options), direct=False)
            for forward in router.forwards:
                with declaring():
                    self.add_forward(forward.inside(self.prefix, self.options))
            for saga in router.sagas.values():
                with declaring():
                    self.add_saga(saga)
            for value in router.values.values():
                with declaring():
                    self.add_value(value)

    # ---- adding and passing on -------------------------------------------------------------------------------

    def nested(self) -> Iterable[Router]:
        """The routers inside this one, at any depth."""
        for router in self.routers:
            yield router
            yield from router.nested()

    def _route(
        self,
        method: str,
        path: str,
        function: Callable[..., Awaitable[Any]],
        options: Options,
        *,
        public: bool = False,
        **more: Any,
    ) -> Route:
        whole = self.prefix + path
        what = described(method, whole)
        if path or not self.prefix:
            check_path(path, what)
        if path == "/" and self.prefix:
            raise DeclarationError(f'{what}: the address of the prefix itself is ""')
        check_path(whole, what)
        options.check(what, public=public)
        origin = _origin_of(function)
        self._check_new(method, whole, what, origin)
        bound = binding(function, whole, what, body=method in BODY_METHODS)
        module = function.__module__.rpartition(".")[2]
        tags = self.options.tags if self.options.tags is not None else (module,)
        inherited = replace(options, tags=tags).within(self.options)
        return Route(method, whole, function, bound, inherited, origin, public, **more)

    def add(self, route: Route, *, direct: bool = True) -> None:
        """Add a route that is complete for this router, and pass it to the routers that include this one. direct: it
        was declared here. Raises DeclarationError for a route whose address is declared here already."""
        self._check_new(route.method, route.path, route.what, route.origin)
        self.routes.append(route)
        for outer in self.outer:
            outer.add(route.inside(outer.prefix, outer.options), direct=False)

    def _check_new(self, method: str, path: str, what: str, origin: str) -> None:
        for other in self.routes:
            if other.method == method and shape(other.path) == shape(path):
                same = "" if other.path == path else f", the other is {other.path}"
                raise DeclarationError(f"{what}: declared twice{same} ({other.origin}, {origin})")

    def add_forward(self, forward: Forward) -> None:
        """Add a forward that is complete for this router, and pass it to the routers that include this one."""
        if not self.outer:
            # Only here is the whole path known: a prefix may have parameters.
            forward.check()
        others = [(route.path, {route.method}, route.origin) for route in self.routes]
        others += [(other.path, set(other.methods), other.origin) for other in self.forwards]
        for path, methods, origin in others:
            if shape(path) == shape(forward.path) and methods & set(forward.methods):
                raise DeclarationError(f"{forward.what}: declared twice ({origin}, {forward.origin})")
        self.forwards.append(forward)
        for outer in self.outer:
            outer.add_forward(forward.inside(outer.prefix, outer.options))

    def add_saga(self, saga: SagaType) -> None:
        """Add a saga of this or an included router, and pass it to the routers that include this one."""
        if (other := self.sagas.get(saga.name)) is not None:
            raise DeclarationError(f"saga {saga.name!r} is declared twice ({other.origin}, {saga.origin})")
        self.sagas[saga.name] = saga
        for outer in self.outer:
            outer.add_saga(saga)

    def add_value(self, value: ValueType) -> None:
        """Add a value of this or an included router, and pass it to the routers that include this one."""
        for other in self.values.values():
            if other.kind == value.kind:
                raise DeclarationError(
                    f"value {value.template!r}: {value.kind!r} is declared twice ({other.origin}, {value.origin})"
                )
        self.values[value.template] = value
        for outer in self.outer:
            outer.add_value(value)


def _origin_of(function: Callable[..., Any]) -> str:
    """`module:line` of a function."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return f"{function.__module__}:{code.co_firstlineno}" if code is not None else function.__module__


def _caller() -> str:
    """`module:line` of the code that declares a saga or a value."""
    frame = sys._getframe(2)
    return f"{frame.f_globals.get('__name__', '?')}:{frame.f_lineno}"
