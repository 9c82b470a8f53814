"""Failed authentication, counted by address: whoever asks with bad credentials without end is told to wait.

An attempt is charged before a credential is verified and given back when it verifies, so that many at once cannot all
go before the count. It refuses only what did not verify, with 429 instead of 401: whoever has a good token or session
is served from the same address, so nobody behind one NAT can lock out the others. An IPv6 network of 64 bits counts as
one address. Each gateway counts by itself, in memory, for at most `rate.CALLERS` addresses.
"""

from __future__ import annotations

import time
from collections.abc import MutableMapping
from types import TracebackType
from typing import Any, Self

from ...calls import Clock
from ...policies.rate import Bucket, LocalRates, Spent, retry_after
from ..http.networks import network_of
from ..problem import QUOTA_TYPE, Problem
from ..rate_limits import quotas_of


class FailureLimit:
    """limit: what an address may fail, in slowapi's grammar (`300/minute`); None: any number of times. clock: monotonic
    seconds. Raises DeclarationError for a limit that cannot be read."""

    def __init__(self, limit: str | None, clock: Clock = time.monotonic) -> None:
        declared = () if limit is None else quotas_of("settings limits.failures", limit)
        self._quotas = tuple(quota for _, quota in declared)
        self._rates = LocalRates()
        self._clock = clock

    def attempt(self, scope: MutableMapping[str, Any], *, refuse: bool = True) -> CredentialCheck:
        """A context in which one credential is verified. refuse: answer 429 where too many failed."""
        client = scope.get("client")
        # Without an address there is nobody to tell apart from the others.
        address = network_of(client[0]) if client else None
        buckets = [] if address is None else [Bucket(address, quota) for quota in self._quotas]
        return CredentialCheck(self, buckets, refuse)

    def charge(self, buckets: list[Bucket]) -> list[Spent]:
        return self._rates.spend(buckets, self._clock())

    def give_back(self, buckets: list[Bucket]) -> None:
        self._rates.give_back(buckets, self._clock())


class CredentialCheck:
    """verified: set it where the credential is good, or where that could not be found out."""

    __slots__ = ("_buckets", "_failures", "_refuse", "_spent", "verified")

    def __init__(self, failures: FailureLimit, buckets: list[Bucket], refuse: bool) -> None:
        self.verified = False
        self._failures = failures
        self._buckets = buckets
        self._refuse = refuse
        self._spent: list[Spent] = []

    def __enter__(self) -> Self:
        self._spent = self._failures.charge(self._buckets)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        allowed = all(one.allowed for one in self._spent)
        refused = error is None or (isinstance(error, Problem) and error.status == 401)
        if self.verified or not refused:
            # A store or an issuer that is away, or a client that left, is no failure of the credential.
            if allowed:
                self._failures.give_back(self._buckets)
        elif not allowed and self._refuse:
            raise Problem(
                429,
                "rate-limited",
                "Too many credentials from your address could not be accepted. One that is good is still served; "
                "any other has to wait.",
                type=QUOTA_TYPE,
                retry_after=retry_after(self._spent),
            ) from error
