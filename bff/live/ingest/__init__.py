"""Events of services becoming entries of journals and values: the meaning in `events`, one adapter for each bus."""

from .bus import Bus, BusUnavailable
from .events import BadEvent, Registry
from .ingester import Ingester
from .intake import Intake
from .redis_streams import RedisStreams

__all__ = ["BadEvent", "Bus", "BusUnavailable", "Ingester", "Intake", "RedisStreams", "Registry"]
