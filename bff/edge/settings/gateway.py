"""Settings: the only source of addresses, secrets and limits.

`sources.py` reads them. An unknown name, or a value outside its range, stops the start with a message that names it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PrivateAttr, SecretStr, StringConstraints, model_validator

from .events import EventSourceSettings, NatsSettings, RabbitMqSettings, WebhookSettings
from .fields import ListenHost, Section, Url
from .http import HeaderName, HttpSettings
from .identity import DpopSettings, IssuerSettings, OidcSettings, SessionSettings
from .network import NetworkSettings, TlsSettings
from .redis import RedisSettings
from .secrets import SecretFiles
from .sources import PREFIX, validated
from .upstream import InternalSettings, UpstreamSettings


class LimitSettings(Section):
    """Rate limits in slowapi's grammar."""

    default: str = "600/minute"
    """The limit of every route without its own."""
    login: str = "30/minute"
    """The limit of sign-in routes."""
    failures: str = "300/minute"
    """Tokens and session cookies that do not verify, for each address; beyond it they get 429 instead of
    401."""
    replicas: int = Field(1, ge=1, le=1000)
    """Gateways that share the limits; divides the local share while Redis is away. Workers of one gateway divide its
    share further, by themselves."""
    tiers: dict[str, Annotated[float, Field(gt=0, le=10_000)]] = Field(default_factory=dict, max_length=20)
    """Name → factor: a principal with this name in `tier_claim` gets this many times what a route allows."""
    tier_claim: str = Field("tier", min_length=1)
    """The claim of the access token that names the tier."""
    tenant_claim: str = Field("tenant", min_length=1)
    """The claim that names the tenant, where a route limits tenants."""


class IdempotencySettings(Section):
    """How long claims and outcomes of commands are stored."""

    keep: float = Field(24 * 3600, ge=60, le=7 * 86400)
    """Seconds for which an outcome can be replayed."""
    lease: float = Field(10.0, ge=1, le=300)
    """Seconds that a claim holds without a heartbeat."""
    max_body: int = Field(262_144, ge=1_024, le=4_194_304)
    """Bytes of a stored answer at most."""


class LiveSettings(Section):
    """Event streams, and where the events come from."""

    beat: float = Field(15.0, ge=0.1, le=15)
    """Seconds between heartbeats."""
    age: float = Field(600.0, ge=5, le=86400)
    """Seconds that a stream lives at most; it ends at a random 80–100 % of it."""
    queue: int = Field(256, ge=8, le=10_000)
    """Events that may wait for a slow client; beyond it the client is sent the latest status of each saga
    instead."""
    history: int = Field(500, ge=10, le=10_000)
    """Events that a journal holds."""
    keep: float = Field(86400.0, ge=60, le=30 * 86400)
    """Seconds for which an ended saga stays in the snapshot."""
    streams: int = Field(16, ge=1, le=1000)
    """Streams that a principal may have open, over all gateways."""
    values: int = Field(50, ge=0, le=1000)
    """Values that one stream may ask for."""
    stream_keys: tuple[str, ...] = ()
    """Keys of the Redis streams that services publish to; `{p}` is the partition."""
    partitions: int = Field(16, ge=1, le=256)
    """Partitions of each stream key."""
    ignore_types: tuple[Annotated[str, Field(min_length=1, max_length=200)], ...] = Field((), max_length=100)
    """Types of events that are for others, such as `billing.*`; `*` is any text. The gateway does not report them
    as undeclared."""
    drain: float = Field(5.0, ge=0, le=300)
    """Seconds over which streams are ended before the process ends."""
    nats: NatsSettings | None = None
    """A NATS JetStream stream with events."""
    rabbitmq: RabbitMqSettings | None = None
    """RabbitMQ queues with events."""
    brokers: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """By name, the settings of a broker that an installed package provides. The package decides which of them name
    files; those of bff, `nats` and `rabbitmq`, have sections of their own above."""


class CacheSettings(Section):
    """Answers of calls declared `fresh`."""

    max_bytes: int = Field(64_000_000, ge=0, le=10_000_000_000)
    """Bytes of all answers cached in one process, so in each worker; the least recently used go first. 0: none are
    cached."""
    max_entry: int = Field(1_000_000, ge=1_000, le=100_000_000)
    """Bytes of one answer at most; a larger one is not cached."""
    redis: bool = True
    """Whether answers are cached in Redis, too, for every gateway. Invalidations go through Redis either
    way."""
    wait: float = Field(0.1, gt=0, le=1)
    """Seconds that a look into Redis may take; slower counts as away."""
    aside: int = Field(64, ge=0, le=10_000)
    """Detached fetches at once, and a quarter as many writes to Redis, in each worker."""
    followers: int = Field(1_000, ge=0, le=100_000)
    """Requests that may wait for one identical call under way; the next one sends another."""


