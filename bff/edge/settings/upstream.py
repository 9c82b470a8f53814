"""Settings of an upstream: where it is, how long it may take, what proves us and our callers to it, and the numbers of
the policies before it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator

from .address import Url


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
    resolver   what resolves the addresses: `static`, `dns` (the host of `url`), `file`, or a name of
               `Gateway(resolvers=…)`; None: `file` where a file is set, else `dns` where `resolve` is, else `static`
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
    resolver: str | None = Field(None, min_length=1)
    how: Literal["least-pending", "round-robin"] = "least-pending"
    failures: int = Field(5, ge=1, le=1000)
    eject_for: float = Field(10.0, gt=0, le=3600)
    at_most: float = Field(300.0, gt=0, le=86400)


class HedgeSettings(_Section):
    """A second copy of a read that takes longer than most, within the retry budget; the first answer is taken.

    on        default no: a service must be able to bear up to `share` (see retry) more reads
    quantile  share of the last answers that came sooner than the moment at which the second is sent
    least     seconds that are waited in any case
    minimum   answers seen before anything is hedged
    """

    on: bool = False
    quantile: float = Field(0.95, ge=0.5, le=0.999)
    least: float = Field(0.005, ge=0, le=10)
    minimum: int = Field(50, ge=10, le=1000)


class TlsSettings(_Section):
    """TLS with an upstream; files are PEM and are read again when they change, for connections opened from then on.

    cert  our certificate with what stands above it; None: we show none
    key   its key, unencrypted; with `cert` or not at all
    ca    the only authorities believed; None: the usual ones
    look  seconds between two looks at the files
    """

    cert: Path | None = None
    key: Path | None = None
    ca: Path | None = None
    look: float = Field(1.0, ge=0.05, le=3600)

    @model_validator(mode="after")
    def _a_pair(self) -> Self:
        if (self.cert is None) != (self.key is None):
            raise ValueError("cert and key go together")
        return self


class InternalSettings(_Section):
    """Internal tokens, for upstreams with `identity` internal or both.

    keys      file of Ed25519 keys that `bff keys rotate` makes; the first signs, all are published
    issuer    their `iss`; None: public_url
    lifetime  seconds a token is good for; a read's is used for half of them
    look      seconds between two looks at the file
    """

    keys: Path
    issuer: str | None = Field(None, min_length=1)
    lifetime: float = Field(60.0, ge=5, le=60)
    look: float = Field(1.0, ge=0.05, le=3600)


class UpstreamSettings(_Section):
    """url: base address; timeout: seconds for one attempt; connections: open at most, to each of its addresses;
    max_body: bytes of an answer; wire: `h1` for http:// addresses (an https:// address is then called by `aiohttp`, of
    itself), `aiohttp` which costs several times the CPU time, or `httpx` which costs three times that of `aiohttp`;
    identity: what says who asks, the person's own access token (`user`), an internal token (`internal`), that one in
    `BFF-Identity` next to the person's (`both`), or nothing (`none`); audience: `aud` of internal tokens, None: the
    upstream's name."""

    url: Url
    timeout: float = Field(1.0, gt=0, le=60)
    connections: int = Field(100, ge=1, le=10_000)
    max_body: int = Field(2_000_000, ge=1_000, le=100_000_000)
    wire: Literal["h1", "aiohttp", "httpx"] = "h1"
    identity: Literal["user", "internal", "both", "none"] = "user"
    audience: str | None = Field(None, min_length=1)
    tls: TlsSettings | None = None
    breaker: BreakerSettings = BreakerSettings()
    retry: RetrySettings = RetrySettings()
    bulkhead: BulkheadSettings = BulkheadSettings()
    balance: BalanceSettings = BalanceSettings()
    hedge: HedgeSettings = HedgeSettings()

    @model_validator(mode="after")
    def _tls_is_used(self) -> Self:
        plain = [url for url in (self.url, *self.balance.urls) if urlsplit(url).scheme != "https"]
        if self.tls is not None and plain:
            raise ValueError(f"tls is set, but {plain[0]} is not https://")
        return self
