"""Settings: the only place addresses, secrets and limits come from.

Sources, the later one wins: defaults, a TOML file (named by BFF_SETTINGS), the environment. A variable is
`BFF_` and the path of the setting, its parts joined by two underscores: `BFF_UPSTREAMS__CATALOG__URL`. A value that
reads as JSON is taken as JSON. An unknown key, or a value outside its range, stops the start by name.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError

from ..calls import DeclarationError
from .settings_cache import CacheSettings, WebhookSettings

PREFIX = "BFF_"


def _address(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an http:// or https:// address")
    if parts.fragment or parts.username:
        raise ValueError("must be an address without user or fragment")
    return value


def _base_url(value: str) -> str:
    if urlsplit(_address(value)).query:
        raise ValueError("must be an address without query")
    return value.rstrip("/")


Url = Annotated[str, AfterValidator(_base_url)]
ExactUrl = Annotated[str, AfterValidator(_address)]
"""Kept to the letter: issuers are compared as strings, and some end in a slash."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class BreakerSettings(_Section):
    """A circuit breaker for each call and address.

    failures      consecutive failures that open it, whatever the rate
    error_rate    share of failed calls in the window that opens it
    slow          seconds from which an answered call is slow; None: nine tenths of the upstream's timeout
    slow_rate     share of slow calls in the window that opens it
    minimum       calls in the window before its rates mean anything
    window        seconds looked back
    open_for      seconds until the first probe is let through
    open_at_most  seconds until a probe after it has opened again and again, each time for twice as long; not below
                  open_for
    probes        calls at once while it is probed, and good ones needed to close it
    """

    failures: int = Field(5, ge=1, le=1000)
    error_rate: float = Field(0.5, gt=0, le=1)
    slow: float | None = Field(None, gt=0, le=60)
    slow_rate: float = Field(0.9, gt=0, le=1)
    minimum: int = Field(10, ge=1, le=100_000)
    window: float = Field(10.0, ge=0.1, le=600)
    open_for: float = Field(2.0, gt=0, le=300)
    open_at_most: float = Field(4.0, gt=0, le=3600)
    probes: int = Field(1, ge=1, le=100)


class RetrySettings(_Section):
    """Attempts after a failure that may pass: of reads and of writes under an idempotency key, never of others.

    attempts  of one call in all; 1: no retry
    base      seconds the first retry waits at most; the bound doubles with each, a random part of it is waited
    cap       that bound at most
    share     of the calls active now that may be retries (hedges count, too)
    least     retries at once that are always allowed
    """

    attempts: int = Field(3, ge=1, le=10)
    base: float = Field(0.025, gt=0, le=10)
    cap: float = Field(0.25, gt=0, le=60)
    share: float = Field(0.2, ge=0, le=1)
    least: int = Field(3, ge=0, le=1000)


class BulkheadSettings(_Section):
    """permits: calls at once to this upstream; queue: callers waiting for one at most; wait: seconds one of them
    waits at most."""

    permits: int = Field(100, ge=1, le=10_000)
    queue: int = Field(100, ge=0, le=10_000)
    wait: float = Field(0.1, ge=0, le=10)


class BalanceSettings(_Section):
    """Several addresses of one upstream.

    urls       more base addresses beside `url`
    resolve    seconds after which the host of `url` is looked up in DNS again, each of its addresses being one here;
               0: not at all, a connection that is opened asks by itself
    file       a file with one base address a line, which wins over `url` and `urls` once it can be read
    look       seconds between two looks at the file
    how        `least-pending` (of two at random) or `round-robin`
    failures   in a row until an address is left out (never more than half of them are)
    eject_for  seconds it is left out the first time, the n-th time n times as long
    at_most    seconds it is left out at most
    """

    urls: tuple[Url, ...] = ()
    resolve: float = Field(0.0, ge=0, le=3600)
    file: Path | None = None
    look: float = Field(1.0, ge=0.05, le=3600)
    how: Literal["least-pending", "round-robin"] = "least-pending"
    failures: int = Field(5, ge=1, le=1000)
    eject_for: float = Field(10.0, gt=0, le=3600)
    at_most: float = Field(300.0, gt=0, le=86400)


class UpstreamSettings(_Section):
    """url: base address; timeout: seconds for one attempt; connections: open at most, to each of its addresses;
    max_body: bytes of an answer; wire: `aiohttp`, or `httpx` which costs three times the CPU time."""

    url: Url
    timeout: float = Field(1.0, gt=0, le=60)
    connections: int = Field(100, ge=1, le=10_000)
    max_body: int = Field(2_000_000, ge=1_000, le=100_000_000)
    wire: Literal["aiohttp", "httpx"] = "aiohttp"
    breaker: BreakerSettings = BreakerSettings()
    retry: RetrySettings = RetrySettings()
    bulkhead: BulkheadSettings = BulkheadSettings()
    balance: BalanceSettings = BalanceSettings()


class RedisSettings(_Section):
    """url: redis:// or rediss://; timeout: seconds one command may take; connections: open at most."""

    url: str = "redis://127.0.0.1:6379/0"
    timeout: float = Field(0.5, gt=0, le=10)
    connections: int = Field(32, ge=1, le=1000)


