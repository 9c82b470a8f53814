"""The events that an observer of a gateway receives (`Gateway(observers=…)`): what policies did, and ends of requests.

    def observe(event: bff.events.Event) -> None:
        match event:
            case bff.events.RequestEnded(method, route, status, seconds):
                ...
            case bff.events.BreakerChanged(service, group, address, state):
                ...

Later versions add classes and fields: ignore a class that you do not know, and match fields by name or from the left.
"""

from .edge.observe.observers import Event, RequestEnded, ScreenIncomplete
from .policies.events import (
    Attempted,
    BreakerChanged,
    BulkheadFull,
    CallRejected,
    Ejected,
    Hedged,
    Readmitted,
    Retried,
    Served,
    Shed,
    SurrogatesReplaced,
)

__all__ = [
    "Attempted",
    "BreakerChanged",
    "BulkheadFull",
    "CallRejected",
    "Ejected",
    "Event",
    "Hedged",
    "Readmitted",
    "RequestEnded",
    "Retried",
    "ScreenIncomplete",
    "Served",
    "Shed",
    "SurrogatesReplaced",
]
