"""Events of services becoming entries of journals and values: the meaning in `events`, one adapter for each bus."""

from .events import BadEvent, Registry
from .redis_streams import Ingester

__all__ = ["BadEvent", "Ingester", "Registry"]
