"""Settings of an upstream: its address, its time limit, credentials for it, and the numbers of its policies."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator

from ...calls.call import is_header_value, is_own_header
from .fields import Section, Url
from .http import HeaderName
from .network import TlsSettings


class BreakerSettings(Section):
    """A circuit breaker for each call and address."""

    failures: int = Field(5, ge=1, le=1000)
    """Consecutive failures that open it, whatever the rate."""
    error_rate: float = Field(0.5, gt=0, le=1)
    """Share of failed calls in the window that opens it."""
    slow: float | None = Field(None, gt=0, le=60)
    """Seconds from which an answered call counts as slow; unset: nine tenths of the upstream's timeout."""
    slow_rate: float = Field(0.9, gt=0, le=1)
    """Share of slow calls in the window that opens it."""
    minimum: int = Field(10, ge=1, le=100_000)
    """Calls in the window before its rates count."""
    window: float = Field(10.0, ge=0.1, le=600)
    """Seconds of the past that the window covers."""
    open_for: float = Field(2.0, gt=0, le=300)
    """Seconds until the first probe."""
    open_at_most: float = Field(4.0, gt=0, le=3600)
    """Seconds until a probe at most; the time doubles each time it opens again. Not below `open_for`."""
    probes: int = Field(1, ge=1, le=100)
    """Probes at once while half-open, and successful ones needed to close it."""


class RetrySettings(Section):
    """Further attempts after a failure that may be temporary: of reads, and of writes with an idempotency key."""

    attempts: int = Field(3, ge=1, le=10)
    """Attempts of one call in all; 1: no retry."""
    base: float = Field(0.025, gt=0, le=10)
    """Seconds that the first retry waits at most. The bound doubles with each; a random part of it is
    waited."""
    cap: float = Field(0.25, gt=0, le=60)
    """Seconds that this bound reaches at most."""
    share: float = Field(0.2, ge=0, le=1)
    """Share of the calls active now that may be retries; hedges count, too."""
    least: int = Field(3, ge=0, le=1000)
    """Retries at once that are always allowed, in each worker."""


class BulkheadSettings(Section):
    """How many calls to one upstream run at once."""

    permits: int = Field(100, ge=1, le=10_000)
    """Calls at once to this upstream, in each worker."""
    queue: int = Field(100, ge=0, le=10_000)
    """Calls that may wait for a permit, in each worker."""
    wait: float = Field(0.1, ge=0, le=10)
    """Seconds that a call may wait for a permit."""


class BalanceSettings(Section):
    """Several addresses of one upstream."""

    urls: tuple[Url, ...] = ()
    """Further base addresses beside `url`."""
    resolve: float = Field(0.0, ge=0, le=3600)
    """Seconds after which the host of `url` is looked up in DNS again; each of its addresses becomes a
    backend. 0: connections look it up themselves."""
    file: Path | None = None
    """A file with one base address a line, which is used instead of `url` and `urls` once it can be
    read."""
    look: float = Field(1.0, ge=0.05, le=3600)
    """Seconds between two looks at the file."""
    resolver: str | None = Field(None, min_length=1)
    """What resolves the addresses: `static`, `dns` (the host of `url`), `file`, or a name of
    `Gateway(resolvers=…)`; None: `file` where a file is set, else `dns` where `resolve` is, else
    `static`."""
    how: Literal["least-pending", "round-robin"] = "least-pending"
    """How a backend is chosen: the less busy of two at random, or in turn."""
    failures: int = Field(5, ge=1, le=1000)
    """Failures in a row until a backend is left out; never more than half of them are."""
    eject_for: float = Field(10.0, gt=0, le=3600)
    """Seconds it is left out the first time; the n-th time n times as long."""
    at_most: float = Field(300.0, gt=0, le=86400)
    """Seconds it is left out at most."""


class HedgeSettings(Section):
    """A second copy of a read that takes longer than most, within the retry budget; the first answer is taken."""

    on: bool = False
    """Whether slow reads are hedged. The service must bear up to `retry.share` more reads."""
    quantile: float = Field(0.95, ge=0.5, le=0.999)
    """Share of recent answers that arrived before the moment at which the second copy is sent."""
    least: float = Field(0.005, ge=0, le=10)
    """Seconds to wait at least before the second copy is sent."""
    minimum: int = Field(50, ge=10, le=1000)
    """Answers seen before anything is hedged."""


