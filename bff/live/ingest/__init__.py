"""Ingest: events of services become journal entries, values and invalidations. `events.py` interprets them; each broker
has an adapter."""

from .broker import Broker, BrokerContext, BrokerFactory, BrokerUnavailable, OnLoss, PositionStore
from .dispatcher import EventDispatcher
from .events import BadEvent, Registry
from .ingester import Ingester
from .redis_streams import RedisStreams

__all__ = [
    "BadEvent",
    "Broker",
    "BrokerContext",
    "BrokerFactory",
    "BrokerUnavailable",
    "EventDispatcher",
    "Ingester",
    "OnLoss",
    "PositionStore",
    "RedisStreams",
    "Registry",
]
