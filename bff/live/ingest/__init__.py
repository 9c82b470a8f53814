"""Events of services becoming entries of journals and values: the meaning in `events`, one adapter for each bus."""

from .broker import Broker, BrokerUnavailable
from .dispatcher import EventDispatcher
from .events import BadEvent, Registry
from .ingester import Ingester
from .redis_streams import RedisStreams

__all__ = [
    "BadEvent",
    "Broker",
    "BrokerUnavailable",
    "EventDispatcher",
    "Ingester",
    "RedisStreams",
    "Registry",
]
