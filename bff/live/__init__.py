"""Live updates: the hub and its streams, the values that a gateway declares, and the ingest of events."""

from .hub import Hub
from .ingest import Ingester, Registry
from .stream import Stream
from .topics import ValueTopic

__all__ = ["Hub", "Ingester", "Registry", "Stream", "ValueTopic"]
