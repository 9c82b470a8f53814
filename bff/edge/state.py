"""What the layers of one request share: one typed object in its ASGI scope, under one key.

The connection of `bff serve` makes it; under another server the first layer that needs it does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..calls import Principal, RequestRecord

_KEY = "bff"


class Reservation(Protocol):
    """The place of an admitted request among those in flight. degraded: it is answered without optional parts."""

    degraded: bool

    def release(self) -> None:
        """The request has ended. A second call does nothing."""


@dataclass(slots=True, eq=False)
class RequestState:
    """correlation, trace_id: the request's ids, "" before it has any
    route        the declared path that answers, None while none does
    kind         screen, command or forward; other for what is built in or was not found
    record       what is learned while the function of the route runs; None where none has begun
    limit        the `RateLimit` header: what is left of each limit that the request spends; "" before that
    frontend     the name of the frontend server that sent the request, None for any other client
    principal    who was authenticated; None: nobody was
    authenticate authenticates the request before its route does; None where no middleware may ask
    reservation  admission has let the request in; None before it has decided, and if it refused
    send         the server's own `send`, for an answer that goes on after the layers have returned
    stay         what is called then, until the answer ends
    is_lost      the connection of `bff serve` was lost before the answer was complete
    on_lost      what it calls then; under another server nothing calls them
    """

    correlation: str = ""
    trace_id: str = ""
    route: str | None = None
    kind: str = "other"
    record: RequestRecord | None = None
    limit: str = ""
    frontend: str | None = None
    principal: Principal | None = None
    authenticate: Callable[[MutableMapping[str, Any]], Awaitable[Principal | None]] | None = None
    reservation: Reservation | None = None
    send: Callable[[MutableMapping[str, Any]], Awaitable[None]] | None = None
    stay: Callable[[], Awaitable[None]] | None = None
    is_lost: bool = False
    on_lost: list[Callable[[], None]] = field(default_factory=list)

    @property
    def degraded(self) -> bool:
        """The gateway has much to do: leave optional parts out."""
        return self.reservation is not None and self.reservation.degraded


def state_of(scope: MutableMapping[str, Any]) -> RequestState:
    """The state of this request; made here if it has none yet."""
    state: RequestState | None = scope.get(_KEY)
    if state is None:
        state = scope[_KEY] = RequestState()
    return state
