"""What the layers of one request tell each other: one object in its ASGI scope, under one key.

The connection of `bff serve` makes it, with `lost`; under another server the first layer that needs it does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

_KEY = "bff"


class Lost(list[Callable[[], None]]):
    """What is called when a request's connection is lost before its answer is whole. gone: it is lost already, and
    nobody will be told any more."""

    __slots__ = ("gone",)

    def __init__(self) -> None:
        super().__init__()
        self.gone = False


class RequestState:
    """correlation, trace_id: the request's ids, "" before it has any
    route      the declared path that answers, None while none does
    signed_in  somebody was authenticated
    degraded   optional parts are left out, for the gateway has much to do
    send       the server's own `send`, for an answer that goes on when the layers have returned
    stay       what goes on then
    lost       told when the client's connection is lost; None where no server tells
    """

    __slots__ = ("correlation", "degraded", "lost", "route", "send", "signed_in", "stay", "trace_id")

    def __init__(self, lost: Lost | None = None) -> None:
        self.correlation = ""
        self.trace_id = ""
        self.route: str | None = None
        self.signed_in = False
        self.degraded = False
        self.send: Callable[[MutableMapping[str, Any]], Awaitable[None]] | None = None
        self.stay: Callable[[], Awaitable[None]] | None = None
        self.lost = lost


def state_of(scope: MutableMapping[str, Any]) -> RequestState:
    """The request's; made where it has none yet."""
    state: RequestState | None = scope.get(_KEY)
    return begin(scope) if state is None else state


def begin(scope: MutableMapping[str, Any], lost: Lost | None = None) -> RequestState:
    """A new one for a request that begins."""
    state = scope[_KEY] = RequestState(lost)
    return state
