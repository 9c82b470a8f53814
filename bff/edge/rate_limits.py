"""Rate limits: as routes declare them, in slowapi's grammar (`10/minute`, `5/second;100/hour`), and the limiter that
counts requests for all gateways together, by principal, client, address and tenant.

A limit that cannot be read is refused with the name of its route. The limiter answers within 50 ms whatever Redis does:
while Redis is away no request waits for it, each gateway counts its own share of the limit, and a route declared costly
answers 503. A refusal is a 429 that says when to come back.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

from limits import RateLimitItem
from slowapi.wrappers import LimitGroup
from starlette.types import Scope

from ..calls import Clock, DeclarationError, Principal
from ..policies import rate
from ..policies.rate import Bucket, BucketState, LocalRates, Quota
from ..stores.rates import RateStore, rate_key, rate_tag
from ..stores.redis.client import StoreUnavailable
from .http.networks import network_of
from .problem import QUOTA_TYPE, Problem
from .settings import LimitSettings

log = logging.getLogger("bff.limits")


@dataclass(frozen=True, slots=True)
class Limit:
    """What a view or command allows, `Limit("10/minute", tenant="1000/hour")`. A request that exceeds one of the limits
    is counted in none of them.

    principal  to each person signed in, else to each address; None: the default limit of the settings
    client     to each OAuth client (claim `client_id`)
    address    to each address, also of people who are signed in; an IPv6 network of 64 bits counts as one
    tenant     to each tenant (the claim that `limits.tenant_claim` names)
    costly     True: while Redis is away the answer is 503, instead of this gateway's share of the limit
    """

    principal: str | None = None
    client: str | None = None
    address: str | None = None
    tenant: str | None = None
    costly: bool = False

    def __str__(self) -> str:
        parts = [self.principal or "default"]
        parts += [f"{text} by {by}" for by, text in self.by() if text is not None and by != "principal"]
        return "; ".join(parts + ["costly"] * self.costly)

    def by(self) -> Iterator[tuple[str, str | None]]:
        """Each kind of identity, and what it is allowed."""
        return ((kind.name, getattr(self, kind.name)) for kind in fields(self) if kind.name != "costly")


def limit_of(given: str | Limit | None) -> Limit:
    """A text is a limit for each principal."""
    return given if isinstance(given, Limit) else Limit(given)


def quotas_of(route: str, given: str | Limit) -> tuple[tuple[str, Quota], ...]:
    """The kinds of identity that a limit counts, and their quotas. Raises DeclarationError naming the route."""
    return tuple(
        (by, _quota(by, item))
        for by, text in limit_of(given).by()
        if text is not None
        for item in _items(route, text)
    )


def _items(route: str, text: str) -> list[RateLimitItem]:
    group = LimitGroup(text, str, route, False, None, None, None, 1, True)
    try:
        items = [parsed.limit for parsed in group]
    except ValueError:
        items = []
    if not items or any(item.amount < 1 or item.get_expiry() < 1 for item in items):
        raise DeclarationError(
            f"{route}: the limit {text!r} cannot be read; write it as 10/minute or 5/second;100/hour"
        )
    return items


def _quota(by: str, item: RateLimitItem) -> Quota:
    name = item.GRANULARITY.name
    if item.multiples > 1:
        name = f"{item.multiples}-{name}"
    return Quota(name if by == "principal" else f"{by}-{name}", item.amount, item.get_expiry())


@dataclass(frozen=True, slots=True)
class Caller:
    """The identities whose quotas a request spends; None where it has none of a kind. tier: a name of the settings."""

    address: str
    principal: str | None = None
    client: str | None = None
    tenant: str | None = None
    tier: str | None = None

    def counted(self, by: str) -> tuple[str, str] | None:
        """The kind of identity that is counted, and its value. Without a principal the address is counted."""
        if by == "principal" and self.principal is None:
            by = "address"
        value: str | None = getattr(self, by)
        return None if value is None else (by, value)


Counted = tuple[str, Quota, str]
"""By what, how much, and the hash its keys end with."""


class RateLimiter:
    """clock: monotonic seconds."""

    def __init__(self, settings: LimitSettings, store: RateStore, clock: Clock = time.monotonic) -> None:
        self._settings = settings
        self._store = store
        self._clock = clock
        self._local_rates = LocalRates()
        self._is_local = False
        self._declared: dict[tuple[str, str | Limit | None, int, str | None], tuple[Counted, ...]] = {}
        quotas_of("settings limits.default", settings.default)
        quotas_of("settings limits.login", settings.login)

    @property
    def local(self) -> bool:
        """True while Redis is away and this gateway counts its own share."""
        return self._store.away

    def caller(self, scope: Scope, principal: Principal | None) -> Caller:
        """The identities whose quotas a request spends."""
        client = scope.get("client")
        address = network_of(client[0]) if client else "unknown"
        if principal is None:
            return Caller(address)
        names = ("client_id", self._settings.tenant_claim, self._settings.tier_claim)
        claims = [principal.claims.get(name) for name in names]
        texts = [claim if isinstance(claim, str) and claim else None for claim in claims]
        return Caller(address, principal.id, *texts)

    def buckets(
        self, route: str, declared: str | Limit | None, caller: Caller, *, times: int = 1, cost: int = 1
    ) -> list[Bucket]:
        """The buckets that a request of this caller on `route` spends.

        declared  the route's own limit, None for the default
        times     multiplies the amounts, with separate buckets (the ceiling for replayed commands)
        cost      as how many requests it counts
        """
        # An unknown tier is no tier, so that the routes and tiers there are bound this dictionary.
        tier = caller.tier if caller.tier in self._settings.tiers else None
        declaration = (route, declared, times, tier)
        known = self._declared.get(declaration)
        if known is None:
            known = self._declared[declaration] = self._read(*declaration)
        return [
            Bucket(rate_key(rate_tag(*counted), name), quota, cost)
            for by, quota, name in known
            if (counted := caller.counted(by)) is not None
        ]

    def _read(
        self, route: str, declared: str | Limit | None, times: int, tier: str | None
    ) -> tuple[Counted, ...]:
        limit = limit_of(declared)
        if limit.principal is None:
            limit = Limit(self._settings.default, limit.client, limit.address, limit.tenant, limit.costly)
        read = []
        for by, quota in quotas_of(route, limit):
            factor = times * (1.0 if tier is None or by == "address" else self._settings.tiers[tier])
            quota = Quota(quota.name, max(1, int(quota.amount * factor)), quota.seconds)
            name = hashlib.sha256(f"{route} {times} {quota}".encode()).hexdigest()[:16]
            read.append((by, quota, name))
        return tuple(read)

    async def spend(
        self, route: str, declared: str | Limit | None, caller: Caller, *, times: int = 1, cost: int = 1
    ) -> dict[str, str]:
        """Count one request; returns the RateLimit headers. See `buckets`.

        Raises Problem 429 `rate-limited` with those headers and Retry-After; 503 where a costly route cannot be
        counted.
        """
        buckets = self.buckets(route, declared, caller, times=times, cost=cost)
        try:
            spent = await self._store.spend(buckets)
        except StoreUnavailable as error:
            if limit_of(declared).costly:
                raise
            spent = self._spend_locally(buckets, error)
        else:
            if self._is_local:
                self._is_local = False
                self._local_rates.clear()
                log.info("rate limits are counted together again")
        return self.headers_for(spent)

    def headers_for(self, spent: Sequence[BucketState]) -> dict[str, str]:
        """The RateLimit headers of what was spent. Raises Problem 429 if something was refused."""
        headers = rate.headers(spent)
        refused = [bucket.quota for bucket in spent if not bucket.allowed]
        if not refused:
            return headers
        limits = " and ".join(f"{quota.amount} in {quota.seconds} s ({quota.name})" for quota in refused)
        raise Problem(
            429,
            "rate-limited",
            f"The limit of this route is {limits}. Try again after Retry-After.",
            type=QUOTA_TYPE,
            retry_after=rate.retry_after(spent),
            headers=headers,
            extra={"violated-policies": [quota.name for quota in refused]},
        )

    def _spend_locally(self, buckets: Sequence[Bucket], error: StoreUnavailable) -> list[BucketState]:
        if not self._is_local and self.local:
            self._is_local = True
            log.info("rate limits are counted locally until Redis is back: %s", error)
        replicas = self._settings.replicas
        shares = [Bucket(bucket.key, bucket.quota.share(replicas), bucket.cost) for bucket in buckets]
        return self._local_rates.spend(shares, self._clock())
