"""An upstream client with one wire and no policies other than those that a test sets."""

from __future__ import annotations

import time
from collections.abc import Callable

from bff.policies.breaker import BreakerRule
from bff.policies.bulkhead import BulkheadRule
from bff.policies.events import Observer, ignore
from bff.policies.retry import RetryBudget, RetryRule
from bff.transport.client import Breakers, Permits, SingleBackend, UpstreamClient
from bff.transport.wire import Wire

from .waiting import GUARD


def upstream_client(
    wire: Wire,
    *,
    failures: int = 10**9,
    open_for: float = 10.0,
    timeout: float = GUARD,
    attempts: int = 1,
    permits: BulkheadRule | None = None,
    budget: RetryBudget | None = None,
    clock: Callable[[], float] = time.monotonic,
    observe: Observer = ignore,
) -> UpstreamClient:
    """One attempt, and a breaker that counts only failures in a row, unless set otherwise."""
    rule = BreakerRule(
        failures=failures,
        minimum=10**9,
        open_for=open_for,
        open_at_most=max(4.0, open_for),
    )
    return UpstreamClient(
        SingleBackend(wire, "http://one"),
        Breakers("shelf", rule, clock, observe),
        timeout,
        RetryRule(attempts),
        Permits(permits or BulkheadRule()),
        budget or RetryBudget(),
    )
