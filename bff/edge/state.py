"""What the layers of one request share: one typed object in its ASGI scope, under one key.

The connection of `bff serve` makes it, with `lost`; under another server the first layer that needs it does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol

from ..calls import Principal

_KEY = "bff"


class Reservation(Protocol):
    """The place of an admitted request among those in flight. degraded: it is answered without optional parts."""

    degraded: bool

    def release(self) -> None:
        """The request has ended. A second call does nothing."""


class ConnectionLost(list[Callable[[], None]]):
    """Callbacks for when a request's connection is lost before its answer is complete. is_lost: it is lost already, and
    no callback will be called any more."""

    __slots__ = ("is_lost",)

    def __init__(self) -> None:
        super().__init__()
        self.is_lost = False


class RequestState:
    """correlation, trace_id: the request's ids, "" before it has any
    route        the declared path that answers, None while none does
    principal    who was authenticated; None: nobody was
    authenticate authenticates the request before its route does; None where no middleware may ask
    reservation  admission has let the request in; None before it has decided, and if it refused
    send         the server's own `send`, for an answer that goes on after the layers have returned
    stay         what goes on then
    lost         callbacks for the loss of the client's connection; None where no server tells of it
    """

    __slots__ = (
        "authenticate",
        "correlation",
        "lost",
        "principal",
        "reservation",
        "route",
        "send",
        "stay",
        "trace_id",
    )

    def __init__(self, lost: ConnectionLost | None = None) -> None:
        self.correlation = ""
        self.trace_id = ""
        self.route: str | None = None
        self.principal: Principal | None = None
        self.authenticate: Callable[[MutableMapping[str, Any]], Awaitable[Principal | None]] | None = None
        self.reservation: Reservation | None = None
        self.send: Callable[[MutableMapping[str, Any]], Awaitable[None]] | None = None
        self.stay: Callable[[], Awaitable[None]] | None = None
        self.lost = lost

    @property
    def degraded(self) -> bool:
        """The gateway has much to do: leave optional parts out."""
        return self.reservation is not None and self.reservation.degraded


def state_of(scope: MutableMapping[str, Any]) -> RequestState:
    """The state of this request; made here if it has none yet."""
    state: RequestState | None = scope.get(_KEY)
    return begin(scope) if state is None else state


def begin(scope: MutableMapping[str, Any], lost: ConnectionLost | None = None) -> RequestState:
    """A new state for a request that begins."""
    state = scope[_KEY] = RequestState(lost)
    return state
