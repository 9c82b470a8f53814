"""Settings: the only place addresses, secrets and limits come from.

`sources.py` says where they are read. An unknown key, or a value outside its range, stops the start by name.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from .address import ExactUrl, ListenHost, RedisUrl, Url
from .cache import CacheSettings, WebhookSettings
from .events import EventSourceSettings, NatsSettings, RabbitMqSettings
from .http import HttpSettings
from .sources import PREFIX, validated
from .upstream import InternalSettings, UpstreamSettings


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RedisSettings(_Section):
    """Where Redis is, and how long it is waited for.

    url      redis://, unix://, redis+sentinel://host:port,host:port/<master>/<db>, or
             redis+cluster://host:port,host:port; by TLS with rediss
    timeout  seconds one command may take, and Redis may be silent
    pending  commands under way at most; one more is refused
    """

    url: RedisUrl = "redis://127.0.0.1:6379/0"
    timeout: float = Field(0.5, gt=0, le=10)
    pending: int = Field(10_000, ge=100, le=1_000_000)


class IssuerSettings(_Section):
    """A token issuer this gateway trusts.

    issuer      exact `iss`
    audience    required `aud`
    algorithms  the only ones accepted from it
    jwks_uri    where its keys are; None: asked of its discovery document
    leeway      seconds of clock difference allowed
    roles       the claim that lists a person's roles; dots lead into it, as in `realm_access.roles`
    """

    issuer: str = Field(min_length=1)
    audience: str = Field(min_length=1)
    algorithms: tuple[str, ...] = ("ES256", "RS256", "EdDSA")
    jwks_uri: ExactUrl | None = None
    leeway: float = Field(10.0, ge=0, le=30)
    roles: str = Field("roles", min_length=1)


class OidcSettings(_Section):
    """Browser sign-in: the provider and this gateway's confidential client there.

    scopes     asked for; the provider says which of them are granted
    authorize  further parameters of the way to the provider, such as `audience` or `prompt`
    roles      the claim of the ID token that lists a person's roles, as in an issuer's settings
    """

    issuer: ExactUrl
    client_id: str = Field(min_length=1)
    client_secret: SecretStr
    scopes: tuple[str, ...] = ("openid", "profile", "offline_access")
    authorize: dict[str, str] = Field(default_factory=dict)
    roles: str = Field("roles", min_length=1)


class SessionSettings(_Section):
    """lifetime: seconds from sign-in to the end; idle: seconds without a request, at least `live.age`, for a stream is
    one request; remembered: seconds a session is kept in-process while Redis is away."""

    lifetime: float = Field(8 * 3600, ge=60, le=30 * 86400)
    idle: float = Field(3600, ge=60, le=30 * 86400)
    remembered: float = Field(60, ge=0, le=300)


class LimitSettings(_Section):
    """Rate limits in slowapi's grammar.

    default       for every route without its own
    login         for sign-in routes
    failures      tokens and session cookies that do not verify, for each address; beyond it they get 429 instead of 401
    replicas      gateways sharing the limits (divides the local share while Redis is away)
    tiers         name → factor: who has this name in `tier_claim` gets so many times what a route allows
    tier_claim    the access token's claim that names the tier
    tenant_claim  the one that names the tenant, where a route limits tenants
    """

    default: str = "600/minute"
    login: str = "30/minute"
    failures: str = "300/minute"
    replicas: int = Field(1, ge=1, le=1000)
    tiers: dict[str, Annotated[float, Field(gt=0, le=10_000)]] = Field(default_factory=dict, max_length=20)
    tier_claim: str = Field("tier", min_length=1)
    tenant_claim: str = Field("tenant", min_length=1)


class IdempotencySettings(_Section):
    """keep: seconds an outcome can be replayed; lease: seconds a claim holds without a heartbeat; max_body: bytes of a
    stored answer."""

    keep: float = Field(24 * 3600, ge=60, le=7 * 86400)
    lease: float = Field(10.0, ge=1, le=300)
    max_body: int = Field(262_144, ge=1_024, le=4_194_304)


class LiveSettings(_Section):
    """beat: seconds between beats; age: seconds a stream lives at most (ended at a random 80–100 % of it); queue:
    events a slow stream may have waiting before it is told the latest status of each saga instead; history: events kept
    in a journal; keep: seconds an ended saga stays in the snapshot; streams: open per principal, in all gateways
    together; values: topics one stream may ask for; stream_keys: where services publish, `{p}` is the partition;
    partitions: how many of each; drain: seconds over which
    streams are ended before a gateway is; nats, rabbitmq: further brokers with
    events; brokers: by its name, the section of a broker that an installed package provides."""

    beat: float = Field(15.0, ge=0.1, le=15)
    age: float = Field(600.0, ge=5, le=86400)
    queue: int = Field(256, ge=8, le=10_000)
    history: int = Field(500, ge=10, le=10_000)
    keep: float = Field(86400.0, ge=60, le=30 * 86400)
    streams: int = Field(16, ge=1, le=1000)
    values: int = Field(50, ge=0, le=1000)
    stream_keys: tuple[str, ...] = ()
    partitions: int = Field(16, ge=1, le=256)
    drain: float = Field(5.0, ge=0, le=300)
    nats: NatsSettings | None = None
    rabbitmq: RabbitMqSettings | None = None
    brokers: dict[str, dict[str, Any]] = Field(default_factory=dict)


class AdmissionSettings(_Section):
    """What is refused at the door, health pages and open streams apart.

    in_flight    requests at once
    lag          seconds the event loop may be late; the page's files are let in all the same: a script that is refused
                 leaves the page blank
    standing     seconds for which it may be later than that: one late turn is no overload
    lean         share of each from which screens are answered without their optional parts
    retry_after  seconds told to those refused
    """

    in_flight: int = Field(1000, ge=1, le=1_000_000)
    lag: float = Field(0.025, gt=0, le=10)
    standing: float = Field(0.25, ge=0, le=10)
    lean: float = Field(0.6, gt=0, le=1)
    retry_after: float = Field(1.0, ge=0, le=300)


class TelemetrySettings(_Section):
    """otlp: where traces go (OTLP over HTTP), None for nowhere; sample: share of traces begun here that are recorded;
    log_level: of the JSON log on standard error."""

    otlp: Url | None = None
    sample: float = Field(1.0, ge=0, le=1)
    log_level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$")


class Settings(_Section):
    """Everything a gateway needs from outside.

    public_url  how browsers reach it; a path in it is the prefix below which a proxy has put the gateway
    host, port  where it listens for browsers and API clients; default loopback alone
    admin_host  where the admin port listens: health, metrics, the keys of internal tokens. Default loopback alone,
                whatever `host` is: a container sets it to be reached by others on its network
    admin_port  its port
    max_body    bytes of a request
    events      who may send CloudEvents to `/bff/events/<name>`
    owner_contacts  who is shown how to reach the owner of a service that failed (`contact` and `docs`): everybody,
                signed-in, or nobody
    """

    public_url: Url = "http://localhost:8000"
    host: ListenHost = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)
    admin_host: ListenHost = "127.0.0.1"
    admin_port: int = Field(8001, ge=0, le=65535)
    max_body: int = Field(65_536, ge=1_024, le=10_000_000)
    http: HttpSettings = HttpSettings()
    redis: RedisSettings = RedisSettings()
    upstreams: dict[str, UpstreamSettings] = Field(default_factory=dict)
    internal: InternalSettings | None = None
    issuers: tuple[IssuerSettings, ...] = ()
    oidc: OidcSettings | None = None
    session: SessionSettings = SessionSettings()
    limits: LimitSettings = LimitSettings()
    idempotency: IdempotencySettings = IdempotencySettings()
    live: LiveSettings = LiveSettings()
    admission: AdmissionSettings = AdmissionSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    cache: CacheSettings = CacheSettings()
    webhooks: dict[str, WebhookSettings] = Field(default_factory=dict)
    events: dict[str, EventSourceSettings] = Field(default_factory=dict)
    owner_contacts: Literal["everybody", "signed-in", "nobody"] = "everybody"

    @model_validator(mode="after")
    def _two_ports(self) -> Self:
        if self.port == self.admin_port != 0:
            raise ValueError(
                f"{PREFIX}PORT and {PREFIX}ADMIN_PORT are both {self.port}; give one of them another port"
            )
        return self

    @model_validator(mode="after")
    def _streams_end_with_their_sessions(self) -> Self:
        if self.oidc is not None and self.session.idle < self.live.age:
            raise ValueError(
                f"{PREFIX}SESSION__IDLE ({self.session.idle:g} s) must not be less than {PREFIX}LIVE__AGE "
                f"({self.live.age:g} s): a stream would outlive its session"
            )
        return self


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings; raises DeclarationError that lists every mistake by name."""
    settings: Settings = validated(Settings, os.environ if environ is None else environ)
    return settings
