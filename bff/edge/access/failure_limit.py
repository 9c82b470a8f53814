"""Limits failed authentication by address: a client that keeps sending invalid credentials is told to wait.

An attempt is counted before a credential is verified and taken back when it verifies, so that many at once cannot all
pass before they are counted. Only invalid credentials are refused, with 429 instead of 401. A valid token or session is
served from the same address, so nobody behind one NAT can lock out the others. An IPv6 network of 64 bits counts as one
address. Each gateway counts by itself, in memory, for at most `rate.CALLERS` addresses.
"""

from __future__ import annotations

import time
from collections.abc import MutableMapping
from types import TracebackType
from typing import Any, Self

from ...calls import Clock
from ...policies.rate import Bucket, BucketState, LocalRates, retry_after
from ..http.networks import network_of
from ..problem import QUOTA_TYPE, Problem
from ..rate_limits import quotas_of


class FailureLimit:
    """limit: failures of one address, in slowapi's grammar (`300/minute`); None: any number. clock: monotonic seconds.
    Raises DeclarationError for a limit that cannot be read."""

    def __init__(self, limit: str | None, clock: Clock = time.monotonic) -> None:
        declared = () if limit is None else quotas_of("settings limits.failures", limit)
        self._quotas = tuple(quota for _, quota in declared)
        self._rates = LocalRates()
        self._clock = clock

    def check(self, scope: MutableMapping[str, Any], *, refuse: bool = True) -> CredentialCheck:
        """A context in which one credential is verified. refuse: answer 429 after too many failures."""
        client = scope.get("client")
        # A request without an address cannot be told apart from others: it is not counted.
        address = network_of(client[0]) if client else None
        buckets = [] if address is None else [Bucket(address, quota) for quota in self._quotas]
        return CredentialCheck(self._rates, self._clock, buckets, refuse)


class CredentialCheck:
    """verified: set it where the credential is valid, or where that could not be found out."""

    __slots__ = ("_buckets", "_clock", "_rates", "_refuse", "_spent", "verified")

    def __init__(self, rates: LocalRates, clock: Clock, buckets: list[Bucket], refuse: bool) -> None:
        self.verified = False
        self._rates = rates
        self._clock = clock
        self._buckets = buckets
        self._refuse = refuse
        self._spent: list[BucketState] = []

    def __enter__(self) -> Self:
        self._spent = self._rates.spend(self._buckets, self._clock())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        allowed = all(one.allowed for one in self._spent)
        invalid = error is None or (isinstance(error, Problem) and error.status == 401)
        if self.verified or not invalid:
            # A store or an issuer that is away, or a client that disconnected, is no failure of the credential.
            if allowed:
                self._rates.give_back(self._buckets, self._clock())
        elif not allowed and self._refuse:
            raise Problem(
                429,
                "rate-limited",
                "Too many invalid credentials came from your address. A valid one is still served; any other has to "
                "wait.",
                type=QUOTA_TYPE,
                retry_after=retry_after(self._spent),
            ) from error
