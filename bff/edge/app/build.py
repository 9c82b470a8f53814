"""A gateway at run time: what its settings open, put together once, in one place, in the order of their needs.

Nothing here decides anything; it names the parts and hands them to each other. `start` opens, `drain` ends streams
gently, `stop` finishes claimed commands within a bound and closes everything.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Mapping
from functools import partial
from typing import Any

from starlette.types import ASGIApp

from ... import calls
from ..._version import __version__
from ...calls import Call, Deadline, Principal, Refused, SagaStatus
from ...calls.ending import close_all
from ...live.hub import Hub
from ...live.ingest import EventDispatcher, Registry
from ...live.topics import ValueTopic
from ...policies.events import guarded
from ...stores.claims import Claims
from ...stores.dead_letters import DeadLetters
from ...stores.journal import Journal
from ...stores.processes import Processes
from ...stores.progress import Deliveries
from ...stores.rates import RateStore
from ...stores.redis.client import RedisClient, StoreUnavailable
from ...stores.redis.health import RedisHealth
from ...stores.redis.subscriptions import Subscriptions
from ...stores.revocations import RevocationStore
from ...stores.sessions import SessionStore
from ...stores.values import Values
from ...transport.pipeline import CallPipeline
from ..access.authenticate import Authenticator
from ..access.failure_limit import FailureLimit
from ..access.fetch import Fetcher
from ..access.jwt import TokenVerifier
from ..access.provider import TOKEN_TIMEOUT, Provider
from ..access.revocation_list import RevocationList
from ..access.session import Sessions
from ..declared import Declarations, ValueType
from ..endpoints.claim_leases import AbandonedClaims
from ..endpoints.command import CommandEndpoint
from ..endpoints.execution import CommandServices
from ..endpoints.guard import Guard
from ..endpoints.health import Health
from ..endpoints.screen import ScreenEndpoint
from ..endpoints.sign_in import SignIn
from ..function_errors import UpstreamFailures
from ..http.admission import Admission
from ..http.cors import Cors
from ..http.envelope import Envelope
from ..http.proxies import request_checks
from ..http.public_path import PublicPath
from ..http.request import BodyReader
from ..internal_tokens import open_tokens
from ..observe import telemetry
from ..observe.event_log import with_event_log
from ..observe.metrics import Metrics
from ..page import content_policy
from ..pages import ErrorPages, Pages
from ..problem import OwnerContacts, Problem
from ..rate_limiter import RateLimiter
from ..settings import Settings
from .brokers import ingesters
from .clients import upstream_client
from .reads import Reads
from .routes import Services, admin_routes, fallback, public_routes
from .routing import Routes
from .tasks import BackgroundTasks

log = logging.getLogger("bff.edge")

# Seconds for one part to close; more than its tasks have to end.
CLOSE = 10.0
# Seconds for what runs outside a request: restoring a journal, loading a value.
ASIDE = 2.0


class App:
    """Everything behind one running gateway. `app` is the public ASGI application, `admin` the private one; `routes`
    are the public ones."""

    def __init__(self, declared: Declarations, settings: Settings, pages: Pages | None = None) -> None:
        self.declared = declared
        self.settings = settings
        self.draining = False
        self.tasks = BackgroundTasks()
        bindings = [one.binding for one in declared.views.values()]
        bindings += [one.binding for one in declared.commands.values()]
        for codec in (one for binding in bindings for one in binding.codecs):
            codec.prepare()
        self.metrics = Metrics(declared.views, declared.commands)
        observe = guarded(with_event_log(guarded(self.metrics.observe)))
        self._traces = telemetry.provider(declared.name, settings.telemetry)
        tracer = self._traces.get_tracer("bff", __version__)
        connection = settings.redis
        self.redis = RedisClient(connection.url, timeout=connection.timeout, most=connection.pending)
        self.redis_health = RedisHealth(
            self.redis, once_only=any(not command.safe for command in declared.commands.values())
        )
        self.channels = Subscriptions(self.redis)
        live = settings.live
        self.journal = Journal(self.redis, history=live.history, keep=live.keep)
        self.values = Values(self.redis)
        processes = Processes(self.redis)
        self.claims = Claims(self.redis, self.journal, processes)
        self.abandoned = AbandonedClaims(self.claims, self.tasks.spawn)
        self.internal = open_tokens(settings.internal, settings.public_url)
        self.pipeline = CallPipeline(
            {
                name: upstream_client(name, one, observe, self.internal)
                for name, one in settings.upstreams.items()
            },
            tracer,
            observe=observe,
            renew=self._renewed,
        )
        self.reads = Reads(
            self.pipeline, self.redis, self.channels, settings.cache, spawn=self.tasks.spawn, observe=observe
        )
        self.hub = Hub(
            self.redis,
            self.channels,
            self.journal,
            self.values,
            topics=[self._topic(value) for value in declared.values.values()],
            restore=self._restore if any(saga.restore for saga in declared.sagas.values()) else None,
            beat=live.beat,
            age=live.age,
            queue=live.queue,
            streams=live.streams,
            drain=live.drain,
            processes=processes,
            ended=self._forget,
            revoked=self._over,
            living=SessionStore(self.redis).still_open,
        )
        self.intake = EventDispatcher(
            self.journal,
            self.values,
            Registry(
                sagas={saga.name: saga.model for saga in declared.sagas.values()},
                values={value.kind: value.model for value in declared.values.values()},
            ),
            DeadLetters(self.redis),
            changed=self.reads.invalidations.invalidate,
        )
        self.ingesters = ingesters(settings, self.redis, self.intake)
        self.limits = RateLimiter(settings.limits, RateStore(self.redis))
        self._fetch, self._exchange = Fetcher(), Fetcher(timeout=TOKEN_TIMEOUT)
        self._revocations = RevocationList(
            RevocationStore(self.redis), on_session_end=self.hub.session_ended, on_change=self._end_revoked
        )
        self._verifier = TokenVerifier(settings.issuers, self._fetch, revocations=self._revocations)
        self._sessions, self._provider = self._browser_sessions()
        path = PublicPath.of(settings.public_url)
        self.authenticate = Authenticator(
            self._verifier,
            self._sessions,
            FailureLimit(settings.limits.failures),
            cookie=path.session_cookie,
        )
        self.guard = Guard(self.authenticate, self.limits, settings.public_url)
        self.cors = Cors(settings.http)
        self.contacts = OwnerContacts(settings.owner_contacts)
        self.upstream_failures = UpstreamFailures()
        self.health = Health(self, self._dependencies)
        page = declared.page
        self.routes = public_routes(declared, settings, self._services())
        routes = Routes(self.routes, fallback(page))
        shown = ErrorPages(
            pages,
            page.policy if page else content_policy({}),
            path,
            sign_in=settings.oidc is not None,
        )
        inner = Envelope(
            request_checks(routes, settings.http, self.cors),
            tracer,
            settings.public_url,
            self.metrics.answered,
            self.cors,
            self.contacts,
            shown.answer,
        )
        self.admission = Admission(
            inner,
            settings.admission,
            settings.public_url,
            self.cors,
            tuple(f"{prefix}/" for prefix in page.folders) if page is not None else (),
            observe,
            shown.page,
        )
        self.app: ASGIApp = self.admission
        self.metrics.watch(self.pipeline.clients, self.admission, self.hub, self.intake)
        self.admin: ASGIApp = Envelope(
            Routes(admin_routes(self.health, self.metrics, self.internal)),
            tracer,
            settings.public_url,
            contacts=self.contacts,
        )

    # ---- putting together ------------------------------------------------------------------------------------

    def _services(self) -> Services:
        settings, guard, contacts = self.settings, self.guard, self.contacts
        body = BodyReader(settings.max_body, settings.http.body_timeout)
        screen = partial(
            ScreenEndpoint,
            guard=guard,
            runner=self.reads.runner,
            contacts=contacts,
            failures=self.upstream_failures,
            on_incomplete=self.metrics.incomplete,
        )
        commands = CommandServices(
            guard,
            body,
            self.reads.runner,
            self.tasks.spawn,
            self.claims,
            self.abandoned,
            self.upstream_failures,
            contacts,
            self.reads.invalidations.invalidate_after_command,
            settings.public_url,
            settings.idempotency,
        )
        return Services(
            guard,
            body,
            screen,
            partial(CommandEndpoint, services=commands),
            self.hub,
            self.journal,
            self.health,
            Deliveries(self.redis),
            self.reads.invalidations.invalidate,
            self.intake.take,
            self._sign_in(),
        )

    def _browser_sessions(self) -> tuple[Sessions | None, Provider | None]:
        oidc = self.settings.oidc
        if oidc is None:
            return None, None
        issuer = self._verifier.issuer(oidc.issuer)
        provider = Provider(
            oidc,
            self._fetch,
            exchange=self._exchange,
            redirect_uri=f"{self.settings.public_url}/bff/callback",
            trusted=issuer.settings if issuer else None,
            keys=issuer.keys if issuer else None,
        )
        sessions = Sessions(
            SessionStore(self.redis),
            self.settings.session,
            renew=provider.renew,
            on_end=self._end_session,
            revocations=self._revocations,
        )
        return sessions, provider

    def _sign_in(self) -> SignIn | None:
        oidc = self.settings.oidc
        if oidc is None or self._sessions is None or self._provider is None:
            return None
        return SignIn(
            self.guard,
            self._provider,
            self._sessions,
            SessionStore(self.redis),
            client_secret=oidc.client_secret.get_secret_value(),
            public_url=self.settings.public_url,
            login_limit=self.settings.limits.login,
        )

    async def _end_session(self, session: str) -> None:
        await self.hub.end_session(session)
        # Said once more where it can be read later: whoever was not listening just then ends its streams, too.
        await self._revocations.record_session_end(session)

    def _end_revoked(self) -> None:
        self.hub.end_revoked(self._over)

    def _over(self, principal: Principal) -> bool:
        """Whether a token was revoked, or a session has ended, since its request was authenticated."""
        return self._verifier.is_revoked(principal) or (
            self._sessions is not None and self._sessions.has_ended(principal)
        )

    async def current(self, principal: Principal) -> Principal:
        """The same person with a token that is valid now, for whatever acts for them when their request is long over.

        Raises Problem 401 when the session or token has ended, 503 when that cannot be known.
        """
        found: Principal | None = None if self._over(principal) else principal
        if found is not None and self._sessions is not None:
            found = await self._sessions.current(principal)
        if found is None:
            if principal.session is not None:
                # Nobody may have said so: it can also end by itself.
                self.hub.session_ended(principal.session)
            raise Problem(401, "unauthenticated", "The session has ended.")
        return found

    def _forget(self, session: str) -> None:
        # Another gateway ended it: what this process remembers for the time Redis is away must go, too.
        if self._sessions is not None:
            self._sessions.record_end(session)

    def _topic(self, value: ValueType) -> ValueTopic:
        load = value.load
        if load is None:
            return ValueTopic(value.template, public=value.public)

        async def fetch(name: str) -> Mapping[str, Any] | None:
            pairs = zip(value.template.split("/"), name.split("/"), strict=True)
            given = {part[1:-1]: segment for part, segment in pairs if part.startswith("{")}
            try:
                found = await self.run_detached(load(**given), None)
            except Refused as error:
                if error.status not in (404, 410):
                    raise
                return None
            return {"version": found.version, "data": found.model_dump(mode="json")}

        return ValueTopic(value.template, public=value.public, load=fetch)

    async def _restore(self, principal: Principal) -> list[SagaStatus]:
        found: list[SagaStatus] = []
        principal = await self.current(principal)
        for saga in self.declared.sagas.values():
            if saga.restore is not None:
                call = saga.restore(principal.id)
                found += saga.listed(await self.run_detached(call, principal, recovery=True))
        return sorted(found, key=lambda one: one.at, reverse=True)

    async def _renewed(self, principal: Principal) -> Principal | None:
        """A session's principal with another access token, as `transport.pipeline.Renew` has it."""
        if self._sessions is None:
            return None
        try:
            newer = await self._sessions.current(principal, refused=principal.token)
        except Problem as problem:
            log.info("a refused access token was not renewed: %s", problem.detail)
            return None
        return None if newer is None or newer.token == principal.token else newer

    async def run_detached(
        self, call: Call[Any], principal: Principal | None, *, recovery: bool = False
    ) -> Any:
        """Run a call that belongs to no request of its own. recovery: see `Scope`."""
        scope = calls.Scope(
            Deadline.after(ASIDE), self.pipeline, str(uuid.uuid4()), principal, recovery=recovery
        )
        with calls.opened(scope):
            return await call

    # ---- serving ---------------------------------------------------------------------------------------------

    async def _dependencies(self) -> dict[str, Any]:
        """What `/readyz` names. It asks Redis, and nobody else."""
        told: dict[str, Any] = {
            "redis": await self.redis_health.report() | self.redis.topology,
            "upstreams": {
                name: {"circuit": client.circuit} for name, client in sorted(self.pipeline.clients.items())
            },
            "journals": {"waiting": self.hub.restoring},
        }
        if self._provider is not None:
            told["provider"] = self._provider.status()
        if issuers := self._verifier.key_status():
            told["issuers"] = issuers
        return told

    @property
    def dead(self) -> list[str]:
        """What a bug has ended: streams would hang for ever, so the process is to be replaced."""
        ended = [f"ingester of {one.name}" for one in self.ingesters if not one.alive]
        parts = (
            ("hub", self.hub.alive),
            ("pub/sub", self.channels.alive),
            ("revocations", self._revocations.alive),
        )
        return [name for name, alive in parts if not alive] + ended

    # ---- life ------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open what must be open; Redis and the upstreams may be away."""
        if self.internal is not None:
            self.internal.keys.watch.start()
        for one in self.pipeline.clients.values():
            one.backends.start()
        with contextlib.suppress(StoreUnavailable):
            await self.redis.ping()
        await self.redis_health.start()
        self.reads.invalidations.start()
        await self.channels.start()
        await self.hub.start()
        await self._revocations.start()
        for ingester in self.ingesters:
            await ingester.start()

    async def drain(self, window: float | None = None) -> None:
        """Become unready and end every stream at a random moment of the drain window (seconds; None: as set)."""
        self.draining = True
        await self.hub.drain(window)

    async def stop(self) -> None:
        """Finish claimed commands (five seconds at most), close everything; what cannot be closed is logged. Cancelled,
        it closes what is left without waiting for commands, and is cancelled then."""
        self.draining = True
        self.abandoned.stop()
        await close_all(
            [
                ("commands under way", self.tasks.finish),
                *((f"the ingester of {one.name}", one.stop) for one in self.ingesters),
                ("the revocations", self._revocations.stop),
                ("the hub", self.hub.stop),
                ("the pub/sub connections", self.channels.stop),
                ("the probes of Redis", self.redis_health.stop),
                *([("the sessions", self._sessions.close)] if self._sessions else []),
                *([("the identity provider", self._provider.close)] if self._provider else []),
                *([("the watch of keys", self.internal.keys.watch.close)] if self.internal else []),
                ("the token verifier", self._verifier.close),
                ("the fetcher of keys", self._fetch.close),
                ("the fetcher of tokens", self._exchange.close),
                ("the connections to upstreams", self.pipeline.close),
                ("the connection to Redis", self.redis.close),
                ("the traces", lambda: asyncio.to_thread(self._traces.shutdown)),
            ],
            CLOSE,
        )
