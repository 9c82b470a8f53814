"""Rate limits: declared in slowapi's grammar, counted by all gateways together, never silently open.

Promises an answer within 50 ms whatever Redis does: after three failures in a row it is left alone and asked in the
background, and meanwhile each gateway counts its own share of the limit. A refusal is a 429 that says when to come
back. Refuses limits it cannot read when they are declared, by the name of the route.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import time
from collections.abc import Sequence
from dataclasses import asdict

from limits import RateLimitItem, parse_many
from slowapi.errors import RateLimitExceeded
from slowapi.wrappers import Limit

from ..calls import Clock, DeclarationError
from ..policies import rate
from ..policies.rate import LocalRates, Quota, Spent
from ..stores.link import StoreUnavailable
from ..stores.rates import RateStore
from .problem import QUOTA_TYPE, Problem
from .settings import LimitSettings

log = logging.getLogger("bff.limits")

FAILURES = 3
"""Failures in a row after which Redis is left alone."""
PROBE = 0.25
"""Seconds between two probes while it is."""


def declare(route: str, text: str) -> tuple[Limit, ...]:
    """The limits a route declares, for example `"10/minute"` or `"5/second;100/hour"`.

    Raises DeclarationError naming the route.
    """
    try:
        items = parse_many(text)
    except ValueError:
        items = []
    if not items or any(item.amount < 1 or item.get_expiry() < 1 for item in items):
        raise DeclarationError(
            f"{route}: the limit {text!r} cannot be read; write it as 10/minute or 5/second;100/hour"
        )
    return tuple(
        Limit(
            limit=item,
            key_func=_nobody,
            scope=route,
            per_method=False,
            methods=None,
            error_message=None,
            exempt_when=None,
            cost=1,
            override_defaults=True,
        )
        for item in items
    )


def _nobody() -> str:
    # slowapi asks a request for its caller; here the caller is known and handed to `spend`.
    return ""


class Limits:
    """`async with limits:` (or `start`/`stop`) owns the background probe. clock: monotonic seconds."""

    def __init__(self, settings: LimitSettings, store: RateStore, clock: Clock = time.monotonic) -> None:
        self._settings = settings
        self._store = store
        self._clock = clock
        self._local = LocalRates()
        self._declared: dict[tuple[str, str], tuple[Limit, ...]] = {}
        self._row = 0
        self._away = asyncio.Event()
        self._probe: asyncio.Task[None] | None = None
        declare("settings limits.default", settings.default)
        declare("settings limits.login", settings.login)

    @property
    def local(self) -> bool:
        """True while Redis is left alone and the local share is what counts."""
        return self._away.is_set()

    async def start(self) -> None:
        """Warm the pool and begin to watch it; Redis may be away."""
        self._probe = asyncio.get_running_loop().create_task(self._watch(), name="bff-limits-probe")
        try:
            await self._store.warm()
        except StoreUnavailable as error:
            self._failed(error)

    async def stop(self) -> None:
        if self._probe is not None:
            self._probe.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._probe
        await self._store.close()

    async def __aenter__(self) -> Limits:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    async def spend(self, route: str, declared: str | None, who: str, *, times: int = 1) -> dict[str, str]:
        """Count one request of `who` (a principal's id or an address) on `route`; returns the RateLimit headers.

        declared  the route's own limit, None for the default
        times     multiplies the amounts, with counts of their own (the ceiling for replayed commands)
        Raises Problem 429 `rate-limited` with those headers and Retry-After.
        """
        limits = self._limits(route, declared or self._settings.default)
        items = [limit.limit if times == 1 else _multiplied(limit.limit, times) for limit in limits]
        place = route.replace("{", "").replace("}", "") + ("" if times == 1 else f" x{times}")
        caller = hashlib.sha256(who.encode()).hexdigest()[:32]
        spent = await self._count(items, place, caller)
        told = rate.headers(spent)
        refused = next((limit for limit, one in zip(limits, spent, strict=True) if not one.allowed), None)
        if refused is None:
            return told
        raise Problem(
            429,
            "rate-limited",
            f"The limit of this route is {refused.limit}. Come back when Retry-After is over.",
            type=QUOTA_TYPE,
            retry_after=rate.retry_after(spent),
            headers=told,
            extra={"violated-policies": [one.quota.name for one in spent if not one.allowed]},
        ) from RateLimitExceeded(refused)

    def _limits(self, route: str, text: str) -> tuple[Limit, ...]:
        # Bounded by the routes of the gateway: both come from its declaration, never from a request.
        key = (route, text)
        if key not in self._declared:
            self._declared[key] = declare(route, text)
        return self._declared[key]

    async def _count(self, items: Sequence[RateLimitItem], place: str, caller: str) -> list[Spent]:
        quotas = [_quota(item) for item in items]
        if not self.local:
            try:
                hits = await self._store.spend(items, place, caller)
            except StoreUnavailable as error:
                self._failed(error)
            else:
                self._row = 0
                return [rate.counted(quota, **asdict(hit)) for quota, hit in zip(quotas, hits, strict=True)]
        shares = [quota.share(self._settings.replicas) for quota in quotas]
        return self._local.spend(f"{place} {caller}", shares, self._clock())

    def _failed(self, error: StoreUnavailable) -> None:
        self._row += 1
        log.debug("counting locally: %s", error)
        if self._row >= FAILURES and not self.local:
            log.warning("rate limits are counted locally until Redis is back: %s", error)
            self._away.set()

    async def _watch(self) -> None:
        while True:
            await self._away.wait()
            await asyncio.sleep(PROBE)
            with contextlib.suppress(StoreUnavailable):
                await self._store.warm()
                self._row = 0
                self._away.clear()
                self._local.clear()
                log.info("rate limits are counted together again")


def _quota(item: RateLimitItem) -> Quota:
    name = item.GRANULARITY.name
    return Quota(name if item.multiples == 1 else f"{item.multiples}-{name}", item.amount, item.get_expiry())


def _multiplied(item: RateLimitItem, times: int) -> RateLimitItem:
    return type(item)(item.amount * times, item.multiples)
