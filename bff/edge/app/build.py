"""The composition root: `build` puts a gateway together from its declarations, its settings and its extensions.

Read `build` from top to bottom: observers, stores, identity, calls to upstreams, live updates, HTTP. Nothing here
decides anything, and nothing is opened before `App.start`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from opentelemetry.sdk.trace import SpanProcessor
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from ...calls import DeclarationError
from ...calls.shutdown import close_all
from ...live.outcomes import OutcomeMeter, Tally
from ...policies.events import Guarded
from ...stores.outcomes import PendingOutcomes
from ...stores.rates import RateStore
from ...stores.redis.client import StoreUnavailable
from ...transport.forwarding import Forwarding
from ..access.session_cookies import Site
from ..declared import Declarations
from ..dependencies import Resources
from ..endpoints.account import Account
from ..endpoints.command import CommandEndpoint
from ..endpoints.execution import AbandonedClaims, CommandServices
from ..endpoints.forward import ForwardEndpoint, ForwardServices
from ..endpoints.guard import Guard
from ..endpoints.health import Health
from ..endpoints.screen import ScreenEndpoint
from ..endpoints.sign_in import SignIn
from ..endpoints.sign_out import SignOut
from ..endpoints.streaming import Downloads
from ..function_errors import UpstreamFailures
from ..http.admission import Admission
from ..http.body_bounds import BodyBounds
from ..http.compression import Compression
from ..http.cors import Cors
from ..http.envelope import Envelope
from ..http.public_path import PublicPath
from ..http.request import BodyReader
from ..http.request_checks import RequestChecks
from ..http.trace_callers import TraceCallers
from ..internal_tokens import InternalTokens
from ..observe import telemetry
from ..observe.browser import BrowserMetrics, BrowserSpans
from ..observe.event_log import log_event
from ..observe.live_spans import LiveSpans
from ..observe.metrics import LiveMetrics, Metrics
from ..observe.observers import ScreenIncomplete
from ..observe.request_traces import CallSpans, PerSecond, RequestTraces, on_missing
from ..observe.slos import SloCounts
from ..observe.spans import Spans
from ..page import content_policy
from ..pages import ErrorPages
from ..problem import OwnerContacts
from ..rate_limits import RateLimiter
from ..settings import Settings
from ..slos import Budget, budgets_of, outcome_targets
from . import parts
from .background import BackgroundTasks
from .exports import Exports, make_exports
from .extensions import Extensions, wrapped
from .identity import Identity
from .network import Connections
from .routes import Routes, admin_routes, fallback, public_routes

# Seconds for one part to close; more than its tasks have to end.
CLOSE = 10.0


def build(declared: Declarations, settings: Settings, extensions: Extensions) -> App:
    """Put the gateway together. Raises DeclarationError that names the setting or extension that is wrong."""
    for route in declared.routes:
        for codec in route.binding.codecs:
            codec.prepare()
    tasks = BackgroundTasks()
    metrics = Metrics()
    budgets = budgets_of(extensions.slos, declared.routes)
    slo_counts = SloCounts([budget.counted for budget in budgets])
    observers = (slo_counts.observe, *extensions.observers) if budgets else extensions.observers
    observe = Guarded(metrics.observe, log_event, *observers)
    connections = Connections(settings.network)
    collector = connections.to("BFF_TELEMETRY", "the collector of traces", settings.telemetry.tls)
    traces = telemetry.processor(settings.telemetry, collector)
    spans = None if traces is None else Spans(traces, telemetry.resource(declared.name))
    sampler = telemetry.sampler(settings.telemetry)
    once_only = any(not command.safe for command in declared.commands)
    stores = parts.make_stores(settings, extensions, connections, once_only=once_only)
    identity = Identity(settings, stores.redis, connections)
    calls = parts.make_calls(
        declared,
        settings,
        extensions,
        stores,
        identity,
        tasks,
        observe,
        CallSpans(spans, sampler),
        connections.network,
    )
    request_traces = _request_traces(settings, calls.internal_tokens, spans)
    outcomes = _outcome_meter(budgets, stores, slo_counts)
    live = parts.make_live(
        declared,
        settings,
        extensions,
        stores,
        identity,
        calls,
        connections,
        LiveMetrics(metrics),
        outcomes,
        None if spans is None else LiveSpans(spans),
    )
    health = Health(
        partial(parts.dependencies, stores, identity, calls, live),
        partial(parts.dead, stores, identity, live),
    )
    resources, forwarding = Resources(), Forwarding(calls.pipeline)
    abandoned = AbandonedClaims(stores.claims, tasks.spawn)
    limits = RateLimiter(settings.limits, RateStore(stores.redis))
    site = identity.providers.site if identity.providers else Site(settings.public_url)
    guard = Guard(identity.authenticate, limits, site)
    contacts, failures = OwnerContacts(settings.owner_contacts), UpstreamFailures()
    page, path = declared.page, PublicPath.of(settings.public_url)
    body = BodyReader(settings.max_body, settings.http.body_timeout)
    browser: tuple[BrowserMetrics, BrowserSpans] | None = None
    if settings.telemetry.browser:
        browser = BrowserMetrics(metrics.series), BrowserSpans(traces, declared.name)
    routes = public_routes(
        declared,
        settings,
        stores,
        calls,
        live,
        guard=guard,
        body=body,
        health=health,
        screen=partial(
            ScreenEndpoint,
            guard=guard,
            runner=calls.runner,
            contacts=contacts,
            failures=failures,
            on_incomplete=partial(_on_incomplete, observe),
            prefix=path.prefix,
            resources=resources,
            downloads=Downloads(forwarding, settings.http.forward),
        ),
        command=partial(
            CommandEndpoint,
            services=CommandServices(
                guard,
                body,
                calls.runner,
                tasks.spawn,
                stores.claims,
                abandoned,
                failures,
                contacts,
                calls.invalidations.invalidate_after_command,
                settings.public_url,
                settings.idempotency,
                resources,
                outcomes,
            ),
        ),
        forward=partial(
            ForwardEndpoint,
            services=ForwardServices(
                guard,
                forwarding,
                calls.runner,
                contacts,
                failures,
                settings.http.forward,
                path.prefix,
                {name: (one.url, *one.balance.urls) for name, one in settings.upstreams.items()},
                declared.forwards,
            ),
        ),
        sign_in=_sign_in(settings, identity, guard),
        browser=browser,
    )
    cors = Cors(settings.http)
    pages = ErrorPages(
        extensions.pages,
        page.policy if page else content_policy({}),
        path,
        sign_in=identity.providers is not None,
        cookies=identity.providers.cookies.names.values() if identity.providers else (),
    )
    routed = wrapped(Routes(routes, fallback(page, settings)), extensions.middleware, identity.authenticate)
    if settings.http.compress_from is not None:
        routed = Compression(routed, settings.http.compress_from, settings.http.compress_to)
    checked = RequestChecks(routed, settings.http, cors)
    admission = Admission(
        Envelope(checked, request_traces, settings.public_url, observe, cors, contacts, pages.answer),
        settings.admission,
        settings.public_url,
        cors,
        tuple(f"{prefix}/" for prefix in page.folders) if page is not None else (),
        observe,
        pages.page,
    )
    private = Routes(admin_routes(health, metrics, calls.internal_tokens))
    exports = make_exports(declared.name, settings.telemetry, metrics, collector)
    admin = Envelope(private, RequestTraces(), settings.public_url, contacts=contacts)
    metrics.watch(
        calls.pipeline.clients,
        live.hub,
        live.dispatcher,
        live.ingesters,
        live.sagas,
        in_flight=lambda: admission.in_flight,
        lag=admission.lag.now,
    )
    metrics.readings |= {
        "bff.ready": lambda: {(): not health.draining and not health.dead()},
        "bff.redis.up": lambda: {(): stores.redis.outage.current is None},
    }
    if budgets:
        metrics.readings |= slo_counts.readings()
    metrics.readings["bff.traces.dropped"] = lambda: {(): request_traces.dropped}
    return App(
        declared,
        settings,
        extensions,
        stores,
        identity,
        calls,
        live,
        health,
        tasks,
        abandoned,
        connections,
        traces,
        admission,
        BodyBounds(settings, [(forward.path, forward.upload) for forward in declared.forwards]),
        admin,
        routes,
        limits,
        resources,
        metrics,
        exports,
        outcomes,
    )


def _outcome_meter(budgets: Sequence[Budget], stores: parts.Stores, tally: Tally) -> OutcomeMeter | None:
    """Times the outcomes of commands; None where no SLO is about them."""
    targets = outcome_targets(budgets)
    if not targets:
        return None
    sagas = {budget.route.starts.name for budget in budgets if budget.route.starts is not None}
    return OutcomeMeter(PendingOutcomes(stores.redis), targets, sagas, tally)


def _on_incomplete(observe: Guarded, route: str, missing: int) -> None:
    on_missing(missing)
    observe(ScreenIncomplete(route, missing))


def _request_traces(settings: Settings, tokens: InternalTokens | None, spans: Spans | None) -> RequestTraces:
    telemetry_settings = settings.telemetry
    late = telemetry_settings.late_traces
    return RequestTraces(
        spans,
        telemetry.sampler(telemetry_settings),
        trusts=TraceCallers(
            settings.http.proxies,
            proxies_decide=telemetry_settings.proxies_decide,
            is_ours=None if tokens is None else tokens.is_ours,
        ),
        callers=PerSecond(telemetry_settings.caller_traces),
        late=PerSecond(late) if late else None,
        slow=telemetry_settings.slow,
        baggage=telemetry_settings.baggage,
    )


def _sign_in(settings: Settings, identity: Identity, guard: Guard) -> list[BaseRoute]:
    """The endpoints of browser sign-in; none where browsers cannot sign in."""
    providers, sessions, store = identity.providers, identity.sessions, identity.store
    if providers is None or sessions is None:
        return []
    return [
        *SignIn(guard, providers, sessions, store, login_limit=settings.limits.login).routes(),
        *SignOut(guard, providers, sessions, store, identity.token_revocations).routes(),
        *Account(guard, providers, sessions, store).routes(),
    ]


@dataclass(frozen=True, slots=True)
class App:
    """A gateway that was put together. `start` opens it, `drain` ends its streams gently, and `stop` finishes claimed
    commands within a bound and closes everything.

    admission  the public ASGI application
    bodies     how large the bodies of requests may be
    admin      the private ASGI application
    routes     the public ones
    resources  what the lifespan yielded
    traces     sends finished spans; None: there is no collector
    metrics    what the admin port shows of them
    exports    what sends metrics and the log to a collector
    outcomes   times commands for SLOs; None: no SLO needs it
    opened     what the lifespan opened
    """

    declared: Declarations
    settings: Settings
    extensions: Extensions
    stores: parts.Stores
    identity: Identity
    calls: parts.Calls
    live: parts.Live
    health: Health
    tasks: BackgroundTasks
    abandoned: AbandonedClaims
    connections: Connections
    traces: SpanProcessor | None
    admission: Admission
    bodies: BodyBounds
    admin: ASGIApp
    routes: list[BaseRoute]
    limits: RateLimiter
    resources: Resources
    metrics: Metrics
    exports: Exports
    outcomes: OutcomeMeter | None = None
    opened: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)

    async def start(self) -> None:
        """Enter the lifespan and open what must be open; Redis and the upstreams may be away.

        Raises DeclarationError when the lifespan fails.
        """
        if (lifespan := self.extensions.lifespan) is not None:
            try:
                self.resources.fill(await self.opened.enter_async_context(lifespan()))
                for route in self.declared.routes:
                    route.binding.check_resources(self.resources)
            except Exception as error:
                raise DeclarationError(f"lifespan: {type(error).__name__}: {error}") from error
        if self.calls.internal_tokens is not None:
            self.calls.internal_tokens.keys.watch.start()
        if (files := self.settings.secret_files) is not None:
            files.watch.start()
        self.connections.start()
        await self.exports.start()
        await asyncio.gather(*(client.backends.start() for client in self.calls.pipeline.clients.values()))
        with contextlib.suppress(StoreUnavailable):
            await self.stores.redis.ping()
        await self.stores.health.start()
        self.calls.invalidations.start()
        await self.stores.subscriptions.start()
        await self.live.hub.start()
        if self.outcomes is not None:
            await self.outcomes.start()
        await self.identity.start()
        for ingester in self.live.ingesters:
            await ingester.start()
        if self.live.sagas is not None:
            await self.live.sagas.start()

    async def drain(self, window: float | None = None) -> None:
        """Become unready, and end every stream at a random moment of the drain window (seconds; None: the setting)."""
        self.health.draining = True
        await self.end_streams(window)

    async def end_streams(self, window: float | None = None) -> None:
        """End every stream at a random moment of the drain window, and stay ready."""
        await self.live.hub.drain(window)

    async def stop(self) -> None:
        """Finish claimed commands (for five seconds at most) and close everything; failures in closing are logged. When
        it is cancelled, it closes the rest without waiting for commands, and then raises CancelledError."""
        self.health.draining = True
        self.abandoned.stop()
        tokens, files, traces = self.calls.internal_tokens, self.settings.secret_files, self.traces
        await close_all(
            [
                ("commands under way", self.tasks.finish),
                *((f"the ingester of {ingester.name}", ingester.stop) for ingester in self.live.ingesters),
                *([("the watch of sagas", self.live.sagas.stop)] if self.live.sagas else []),
                ("the revocations", self.identity.revocations.stop),
                ("the hub", self.live.hub.stop),
                *([("the timing of outcomes", self.outcomes.stop)] if self.outcomes is not None else []),
                ("the pub/sub connections", self.stores.subscriptions.stop),
                ("the probes of Redis", self.stores.health.stop),
                *self.identity.closings(),
                *self.connections.closings(),
                *([("the watch of secrets", files.watch.close)] if files else []),
                *([("the watch of keys", tokens.keys.watch.close)] if tokens else []),
                ("the connections to upstreams", self.calls.pipeline.close),
                ("the connection to Redis", self.stores.redis.close),
                ("the lifespan", self.opened.aclose),
                ("the metrics", self.exports.stop_metrics),
                ("the log", self.exports.stop_log),
                *([("the traces", lambda: asyncio.to_thread(traces.shutdown))] if traces else []),
            ],
            CLOSE,
        )
