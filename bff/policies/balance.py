"""Decides which of an upstream's addresses a call is sent to, and which addresses are ejected because they fail.

`round-robin` uses the addresses in turn. `least-pending` draws two at random and uses the one with fewer calls in
progress (Mitzenmacher's power of two choices: nearly as good as comparing all, and a new address does not get all calls
at once). An address that fails several times in a row is ejected, each time for longer (Envoy's outlier detection). At
most half of the addresses are ejected at a time, because when more fail the cause is not a single address. Pure: clock
and randomness are injected.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

from .events import Ejected, Observer, Readmitted, guarded, ignore

W = TypeVar("W")
Strategy = Literal["round-robin", "least-pending"]

# After an address has served for this many times the first ejection time, one earlier ejection is forgotten.
FORGIVEN_AFTER = 1.0


@dataclass(slots=True, eq=False)
class Backend(Generic[W]):
    """One address of an upstream.

    name           scheme, host and port, for events and breakers
    url            the same with the path that is put in front of each call's, for traces; "": the name
    wire           sends requests to it; not used here
    pending        calls in progress: the caller of the wire adds one before a call and subtracts it afterwards
    ejected_until  monotonic seconds, None while it is in use
    """

    name: str
    wire: W
    pending: int = 0
    ejected_until: float | None = None
    url: str = ""
    _failures_in_row: int = field(default=0, init=False, repr=False)
    _ejections: int = field(default=0, init=False, repr=False)
    _in_use_since: float = field(default=0.0, init=False, repr=False)


class Balancer(Generic[W]):
    """The addresses of one upstream.

    service    its name, for the events
    addresses  at least one, otherwise ValueError is raised
    how        `least-pending` (default) or `round-robin`
    failures   failures in a row that eject an address, default 5
    eject_for  seconds of the first ejection, default 10; the n-th lasts n times as long
    at_most    seconds of the longest ejection, default 300
    clock      monotonic seconds
    below      a random integer from 0 to its argument minus 1
    """

    def __init__(
        self,
        service: str,
        addresses: Sequence[Backend[W]],
        *,
        how: Strategy = "least-pending",
        failures: int = 5,
        eject_for: float = 10.0,
        at_most: float = 300.0,
        clock: Callable[[], float] = time.monotonic,
        below: Callable[[int], int] = random.randrange,
        observe: Observer = ignore,
    ) -> None:
        if not addresses:
            raise ValueError(f"{service}: no address")
        self.addresses: list[Backend[W]] = list(addresses)
        self._service = service
        self._round_robin = how == "round-robin"
        self._failures = failures
        self._eject_for = eject_for
        self._at_most = at_most
        self._clock = clock
        self._below = below
        self._observe = guarded(observe)
        self._next = 0
        self._ejected = 0

    @property
    def ejected(self) -> int:
        """Number of ejected addresses, counted at the last `pick`, `record_failure` or `replace`."""
        return self._ejected

    def pick(self, avoid: Backend[W] | None = None) -> Backend[W]:
        """The address for the next attempt. avoid: the address that a retry or a hedge has just tried; used only when
        there is no other."""
        if len(self.addresses) == 1:
            return self.addresses[0]
        if self._ejected:
            self._readmit_due()
        if self._ejected or avoid is not None:
            in_use = [address for address in self.addresses if address.ejected_until is None]
            choice = [address for address in in_use if address is not avoid] or in_use
        else:
            choice = self.addresses
        if len(choice) == 1:
            return choice[0]
        if self._round_robin:
            self._next = (self._next + 1) % len(self.addresses)
            # Counted over all addresses, so that an ejection does not change the turn of the others.
            for step in range(len(self.addresses)):
                address = self.addresses[(self._next + step) % len(self.addresses)]
                if address in choice:
                    self._next = (self._next + step) % len(self.addresses)
                    return address
        first = self._below(len(choice))
        second = self._below(len(choice) - 1)
        second += second >= first
        one, other = choice[first], choice[second]
        return other if other.pending < one.pending else one

    def record_success(self, address: Backend[W]) -> None:
        """It answered, with any status that is not a failure."""
        address._failures_in_row = 0

    def record_failure(self, address: Backend[W]) -> None:
        """It did not answer, or its answer says that it does not work."""
        address._failures_in_row += 1
        if (
            address._failures_in_row < self._failures
            or address.ejected_until is not None
            or address not in self.addresses
        ):
            return
        self._readmit_due()
        if (self._ejected + 1) * 2 > len(self.addresses):
            return
        now = self._clock()
        if address._ejections:
            served = now - address._in_use_since
            address._ejections -= min(address._ejections, int(served / (self._eject_for * FORGIVEN_AFTER)))
        address._ejections += 1
        address.ejected_until = now + min(self._eject_for * address._ejections, self._at_most)
        self._ejected += 1
        self._observe(Ejected(self._service, address.name, address.ejected_until))

    def replace(self, addresses: Sequence[Backend[W]]) -> list[Backend[W]]:
        """Use these addresses from now on and return the removed ones. An address that stays keeps its failures and its
        ejection. Raises ValueError for no address."""
        if not addresses:
            raise ValueError(f"{self._service}: no address")
        removed = [address for address in self.addresses if address not in addresses]
        self.addresses = list(addresses)
        ejected = sorted(
            (address for address in self.addresses if address.ejected_until is not None),
            key=lambda address: address.ejected_until or 0.0,
        )
        self._ejected = len(ejected)
        # With fewer addresses fewer may be ejected: the ejections that would end first are ended now.
        while self._ejected * 2 > len(self.addresses):
            self._readmit(ejected.pop(0))
        return removed

    def _readmit_due(self) -> None:
        now = self._clock()
        for address in self.addresses:
            if address.ejected_until is not None and address.ejected_until <= now:
                self._readmit(address)

    def _readmit(self, address: Backend[W]) -> None:
        address.ejected_until = None
        address._in_use_since = self._clock()
        # On probation: one more failure ejects it again.
        address._failures_in_row = self._failures - 1
        self._ejected -= 1
        self._observe(Readmitted(self._service, address.name))
