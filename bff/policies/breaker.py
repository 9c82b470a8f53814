"""A circuit breaker per upstream: stop asking a service that does not answer, and let one probe find out when it does.

Closed: failures in a row are counted. Open: nothing passes until `open_for` is over. Half-open: exactly one probe
passes; its success closes the breaker, its failure opens it again. Pure: the clock is injected and nothing waits.
What counts as a failure is decided by the caller; a rejection by the gateway itself never does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

State = Literal["closed", "open", "half-open"]


@dataclass(slots=True)
class Breaker:
    """failures: in a row until it opens; open_for: seconds until a probe; clock: monotonic seconds."""

    failures: int
    open_for: float
    clock: Callable[[], float]
    state: State = "closed"
    _row: int = field(default=0, init=False)
    _until: float = field(default=0.0, init=False)
    _probing: bool = field(default=False, init=False)

    def admit(self) -> float | None:
        """None: send it, and report how it went. A number: do not, and this many seconds until a probe may pass."""
        if self.state == "closed":
            return None
        left = self._until - self.clock()
        if self.state == "open" and left > 0:
            return left
        self.state = "half-open"
        if self._probing:
            return self.open_for
        self._probing = True
        return None

    def succeeded(self) -> None:
        """The upstream answered, whatever it said."""
        self._row = 0
        self._probing = False
        self.state = "closed"

    def failed(self) -> None:
        """The upstream did not answer, or answered that it is broken."""
        self._row += 1
        self._probing = False
        if self.state == "half-open" or self._row >= self.failures:
            self.state = "open"
            self._until = self.clock() + self.open_for

    def abandoned(self) -> None:
        """The call was cancelled before it told anything; a probe's place is free again."""
        self._probing = False
