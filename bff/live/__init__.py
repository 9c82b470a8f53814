"""Live updates: the hub and its streams, the values a gateway declares, and how events arrive."""

from .hub import Hub
from .ingest import Ingester, Registry
from .stream import Stream
from .topics import ValueTopic

__all__ = ["Hub", "Ingester", "Registry", "Stream", "ValueTopic"]