class AdmissionSettings(Section):
    """When new requests are refused with 503. Health pages and open streams are exempt."""

    in_flight: int = Field(1000, ge=1, le=1_000_000)
    """Requests under way at once, at most, in each worker."""
    lag: float = Field(0.025, gt=0, le=10)
    """Seconds that the event loop may run late. The page's own files are served all the same, so that a
    page is not left blank."""
    standing: float = Field(0.25, ge=0, le=10)
    """Seconds for which the loop must run later than that before requests are refused."""
    lean: float = Field(0.6, gt=0, le=1)
    """Share of both bounds from which screens leave optional parts out."""
    retry_after: float = Field(1.0, ge=0, le=300)
    """Seconds that a refused client is asked to wait (`Retry-After`)."""


LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]


class TelemetrySettings(Section):
    """Traces, metrics and logs."""

    otlp: Url | None = None
    """Where traces go (OTLP), such as `http://collector:4318`; unset: nowhere."""
    protocol: Literal["http", "grpc"] = "http"
    """How they are sent: OTLP over HTTP (often port 4318), or over gRPC (often port 4317), which needs
    `bff-gateway[otlp-grpc]`."""
    headers: dict[HeaderName, SecretStr] = Field(default_factory=dict, max_length=20)
    """Headers of every request to the collector, such as the API key of a hosted one, at most 20."""
    timeout: float = Field(10.0, gt=0, le=60)
    """Seconds for sending one batch, with its repeats."""
    tls: TlsSettings | None = None
    sample: float = Field(1.0, ge=0, le=1)
    """Share of the traces begun here that are recorded."""
    browser: float = Field(0.0, ge=0, le=1)
    """Share of commands and screens whose painting the page reports to `/bff/browser`; 0: there is no such route, and
    the page reports nothing."""
    caller_traces: float = Field(10.0, ge=0, le=10_000)
    """Traces a second, in each worker, that are recorded because their caller says so (`traceparent` with the sampled
    flag), where the caller is neither in a network of `http.proxies` nor has an internal token. A browser is such a
    caller, also behind a proxy. Beyond it `sample` decides."""
    proxies_decide: bool = False
    """Whether the proxies of `http.proxies` begin the traces themselves and drop those of browsers. Then the sampled
    flag counts in every request that comes through them."""
    late_traces: float = Field(10.0, ge=0, le=10_000)
    """Traces a second, in each worker, that are exported after the fact: of requests that were not sampled and failed
    (5xx), were slow or incomplete. Further ones are counted by `bff_traces_dropped_total`. 0: none."""
    slow: float = Field(1.0, gt=0, le=3600)
    """Seconds from which a request is slow."""
    baggage: tuple[Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,100}$")], ...] = Field(
        (), max_length=20
    )
    """Keys of the caller's `baggage` that are passed on to services; all others are dropped. What a key says is the
    caller's word."""
    log_level: LogLevel = "INFO"
    """Lowest level of the log on standard error."""
    log_levels: dict[str, LogLevel] = Field(default_factory=dict, max_length=100)
    """Lowest levels of single loggers and all below them, such as `{"bff.access": "WARNING"}`, at most 100."""
    otlp_metrics: Url | None = None
    """Where metrics go as well (OTLP over HTTP), such as `http://collector:4318`; unset: nowhere. Headers, TLS and
    timeout are those of this section."""
    metrics_interval: float = Field(60.0, ge=0.1, le=3600)
    """Seconds between two batches of metrics."""
    otlp_logs: Url | None = None
    """Where the log goes as well (OTLP over HTTP); unset: to standard error only."""
    log_format: Literal["auto", "json", "text"] = "auto"
    """How the log is written: JSON, or readable text. With `auto` it is JSON, and text for `bff dev` at a terminal."""


class DocsSettings(Section):
    """What the gateway's pages about itself offer; `/docs`, `/openapi.json` and `/asyncapi.json` are always there."""

    explorer: bool = False
    """Whether `/docs/explorer` and its live console are served, to everybody who can read `/docs`. Needs the extra
    `docs`. `bff dev` switches it on where the extra is installed, unless it is set."""
    site: Url | None = None
    """Where this documentation is published, such as `https://docs.example.org/bff`: `/docs/problems` then links to
    each code's page there."""