class IssuerSettings(_Section):
    """A token issuer this gateway trusts.

    issuer      exact `iss`
    audience    required `aud`
    algorithms  the only ones accepted from it
    jwks_uri    where its keys are; None: asked of its discovery document
    leeway      seconds of clock difference allowed
    """

    issuer: str = Field(min_length=1)
    audience: str = Field(min_length=1)
    algorithms: tuple[str, ...] = ("ES256", "RS256", "EdDSA")
    jwks_uri: ExactUrl | None = None
    leeway: float = Field(10.0, ge=0, le=30)


class OidcSettings(_Section):
    """Browser sign-in: the provider and this gateway's confidential client there."""

    issuer: ExactUrl
    client_id: str = Field(min_length=1)
    client_secret: SecretStr
    scopes: tuple[str, ...] = ("openid", "profile", "offline_access")


class SessionSettings(_Section):
    """lifetime: seconds from sign-in to the end; idle: seconds without a request; remembered: seconds a session is
    kept in-process while Redis is away."""

    lifetime: float = Field(8 * 3600, ge=60, le=30 * 86400)
    idle: float = Field(3600, ge=60, le=30 * 86400)
    remembered: float = Field(60, ge=0, le=300)


class LimitSettings(_Section):
    """Rate limits in slowapi's grammar: `default` for every route without its own, `login` for sign-in routes,
    `replicas` the number of gateways sharing the limits (divides the local share while Redis is away)."""

    default: str = "600/minute"
    login: str = "30/minute"
    replicas: int = Field(1, ge=1, le=1000)


class IdempotencySettings(_Section):
    """keep: seconds an outcome can be replayed; lease: seconds a claim holds without a heartbeat; max_body: bytes of a
    stored answer."""

    keep: float = Field(24 * 3600, ge=60, le=7 * 86400)
    lease: float = Field(10.0, ge=1, le=300)
    max_body: int = Field(262_144, ge=1_024, le=4_194_304)


class LiveSettings(_Section):
    """beat: seconds between beats; age: seconds a stream lives at most (ended at a random 80–100 % of it); queue:
    events a slow stream may have waiting; history: events kept in a journal; keep: seconds an ended saga stays in
    the snapshot; streams: open per principal and process; values: topics one stream may ask for; stream_keys: where
    services publish, `{p}` is the partition; partitions: how many of each."""

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


class AdmissionSettings(_Section):
    """What is refused at the door, health pages and open streams apart.

    in_flight    requests at once
    lag          seconds the event loop may be late
    lean         share of either from which screens are answered without their optional parts
    retry_after  seconds told to those refused
    """

    in_flight: int = Field(1000, ge=1, le=1_000_000)
    lag: float = Field(0.025, gt=0, le=10)
    lean: float = Field(0.6, gt=0, le=1)
    retry_after: float = Field(1.0, ge=0, le=300)


class TelemetrySettings(_Section):
    """otlp: where traces go (OTLP over HTTP), None for nowhere; sample: share of traces begun here that are recorded;
    log_level: of the JSON log on standard error."""

    otlp: Url | None = None
    sample: float = Field(1.0, ge=0, le=1)
    log_level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$")


class Settings(_Section):
    """Everything a gateway needs from outside. public_url: how browsers reach it; max_body: bytes of a request."""

    public_url: Url = "http://localhost:8000"
    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)
    admin_port: int = Field(8001, ge=0, le=65535)
    max_body: int = Field(65_536, ge=1_024, le=10_000_000)
    redis: RedisSettings = RedisSettings()
    upstreams: dict[str, UpstreamSettings] = Field(default_factory=dict)
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


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings; raises DeclarationError that lists every mistake by name."""
    environ = os.environ if environ is None else environ
    tree: dict[str, Any] = {}
    path = environ.get(f"{PREFIX}SETTINGS")
    if path:
        try:
            tree = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise DeclarationError(f"BFF_SETTINGS={path}: {error.strerror}") from None
        except tomllib.TOMLDecodeError as error:
            raise DeclarationError(f"BFF_SETTINGS={path}: not TOML: {error}") from None
    for name, value in environ.items():
        if name.startswith(PREFIX) and name != f"{PREFIX}SETTINGS":
            _put(tree, name, value)
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        raise DeclarationError("settings:\n" + "\n".join(_mistakes(error))) from None


def _put(tree: dict[str, Any], name: str, value: str) -> None:
    *sections, leaf = name.removeprefix(PREFIX).lower().split("__")
    place = tree
    for section in sections:
        inner = place.setdefault(section, {})
        if not isinstance(inner, dict):
            raise DeclarationError(f"settings:\n  {name}: {section} is a value, not a section")
        place = inner
    place[leaf] = _value(value)


def _value(text: str) -> Any:
    if text[:1] in ("[", "{"):
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def _mistakes(error: ValidationError) -> list[str]:
    lines = []
    for one in error.errors(include_input=False, include_url=False):
        name = PREFIX + "__".join(str(part).upper() for part in one["loc"])
        why = "is not a known setting" if one["type"] == "extra_forbidden" else one["msg"]
        lines.append(f"  {name}: {why}")
    return lines
