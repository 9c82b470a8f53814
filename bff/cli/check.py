"""`bff check`: finds mistakes that show only when a gateway and its settings are compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from urllib.parse import urlsplit

from ..calls import DeclarationError
from ..edge.access.profiles import issuer_mistakes
from ..edge.app.network import Connections, fetch_targets, target_trust
from ..edge.app.redis import redis_client
from ..edge.app.routes import no_network
from ..edge.gateway import Gateway
from ..edge.http.public_path import PublicPath
from ..edge.internal_tokens import credentials_for, open_tokens
from ..edge.rate_limits import quotas_of
from ..edge.settings import Settings
from ..edge.settings.upstream import UpstreamSettings
from ..transport.request import MAX_TOKEN
from .public_address import no_sign_in_at
from .static_analysis import Step, steps
from .target import did_you_mean

_PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")


def mistakes(gateway: Gateway, settings: Settings) -> list[str]:
    """One line for each mistake, which names the declaration or the variable to correct."""
    found: list[str] = []
    known = {upstream.owner.service: upstream for upstream in gateway.upstreams()}
    for service, upstream in known.items():
        if not upstream.owner.team or not upstream.owner.contact:
            found.append(
                f"upstream {type(upstream).__name__} names no owner, but every error names the owner"
            )
        if service not in settings.upstreams:
            found.append(
                f"upstream {type(upstream).__name__} ({upstream.owner.team}) has no address: "
                f"set BFF_UPSTREAMS__{service.upper()}__URL"
            )
    for service in settings.upstreams:
        if service not in known:
            found.append(
                f"BFF_UPSTREAMS__{service.upper()}: this gateway has no such upstream; it has "
                + (", ".join(sorted(known)) or "none")
                + did_you_mean(service, known)
            )
    found += [
        no_network(route)
        for route in gateway.all_routes
        if route.options.network and route.options.network not in settings.http.networks
    ]
    found += _below_prefix(gateway, settings)
    found += _calls(gateway)
    for service, configured in settings.upstreams.items():
        found += _limits(service, configured, _longest(gateway, service))
    found += _proofs(settings)
    found += _quotas(settings)
    found += no_sign_in(gateway, settings)
    found += issuer_mistakes(settings.issuers)
    found += _bound_tokens(settings)
    if settings.sign_ins:
        found += _unserved_hosts(settings)
        requested = {scope for oidc in settings.sign_ins.values() for scope in oidc.scopes}
        if never := required_scopes(gateway) - requested:
            found.append(
                f"no browser session can have the scope {sorted(never)[0]!r}, which routes require: "
                "sign-in does not request it (BFF_OIDC__SCOPES)"
            )
    live = settings.live
    brokers = live.stream_keys or live.nats or live.rabbitmq or live.brokers or gateway.extensions.brokers
    if gateway.sagas and not (brokers or settings.events):
        found.append(
            "no events can arrive for saga "
            f"{next(iter(gateway.sagas))!r}: set BFF_LIVE__STREAM_KEYS, for example "
            '["events:orders:{p}"]'
        )
    if settings.sign_ins:
        found += no_sign_in_at(settings.public_url)
    return found


def warnings(settings: Settings, environ: Mapping[str, str]) -> list[str]:
    """What is no mistake, but probably not what was meant."""
    named = [name for name in _PROXIES if environ.get(name) or environ.get(name.lower())]
    if not named or settings.network.proxy is not None:
        return []
    return [
        f"{named[0]} is set in the environment, and the gateway does not use it: set BFF_NETWORK__PROXY where "
        "outgoing connections need a proxy"
    ]


def required_scopes(gateway: Gateway) -> frozenset[str]:
    """The scopes that the gateway or one of its routes requires."""
    routes = (scope for route in gateway.all_routes for scope in route.requirements.scopes)
    return frozenset(routes) | gateway.requirements.scopes


def no_sign_in(gateway: Gateway, settings: Settings) -> list[str]:
    """The mistake of a gateway with private routes and no way to sign in, if it is one."""
    private = [route.path for route in gateway.all_routes if not route.public]
    if not private or settings.issuers or settings.sign_ins:
        return []
    return [
        f"nobody can sign in for {private[0]}: set BFF_ISSUERS for bearer tokens or BFF_OIDC__… for browsers"
    ]


def _bound_tokens(settings: Settings) -> Iterator[str]:
    """Upstreams that get people's own tokens though an issuer binds them to the client's key."""
    bound = next((one.issuer for one in settings.issuers if one.bound_only), None)
    for service, upstream in settings.upstreams.items():
        if bound is not None and upstream.identity in ("user", "both"):
            yield (
                f"BFF_UPSTREAMS__{service.upper()}__IDENTITY: {upstream.identity} sends tokens of {bound}, which are "
                "bound to the client's key and of no use to a service; set internal"
            )


def notes(gateway: Gateway, settings: Settings) -> list[str]:
    """What is no mistake and worth knowing, one line each."""
    if not settings.sign_ins:
        return []
    told = sorted(
        service
        for service in {upstream.owner.service for upstream in gateway.upstreams()}
        if service in settings.upstreams and settings.upstreams[service].identity in ("user", "both")
    )
    return [
        f"{', '.join(told)}: these services get each person's own access token, in a header, if it has at most "
        f"{MAX_TOKEN} characters (IDENTITY=user; with internal it stays here)"
    ] * bool(told)


def _unserved_hosts(settings: Settings) -> Iterator[str]:
    """Hosts of a provider that BFF_HTTP__HOSTS does not list, so that they are answered 421."""
    if not settings.http.hosts:
        return
    for name, oidc in settings.sign_ins.items():
        for host in oidc.hosts:
            bare = host.partition(":")[0]
            if not any(
                bare.endswith(listed[1:]) if listed.startswith("*") else bare == listed
                for listed in settings.http.hosts
            ):
                variable = f"BFF_PROVIDERS__{name.upper()}__HOSTS" if name else "BFF_OIDC__HOSTS"
                yield f"{variable}: nobody reaches {host}, because BFF_HTTP__HOSTS does not list it"


def _quotas(settings: Settings) -> Iterator[str]:
    """Rate limits of the settings that are not valid."""
    for name in ("default", "login", "failures"):
        try:
            quotas_of(f"BFF_LIMITS__{name.upper()}", getattr(settings.limits, name))
        except DeclarationError as error:
            yield str(error)


def _below_prefix(gateway: Gateway, settings: Settings) -> Iterator[str]:
    """Routes that begin with the public path. A proxy that removes the prefix would remove it from these routes,
    too."""
    path = PublicPath.of(settings.public_url)
    if not path.prefix:
        return
    page = gateway.page
    routes = [
        *(route.path for route in gateway.all_routes),
        *(page.paths if page else ()),
        *(page.folders if page else ()),
    ]
    for route in dict.fromkeys(routes):
        if path.holds(route):
            yield (
                f"{route} begins with {path.prefix}, the path in BFF_PUBLIC_URL; routes are declared without it: "
                "leave it out, or give the route another name"
            )


def _calls(gateway: Gateway) -> Iterator[str]:
    """Calls in the source of views and commands with impossible time limits, or with unsafe retries."""
    for route in gateway.routes:
        what = route.what
        # A write is retried with the key derived from the client's key. A view has no such key, and the services of a
        # command that is not safe do not honour it.
        derived = route.method != "GET" and route.safe
        for step in steps(route.function):
            name = f"{step.upstream.owner.service}.{step.name}"
            limits = [("the deadline", route.deadline)]
            limits += [(f"optional(within={seconds:g})", seconds) for seconds in step.within]
            call_limit = step.number("within")
            if call_limit is not None:
                limits.append((f"within({call_limit:g})", call_limit))
            for (outer, longest), (inner, seconds) in pairwise(limits):
                if seconds > longest:
                    yield f"{what}: {name} may take {inner}, longer than {outer} of {longest:g} s around it"
            if step.writes and not derived and "keyed" not in step.options and _retried(step):
                yield (
                    f"{what}: {name} is a {step.verb} that is retried without an idempotency key: "
                    "give it one with keyed(…), or leave out tries(…)"
                )


def _proofs(settings: Settings) -> Iterator[str]:
    """Mistakes in the address of Redis, in keys and in certificates, which are read as the gateway reads them."""
    try:
        redis_client(settings, Connections(settings.network))
    except ValueError as error:
        yield f"BFF_REDIS__URL: {error}"
    except DeclarationError as error:
        yield str(error)
    tokens = None
    try:
        tokens = open_tokens(settings.internal, settings.public_url)
    except DeclarationError as error:
        yield str(error)
    try:
        fetch_targets(settings, Connections(settings.network))
    except DeclarationError as error:
        yield str(error)
    for service, upstream in settings.upstreams.items():
        try:
            target_trust(f"BFF_UPSTREAMS__{service.upper()}", service, upstream.tls)
            if settings.internal is None or tokens is not None:
                credentials_for(service, upstream, tokens)
        except DeclarationError as error:
            yield str(error)


def _retried(step: Step) -> bool:
    times = step.number("tries")
    return "tries" in step.options and (times is None or times > 1)


def _longest(gateway: Gateway, service: str) -> float:
    """The longest deadline of the routes whose source calls this upstream; of all routes when none does."""
    named = [
        route.deadline
        for route in gateway.routes
        if any(step.upstream.owner.service == service for step in steps(route.function))
    ]
    return max(named or [route.deadline for route in gateway.routes] or [gateway.deadline])


def _limits(service: str, upstream: UpstreamSettings, deadline: float) -> Iterator[str]:
    """Time limits of an upstream that contradict each other, and a wire that cannot be used. Only settings that were
    set are compared: a default that is longer than a deadline is not a mistake, because the deadline ends it."""
    name = f"BFF_UPSTREAMS__{service.upper()}"
    if "timeout" in upstream.model_fields_set and upstream.timeout > deadline:
        yield (
            f"{name}__TIMEOUT: one attempt may take {upstream.timeout:g} s, "
            f"but no request that calls this upstream may take more than {deadline:g} s"
        )
    tls = next(
        (url for url in (upstream.url, *upstream.balance.urls) if urlsplit(url).scheme == "https"), None
    )
    if tls is not None and "wire" in upstream.model_fields_set and upstream.wire == "h1":
        yield f"{name}__WIRE: h1 has no TLS and cannot call {tls}; leave it out, or set aiohttp or httpx"
    breaker, bulkhead = upstream.breaker, upstream.bulkhead
    if breaker.slow is not None and breaker.slow > upstream.timeout:
        yield f"{name}__BREAKER__SLOW: an attempt ends after {upstream.timeout:g} s and cannot take {breaker.slow:g} s"
    if "open_at_most" in breaker.model_fields_set and breaker.open_at_most < breaker.open_for:
        yield f"{name}__BREAKER__OPEN_AT_MOST: {breaker.open_at_most:g} s is less than open_for, {breaker.open_for:g}"
    if "wait" in bulkhead.model_fields_set and bulkhead.wait > deadline:
        yield (
            f"{name}__BULKHEAD__WAIT: {bulkhead.wait:g} s is longer than any request that calls this upstream may "
            f"take, {deadline:g} s"
        )
