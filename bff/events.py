"""What an observer of a gateway is told (`Gateway(observers=…)`): everything that policies did, and request ends.

    def observe(event: bff.events.Event) -> None:
        match event:
            case bff.events.RequestEnded(method, route, status, seconds):
                ...
            case bff.events.BreakerMoved(service, group, address, state):
                ...

Later versions add classes and fields: ignore a class that you do not know, and match fields by name or from the left.
"""

from .edge.observe.observers import Event, RequestEnded, ScreenIncomplete
from .policies.events import (
    Attempted,
    BreakerMoved,
    BulkheadFull,
    Ejected,
    Hedged,
    Rejected,
    Replaced,
    Retried,
    Returned,
    Served,
    Shed,
)

__all__ = [
    "Attempted",
    "BreakerMoved",
    "BulkheadFull",
    "Ejected",
    "Event",
    "Hedged",
    "Rejected",
    "Replaced",
    "RequestEnded",
    "Retried",
    "Returned",
    "ScreenIncomplete",
    "Served",
    "Shed",
]
