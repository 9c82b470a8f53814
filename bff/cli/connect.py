"""`bff check --connect`: tries every address of a configuration from where it runs.

Every address is tried at the same time, in the way that the gateway itself would use it: with its certificates, its
proxy and its inner addresses, for a bounded time. Nothing is written anywhere, except the key with which Redis is
probed. No line holds a secret: addresses are shown without users.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from urllib.parse import urlsplit

from ..calls import BffError
from ..edge.access.fetch import FetchFailed, fetch_json
from ..edge.access.fetcher import Fetcher
from ..edge.access.issuer import Discovery
from ..edge.access.jwks import usable_keys
from ..edge.app.brokers import open_brokers
from ..edge.app.clients import resolver_of
from ..edge.app.exports import LOGS, METRICS
from ..edge.app.network import Connections, fetch_targets, identity_providers
from ..edge.app.redis import redis_client
from ..edge.gateway import Gateway
from ..edge.observe.telemetry import TRACES
from ..edge.settings import IssuerSettings, OidcSettings, Settings
from ..live.ingest import BrokerUnavailable
from ..network import Network
from ..network.probe import Fault, Probed, certificate_end, fault_of, probe_http, probe_tcp, timed_out
from ..stores.redis.address import ServerAddress
from ..stores.redis.client import RedisClient, StoreUnavailable
from ..stores.redis.health import RedisHealth
from ..stores.redis.outage import CURES
from ..transport.resolvers import RESOLVERS
from .connection_report import SECONDS, Connection

AT_ONCE = 32
"""Addresses that are tried at the same time."""
SKEW = 10.0
"""Seconds that the clock of an identity provider may differ: the default leeway for its tokens."""
SOON = timedelta(days=14)
"""A certificate that ends within this time is named."""


@dataclass(frozen=True, slots=True)
class Try:
    """One address to try. setting: the variable of the address; section: the section that has its `tls`; attempt:
    connects, and returns what it saw and notes. It raises Fault."""

    what: str
    address: str
    setting: str
    section: str
    attempt: Callable[[], Awaitable[tuple[Probed, tuple[str, ...]]]]

    async def run(self, seconds: float) -> Connection:
        try:
            async with asyncio.timeout(seconds):
                seen, notes = await self.attempt()
        except TimeoutError:
            return self._failed(timed_out(seconds))
        except Fault as fault:
            return self._failed(fault)
        until = seen.certificate_until
        if until is not None and until - datetime.now(UTC) < SOON:
            notes = (*notes, f"its certificate ends on {until:%Y-%m-%d}; renew it")
        return Connection(self.what, self.address, seen.latency, until, notes=notes)

    def _failed(self, fault: Fault) -> Connection:
        cure = fault.cure.replace("{name}", self.setting).replace("{section}", self.section)
        return Connection(self.what, self.address, fault=str(fault), cure=cure)


def connections_of(gateway: Gateway, settings: Settings, seconds: float = SECONDS) -> list[Connection]:
    """Try every address; seconds: for each. Raises DeclarationError and ValueError for settings that cannot be used,
    which `check.mistakes` reports."""
    return asyncio.run(_all(gateway, settings, seconds))


async def _all(gateway: Gateway, settings: Settings, seconds: float) -> list[Connection]:
    at_once = asyncio.Semaphore(AT_ONCE)

    async def bounded(one: Try) -> Connection:
        async with at_once:
            return await one.run(seconds)

    async with _tries(gateway, settings, seconds) as tries:
        return list(await asyncio.gather(*map(bounded, tries)))


@asynccontextmanager
async def _tries(gateway: Gateway, settings: Settings, seconds: float) -> AsyncIterator[list[Try]]:
    connections = Connections(settings.network)
    credentials = gateway.extensions.redis_credentials
    network = connections.network
    once_only = any(not command.safe for command in gateway.commands)
    fetch = Fetcher(timeout=seconds, network=network, targets=fetch_targets(settings, connections))
    async with redis_client(settings, connections, credentials) as redis:
        found = [*_redis(redis, once_only)]
        if network.proxy is not None:
            proxy = network.proxy
            found.append(
                _tcp(
                    "proxy",
                    proxy.host,
                    proxy.port,
                    "BFF_NETWORK__PROXY",
                    "BFF_NETWORK",
                    Network(network.trust),
                )
            )
        found += await _upstreams(gateway, settings, connections)
        found += _identity(settings, connections, fetch)
        found += _brokers(settings, redis, connections)
        if settings.telemetry.otlp is not None:
            found.append(_traces(settings, connections))
        for what, address, path in (
            ("metrics", settings.telemetry.otlp_metrics, METRICS),
            ("logs", settings.telemetry.otlp_logs, LOGS),
        ):
            if address is not None:
                name = f"BFF_TELEMETRY__OTLP_{what.upper()}"
                found.append(_collector(what, name, f"{address}{path}", settings, connections))
        try:
            yield found
        finally:
            await fetch.close()


def _tcp(
    what: str, host: str, port: int, setting: str, section: str, network: Network, *, tls: bool = False
) -> Try:
    async def attempt() -> tuple[Probed, tuple[str, ...]]:
        return await probe_tcp(host, port, network, tls=tls), ()

    return Try(what, _joined(host, port), setting, section, attempt)


# ---- Redis -------------------------------------------------------------------------------------------------------


def _redis(redis: RedisClient, once_only: bool) -> Iterator[Try]:
    """The client as a whole; and each of several servers, whose certificates and ways may differ."""
    servers = redis.servers

    async def attempt() -> tuple[Probed, tuple[str, ...]]:
        health = RedisHealth(redis, once_only=once_only)
        why = await health.probe_failure()
        if why in CURES:
            raise Fault(f"it refuses commands with {why}", CURES[why])
        if why is not None:
            raise _redis_fault(why, await _tcp_fault(redis.servers[0]))
        started = time.monotonic()
        try:
            await redis.ping()
            latency = time.monotonic() - started
            warnings = await health.inspect()
        except StoreUnavailable as error:
            raise _redis_fault(str(error), None) from error
        return Probed(latency, await _connected(redis.servers[0])), warnings

    yield Try("Redis", redis.outage.name, "BFF_REDIS__URL", "BFF_REDIS", attempt)
    if len(servers) > 1:
        kind = "Redis node" if redis.cluster else "Redis Sentinel"
        for server in servers:
            yield Try(
                kind,
                _joined(server.host, server.port),
                "BFF_REDIS__URL",
                "BFF_REDIS",
                partial(_server, server),
            )


async def _server(server: ServerAddress) -> tuple[Probed, tuple[str, ...]]:
    started = time.monotonic()
    try:
        until = await _connected(server)
    except OSError as error:
        raise fault_of(error) from error
    return Probed(time.monotonic() - started, until), ()


def _redis_fault(why: str, found: Fault | None) -> Fault:
    return found or Fault(f"it cannot be used: {why}", "BFF_REDIS__URL")


async def _connected(server: ServerAddress) -> datetime | None:
    """Connect as the client does, without a command; returns the end of the certificate. Raises OSError."""
    if server.path is not None:
        return None
    _, writer = await asyncio.open_connection(
        server.host,
        server.port,
        ssl=server.context,
        server_hostname=server.host if server.context else None,
    )
    try:
        return certificate_end(writer)
    finally:
        writer.transport.abort()


async def _tcp_fault(server: ServerAddress) -> Fault | None:
    """Why a server cannot be reached, where a connection alone shows that."""
    try:
        await _connected(server)
    except OSError as error:
        return fault_of(error)
    return None


# ---- upstreams ---------------------------------------------------------------------------------------------------


async def _upstreams(gateway: Gateway, settings: Settings, connections: Connections) -> list[Try]:
    found: list[Try] = []
    resolvers = {**RESOLVERS, **gateway.extensions.resolvers}
    for service, upstream in settings.upstreams.items():
        section = f"BFF_UPSTREAMS__{service.upper()}"
        ways = connections.to(section, service, upstream.tls)
        resolver = resolver_of(service, upstream, resolvers)
        urls: Iterable[tuple[str, str | None]] = [
            (url, None) for url in (upstream.url, *upstream.balance.urls)
        ]
        try:
            async with asyncio.timeout(SECONDS):
                resolved = await resolver.resolve()
            urls = [(address.url, address.at) for address in resolved] or urls
        except Exception as error:
            # A resolver of the user may raise anything.
            text = str(error) or type(error).__name__
            found.append(
                _broken(
                    f"upstream {service}", upstream.url, f"its addresses cannot be resolved: {text}", section
                )
            )
        for url, at in dict.fromkeys(urls):
            found.append(_http(f"upstream {service}", url, f"{section}__URL", section, ways, at))
    return found


def _broken(what: str, address: str, fault: str, section: str) -> Try:
    async def attempt() -> tuple[Probed, tuple[str, ...]]:
        raise Fault(fault, f"{section}__BALANCE")

    return Try(what, address, section, section, attempt)


def _http(what: str, url: str, setting: str, section: str, network: Network, at: str | None = None) -> Try:
    async def attempt() -> tuple[Probed, tuple[str, ...]]:
        seen = await probe_http(url, network, at=at)
        return seen, (
            () if seen.status is None or seen.status < 500 else (f"it answers HEAD with {seen.status}",)
        )

    return Try(what, url if at is None else f"{url} ({at})", setting, section, attempt)


# ---- identity ----------------------------------------------------------------------------------------------------


def _identity(settings: Settings, connections: Connections, fetch: Fetcher) -> Iterator[Try]:
    inner = {target.origin: target for target in fetch_targets(settings, connections)}
    for section, issuer in identity_providers(settings):
        what = "sign-in" if isinstance(issuer, OidcSettings) else "issuer"
        keys = issuer.jwks_uri if isinstance(issuer, IssuerSettings) else None
        # An issuer is any name where the address of its keys is set.
        address = keys or issuer.issuer
        origin = _origin(address)
        target = inner.get(origin)
        way = connections.network if target is None else target.network
        reached = origin if target is None else target.inner
        setting = "INTERNAL_URL" if reached != origin else "JWKS_URI" if keys else "ISSUER"

        async def attempt(
            issuer: IssuerSettings | OidcSettings = issuer,
            way: Network = way,
            reached: str = reached,
        ) -> tuple[Probed, tuple[str, ...]]:
            seen = await probe_http(reached, way)
            await _documents(issuer, fetch)
            if seen.skew is not None and abs(seen.skew) > SKEW:
                raise Fault(
                    f"its clock is {abs(seen.skew):.0f} s {'ahead of' if seen.skew > 0 else 'behind'} this one",
                    "set both clocks by NTP: tokens would be refused as too old or not valid yet",
                )
            return seen, ()

        shown = address if reached == origin else f"{address} ({reached})"
        yield Try(what, shown, f"{section}__{setting}", section, attempt)


async def _documents(issuer: IssuerSettings | OidcSettings, fetch: Fetcher) -> None:
    """The discovery document, the keys, and the token endpoint of a sign-in. Raises Fault."""
    discovery = Discovery(issuer.issuer, fetch, inner=issuer.internal_url)
    algorithms = (
        issuer.algorithms
        if isinstance(issuer, IssuerSettings)
        else IssuerSettings.model_fields["algorithms"].default
    )
    keys = issuer.jwks_uri if isinstance(issuer, IssuerSettings) else None
    try:
        if keys is None:
            await _discovered(discovery, issuer.issuer, fetch)
            keys = await discovery.endpoint("jwks_uri")
        if isinstance(issuer, OidcSettings):
            await fetch(await discovery.endpoint("token_endpoint"), method="HEAD")
        if not usable_keys(await fetch_json(fetch, keys), frozenset(algorithms)):
            raise Fault(
                f"no key at {keys} can be used", "let it publish a signing key of an accepted algorithm"
            )
    except FetchFailed as error:
        raise Fault(str(error), "{name}: correct it, or what it answers") from error
    finally:
        await discovery.close()


async def _discovered(discovery: Discovery, issuer: str, fetch: Fetcher) -> None:
    url = issuer.rstrip("/") + "/.well-known/openid-configuration"
    document = await fetch_json(fetch, url)
    named = document.get("issuer") if isinstance(document, dict) else None
    if named != issuer:
        raise Fault(
            f"its discovery document is for the issuer {str(named)[:200]!r}",
            f"{{name}}: write the issuer exactly as the provider does, or correct the provider; not {issuer!r}",
        )
    await discovery.document()


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


# ---- brokers and traces ------------------------------------------------------------------------------------------


def _brokers(settings: Settings, redis: RedisClient, connections: Connections) -> Iterator[Try]:
    addresses = {"nats": settings.live.nats, "rabbitmq": settings.live.rabbitmq}
    for broker in open_brokers(settings, redis, (), connections):
        model = addresses.get(broker.name)
        check = getattr(broker, "check", None)
        if model is None or check is None:
            continue
        section = f"BFF_LIVE__{broker.name.upper()}"
        shown = ", ".join(_without_user(one) for one in model.url.get_secret_value().split(","))

        async def attempt(
            check: Callable[[], Awaitable[datetime | None]] = check,
        ) -> tuple[Probed, tuple[str, ...]]:
            started = time.monotonic()
            try:
                until = await check()
            except BrokerUnavailable as error:
                raise _broker_fault(error) from error
            return Probed(time.monotonic() - started, until), ()

        yield Try(
            {"nats": "NATS", "rabbitmq": "RabbitMQ"}[broker.name], shown, f"{section}__URL", section, attempt
        )


def _broker_fault(error: BffError) -> Fault:
    text = str(error)
    if any(word in text.lower() for word in ("authoriz", "authenti", "access_refused", "login was refused")):
        return Fault("it refuses user and password", "{name}: correct them, or allow the user at the broker")
    cause: BaseException | None = error
    while cause is not None:
        # The libraries wrap the error of a connection in their own, which may be of its class, too.
        if isinstance(cause, OSError) and cause.__cause__ is None and not isinstance(cause, TimeoutError):
            return fault_of(cause)
        if isinstance(cause, TimeoutError):
            raise TimeoutError from error
        cause = cause.__cause__ or cause.__context__
    return Fault(text, "{name}: correct it, or what is missing at the broker")


def _traces(settings: Settings, connections: Connections) -> Try:
    telemetry = settings.telemetry
    if telemetry.protocol == "grpc":
        network = connections.to("BFF_TELEMETRY", "the collector of traces", telemetry.tls)
        parts = urlsplit(str(telemetry.otlp))
        tls = parts.scheme == "https"
        port = parts.port or (443 if tls else 80)
        # Whether it speaks gRPC, and takes the headers, shows only with the first spans.
        return _tcp(
            *("traces", parts.hostname or "", port, "BFF_TELEMETRY__OTLP", "BFF_TELEMETRY", network), tls=tls
        )
    url = f"{telemetry.otlp}{TRACES}"
    return _collector("traces", "BFF_TELEMETRY__OTLP", url, settings, connections)


def _collector(what: str, setting: str, url: str, settings: Settings, connections: Connections) -> Try:
    telemetry = settings.telemetry
    network = connections.to("BFF_TELEMETRY", f"the collector of {what}", telemetry.tls)
    headers = {name: value.get_secret_value() for name, value in telemetry.headers.items()}

    async def attempt() -> tuple[Probed, tuple[str, ...]]:
        # Nothing is a valid batch of each of them.
        seen = await probe_http(
            url, network, method="POST", headers={"content-type": "application/x-protobuf", **headers}
        )
        if seen.status in (401, 403):
            raise Fault(f"it refuses the credentials ({seen.status})", "correct BFF_TELEMETRY__HEADERS")
        if seen.status is None or not 200 <= seen.status < 300:
            raise Fault(
                f"it answers {seen.status}", "{name}: the base address of OTLP over HTTP, often port 4318"
            )
        return seen, ()

    return Try(what, url, setting, "BFF_TELEMETRY", attempt)


def _without_user(url: str) -> str:
    parts = urlsplit(url.strip())
    return f"{parts.scheme}://{_joined(parts.hostname or '', parts.port)}"


def _joined(host: str, port: int | None) -> str:
    name = f"[{host}]" if ":" in host else host
    return name if port is None else f"{name}:{port}"
