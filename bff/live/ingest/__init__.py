"""Events of services become journal entries and values: `events` has their meaning, and each broker its adapter."""

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
