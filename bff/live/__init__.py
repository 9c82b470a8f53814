"""Live updates: the hub and its streams, the topics it knows, and where events come in."""

from .hub import Hub
from .ingest import Ingester, Registry
from .stream import Stream
from .topics import ValueTopic

__all__ = ["Hub", "Ingester", "Registry", "Stream", "ValueTopic"]