class Settings(Section):
    """Everything a gateway needs from outside."""

    _secret_files: SecretFiles | None = PrivateAttr(None)

    @property
    def secret_files(self) -> SecretFiles | None:
        """The files that secrets were read from; None for settings that were made in code."""
        return self._secret_files

    def following(self, files: SecretFiles) -> Self:
        """The same settings, whose secrets follow these files while a gateway runs with them."""
        self._secret_files = files
        return self

    public_url: Url = "http://localhost:8000"
    """Address at which browsers reach the gateway. A path in it is the prefix below which a proxy serves it."""
    host: ListenHost = "127.0.0.1"
    """Address to listen on for browsers and API clients."""
    port: int = Field(8000, ge=0, le=65535)
    """Port to listen on; 0: any free one."""
    admin_host: ListenHost = "127.0.0.1"
    """Address of the admin port: health, metrics, keys of internal tokens. The default is loopback, whatever
    `host` is; in a container, set it so that others on its network can reach it."""
    admin_port: int = Field(8001, ge=0, le=65535)
    """The admin port; 0: any free one."""
    workers: int = Field(1, ge=1, le=64)
    """Workers of `bff serve`: processes that share the port, each with connections, memory and bounds of its own, like
    one more gateway. More than 1 needs Linux. `bff dev` and other servers ignore it."""
    worker_start: float = Field(60.0, ge=1, le=3600)
    """Seconds in which a worker that replaces another one must be ready. The first start takes as long as it needs."""
    max_body: int = Field(65_536, ge=1_024, le=10_000_000)
    """Bytes of a request's body at most."""
    http: HttpSettings = HttpSettings()
    network: NetworkSettings = NetworkSettings()
    redis: RedisSettings = RedisSettings()
    upstreams: dict[str, UpstreamSettings] = Field(default_factory=dict)
    """By name, the services that may be called; an upstream's name is its class name in lower case."""
    internal: InternalSettings | None = None
    issuers: tuple[IssuerSettings, ...] = ()
    """Token issuers that are trusted, a JSON list."""
    dpop: DpopSettings = DpopSettings()
    oidc: OidcSettings | None = None
    providers: dict[str, OidcSettings] = Field(default_factory=dict, max_length=20)
    """By name, further providers at which browsers sign in, beside `oidc` or in its place, each with its own redirect
    URI (`/bff/callback/<name>`), cookies and sessions."""
    session: SessionSettings = SessionSettings()
    limits: LimitSettings = LimitSettings()
    idempotency: IdempotencySettings = IdempotencySettings()
    live: LiveSettings = LiveSettings()
    admission: AdmissionSettings = AdmissionSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    cache: CacheSettings = CacheSettings()
    docs: DocsSettings = DocsSettings()
    webhooks: dict[str, WebhookSettings] = Field(default_factory=dict)
    """By name, the sources that may report changes to `/bff/changes/<name>`."""
    events: dict[str, EventSourceSettings] = Field(default_factory=dict)
    """By name, the sources that may send CloudEvents to `/bff/events/<name>`."""
    owner_contacts: Literal["everybody", "signed-in", "nobody"] = "everybody"
    """Who sees how to reach the owner of a service that failed (`contact` and `docs`)."""

    @property
    def sign_ins(self) -> dict[str, OidcSettings]:
        """Every provider at which browsers sign in, by name: "" is `oidc`."""
        return ({} if self.oidc is None else {"": self.oidc}) | self.providers

    @model_validator(mode="after")
    def _provider_names(self) -> Self:
        for name in self.providers:
            if not re.fullmatch("[a-z][a-z0-9]{0,31}", name, re.ASCII) or name == "oidc":
                raise ValueError(
                    f"{PREFIX}PROVIDERS: {name!r} cannot name a provider; take letters and digits, and not `oidc`"
                )
        return self

    @model_validator(mode="after")
    def _two_ports(self) -> Self:
        if self.port == self.admin_port != 0:
            raise ValueError(
                f"{PREFIX}PORT and {PREFIX}ADMIN_PORT are both {self.port}; give one of them another port"
            )
        return self

    @model_validator(mode="after")
    def _streams_end_with_their_sessions(self) -> Self:
        if self.sign_ins and self.session.idle < self.live.age:
            raise ValueError(
                f"{PREFIX}SESSION__IDLE ({self.session.idle:g} s) must not be less than {PREFIX}LIVE__AGE "
                f"({self.live.age:g} s): a stream would outlive its session"
            )
        return self


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings. environ: default the process environment. Raises SettingsError, which lists all mistakes."""
    found, files = validated(Settings, os.environ if environ is None else environ)
    return found.following(files)
