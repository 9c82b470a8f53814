"""The extension points of a gateway: `Gateway(brokers=, resolvers=, observers=, middleware=, lifespan=,
redis_credentials=, slos=)`.

docs/reference/extension-points.md has one paragraph for each. The parts that bff ships use the same points.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from starlette.types import ASGIApp, Receive, Scope, Send

from ...calls import Principal
from ...live.ingest import Broker
from ...stores.redis.login import RedisCredentials
from ...transport.resolvers import ResolverFactory
from ..access.authenticate import Authenticator
from ..observe.observers import Observer
from ..pages import Pages
from ..slos import Slo
from ..state import state_of


class Middleware(Protocol):
    """Wraps the gateway's public application: given an ASGI application, returns one. A class whose constructor takes
    only the application is one.

    The first of `Gateway(middleware=…)` is outermost. All of them run inside the layer that gives a request its ids:
    an exception of theirs becomes a problem document (a `bff.Problem` unchanged, any other one as 500). They run after
    the checks of hosts, proxies and CORS preflights. Requests refused by admission (503) and requests to the admin port
    do not reach them. `request_info` and `authenticated` give what is known of a request. An event stream passes only
    its head through `send`; its events are written to the connection directly. Scopes are always of type `http`.
    """

    def __call__(self, app: ASGIApp, /) -> ASGIApp: ...


class Lifespan(Protocol):
    """Makes an async context manager for your resources, such as a pool of connections (a function with
    `contextlib.asynccontextmanager` is one).

    It is entered once when the gateway starts, before anything of the gateway is opened. It is exited when the gateway
    stops: after streams were drained, claimed commands have finished and everything else is closed. An exception on
    entering stops the start. Exiting may take 10 s; an exception then is logged.
    """

    def __call__(self) -> AbstractAsyncContextManager[object]: ...


@dataclass(frozen=True, slots=True)
class Extensions:
    """The arguments of `Gateway` for its extension points; see its parameters."""

    brokers: tuple[Broker, ...] = ()
    resolvers: Mapping[str, ResolverFactory] = field(default_factory=dict)
    observers: tuple[Observer, ...] = ()
    middleware: tuple[Middleware, ...] = ()
    lifespan: Lifespan | None = None
    pages: Pages | None = None
    redis_credentials: RedisCredentials | None = None
    slos: tuple[Slo, ...] = ()


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """What the gateway knows of a request at one moment.

    correlation_id  UUID: the client's own `X-Correlation-ID`, or a new one
    trace_id        W3C trace id, 32 hex digits
    route           the declared path of the route that answers, such as `/api/products/{sku}`; None until its route was
                    found and for paths without a route
    principal       who asks; None until the request was authenticated (by its route, or by `authenticated`), and for
                    requests without credentials. Its `token` is a secret
    """

    correlation_id: str
    trace_id: str
    route: str | None
    principal: Principal | None


def request_info(scope: MutableMapping[str, Any]) -> RequestInfo:
    """What is known of the request with this ASGI scope, for a middleware. Route and principal are known when the
    answer's head passes the middleware's `send`, and after the inner application has returned."""
    state = state_of(scope)
    return RequestInfo(state.correlation, state.trace_id, state.route, state.principal)


async def authenticated(scope: MutableMapping[str, Any]) -> Principal | None:
    """The principal, for a middleware that needs it before the route has authenticated the request; None for a request
    without credentials. The request is authenticated once, however often this is called. Raises Problem 401, 429 or 503
    as a route does: do not catch it."""
    state = state_of(scope)
    if state.principal is None and state.authenticate is not None:
        return await state.authenticate(scope)
    return state.principal


def wrapped(app: ASGIApp, middleware: tuple[Middleware, ...], authenticate: Authenticator) -> ASGIApp:
    """The application inside all of this middleware."""
    if not middleware:
        return app
    for wrap in reversed(middleware):
        app = wrap(app)

    async def with_authenticator(scope: Scope, receive: Receive, send: Send) -> None:
        state_of(scope).authenticate = authenticate
        await app(scope, receive, send)

    return with_authenticator
