"""Makes the client of an upstream, with its policies, from its settings."""

from __future__ import annotations

import time
from collections.abc import Mapping

from ...calls import DeclarationError
from ...network import Network
from ...policies.breaker import BreakerRule
from ...policies.bulkhead import BulkheadRule
from ...policies.events import Observer
from ...policies.hedge import HedgeRule
from ...policies.retry import RetryBudget, RetryRule
from ...transport.backends import DynamicBackends, open_exchanges, open_wire
from ...transport.client import Breakers, Permits, UpstreamClient
from ...transport.hedging import Hedging
from ...transport.resolvers import RESOLVERS, Resolver, ResolverContext, ResolverFactory
from ..internal_tokens import InternalTokens, credentials_for
from ..settings.upstream import UpstreamSettings
from .network import target_trust

# An answer that takes this share of the attempt's time limit is slow: the next one may miss the limit.
SLOW = 0.9


def upstream_client(
    service: str,
    settings: UpstreamSettings,
    observe: Observer,
    tokens: InternalTokens | None = None,
    resolvers: Mapping[str, ResolverFactory] = RESOLVERS,
    network: Network | None = None,
) -> UpstreamClient:
    """No connection is opened before the first call. tokens: for upstreams that get internal tokens; network: None
    has the usual certificate authorities and no proxy.
    Raises DeclarationError when certificates or keys are missing, or the resolver is not known."""
    breaker, retry, bulkhead, balance = (
        settings.breaker,
        settings.retry,
        settings.bulkhead,
        settings.balance,
    )
    hedge = settings.hedge
    tls_trust = target_trust(f"BFF_UPSTREAMS__{service.upper()}", service, settings.tls)
    ways = (network or Network()).with_trust(tls_trust)
    return UpstreamClient(
        DynamicBackends(
            service,
            [settings.url, *balance.urls],
            open_wire(
                settings.wire,
                connections=settings.connections,
                max_body=settings.max_body,
                network=ways,
            ),
            open_exchanges=open_exchanges(connections=settings.connections, network=ways),
            resolver=_resolver(service, settings, resolvers),
            trust=tls_trust,
            how=balance.how,
            failures=balance.failures,
            eject_for=balance.eject_for,
            at_most=balance.at_most,
            observe=observe,
        ),
        Breakers(
            service,
            BreakerRule(
                failures=breaker.failures,
                error_rate=breaker.error_rate,
                slow_rate=breaker.slow_rate,
                slow=settings.timeout * SLOW if breaker.slow is None else breaker.slow,
                minimum=breaker.minimum,
                window=breaker.window,
                open_for=breaker.open_for,
                open_at_most=breaker.open_at_most,
                probes=breaker.probes,
            ),
            time.monotonic,
            observe,
        ),
        settings.timeout,
        RetryRule(retry.attempts, retry.base, retry.cap),
        Permits(BulkheadRule(bulkhead.permits, bulkhead.queue, bulkhead.wait)),
        RetryBudget(retry.share, retry.least),
        Hedging(HedgeRule(hedge.quantile, hedge.least, hedge.minimum), observe=observe) if hedge.on else None,
        credentials_for(service, settings, tokens),
        settings.constant_headers,
    )


def _resolver(service: str, settings: UpstreamSettings, resolvers: Mapping[str, ResolverFactory]) -> Resolver:
    balance = settings.balance
    name = balance.resolver or ("file" if balance.file else "dns" if balance.resolve else "static")
    setting = f"BFF_UPSTREAMS__{service.upper()}__BALANCE__RESOLVER"
    if name not in resolvers:
        known = ", ".join(sorted(resolvers))
        raise DeclarationError(
            f"{setting}: there is no resolver {name!r}, only {known}; hand it in with "
            f"Gateway(resolvers={{{name!r}: …}})"
        )
    urls = (settings.url, *balance.urls)
    try:
        return resolvers[name](ResolverContext(service, urls, balance.resolve, balance.file, balance.look))
    except ValueError as error:
        raise DeclarationError(f"{setting}: {error}") from error