class InternalSettings(Section):
    """Internal tokens, for upstreams with `identity` internal or both."""

    keys: Path
    """File of Ed25519 keys that `bff keys rotate` makes; the first one signs, all are published."""
    issuer: str | None = Field(None, min_length=1)
    """The `iss` of internal tokens; unset: `public_url`."""
    lifetime: float = Field(60.0, ge=5, le=60)
    """Seconds that a token is valid; a read's token is used for half of them."""
    look: float = Field(1.0, ge=0.05, le=3600)
    """Seconds between two looks at the file."""


class ConstantHeaders(Mapping[str, str]):
    """Headers whose values are secrets, each read anew, because a secret from a file may change. Shows no value."""

    def __init__(self, headers: Mapping[str, SecretStr], basic: SecretStr | None) -> None:
        self._headers = headers
        self._basic = basic
        self._names = (*headers, *(("authorization",) if basic is not None else ()))

    def __getitem__(self, name: str) -> str:
        if name == "authorization" and self._basic is not None:
            return "Basic " + base64.b64encode(self._basic.get_secret_value().encode()).decode()
        return self._headers[name].get_secret_value()

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        return f"ConstantHeaders({', '.join(self._names)})"


class UpstreamSettings(Section):
    """One service: its address, and its policies."""

    url: Url
    """Base address of the service."""
    timeout: float = Field(1.0, gt=0, le=60)
    """Seconds for one attempt."""
    connections: int = Field(100, ge=1, le=10_000)
    """Connections open at most, to each backend."""
    max_body: int = Field(2_000_000, ge=1_000, le=100_000_000)
    """Bytes of an answer at most."""
    wire: Literal["h1", "aiohttp", "httpx"] = "h1"
    """HTTP client: `h1` for http:// addresses (https:// uses `aiohttp`), `aiohttp` at several times the CPU
    time, or `httpx` at three times that of `aiohttp`."""
    identity: Literal["user", "internal", "both", "none"] = "user"
    """How the service learns who asks: by the person's access token (`user`), by an internal token
    (`internal`), by both, with the internal token in `BFF-Identity` (`both`), or not at all (`none`)."""
    audience: str | None = Field(None, min_length=1)
    """The `aud` of internal tokens; unset: the upstream's name."""
    headers: dict[HeaderName, SecretStr] = Field(default_factory=dict, max_length=20)
    """Headers of every request to the service, such as the API key of a bought one, at most 20."""
    basic: SecretStr | None = None
    """`user:password` of HTTP basic authentication; `identity` must be `none`, as both are sent in `Authorization`."""
    tls: TlsSettings | None = None
    breaker: BreakerSettings = BreakerSettings()
    retry: RetrySettings = RetrySettings()
    bulkhead: BulkheadSettings = BulkheadSettings()
    balance: BalanceSettings = BalanceSettings()
    hedge: HedgeSettings = HedgeSettings()

    @model_validator(mode="after")
    def _credentials_fit(self) -> Self:
        given = {name: secret.get_secret_value() for name, secret in self.headers.items()}
        if self.basic is not None:
            if ":" not in self.basic.get_secret_value():
                raise ValueError("basic is user:password")
            if "authorization" in given:
                raise ValueError("basic and the header authorization are two credentials; set one")
        if (self.basic is not None or "authorization" in given) and self.identity != "none":
            raise ValueError(
                "the service can get one Authorization: with basic, or with that header, set identity to none"
            )
        for name, value in given.items():
            if name != "authorization" and is_own_header(name):
                raise ValueError(f"headers: {name} is set by the gateway for each request")
            if not is_header_value(value):
                raise ValueError(f"headers: the value of {name} has characters that headers cannot have")
        return self

    @property
    def constant_headers(self) -> Mapping[str, str]:
        """The headers of every request, with the basic authentication, as they are when they are read."""
        return ConstantHeaders(self.headers, self.basic) if self.headers or self.basic else {}

    @model_validator(mode="after")
    def _tls_is_used(self) -> Self:
        plain = [url for url in (self.url, *self.balance.urls) if urlsplit(url).scheme != "https"]
        if self.tls is not None and plain:
            raise ValueError(f"tls is set, but {plain[0]} is not https://")
        return self
