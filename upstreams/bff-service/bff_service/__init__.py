"""What a service behind a bff gateway needs, for FastAPI: callers, idempotent endpoints, problems, an outbox, events.

Imports nothing of the gateway: all that the two share is the contract (docs/contract.md, "What services see").
"""

from bff_service.callers import Authenticated, Mutation, Owner, Person, RequireScope
from bff_service.client import ServiceToken, http_client
from bff_service.database import Database, is_away
from bff_service.events import Event, EventSource, StreamPublisher, rfc3339, stream_of
from bff_service.idempotency import IdempotencyKeys, IdempotentRequest, Once, RequestKey, RequestKeyed
from bff_service.internal import GatewayKeys, InternalVerifier, gateway_verifier
from bff_service.logs import configure_logs
from bff_service.middleware import RequestContext
from bff_service.otlp import configure_traces
from bff_service.outbox import Delivery, DeliveryFailed, Message, Outbox
from bff_service.parts import Reading, add_health, running, use
from bff_service.problems import NOT_FOUND, Problem, Refusal, Text, refusals
from bff_service.redis import redis_client
from bff_service.tokens import Caller, KeySet, TokenVerifier
from bff_service.tracing import TraceContext, current_trace, set_trace, span

__all__ = [
    "NOT_FOUND",
    "Authenticated",
    "Caller",
    "Database",
    "Delivery",
    "DeliveryFailed",
    "Event",
    "EventSource",
    "GatewayKeys",
    "IdempotencyKeys",
    "IdempotentRequest",
    "InternalVerifier",
    "KeySet",
    "Message",
    "Mutation",
    "Once",
    "Outbox",
    "Owner",
    "Person",
    "Problem",
    "Reading",
    "Refusal",
    "RequestContext",
    "RequestKey",
    "RequestKeyed",
    "RequireScope",
    "ServiceToken",
    "StreamPublisher",
    "Text",
    "TokenVerifier",
    "TraceContext",
    "add_health",
    "configure_logs",
    "configure_traces",
    "current_trace",
    "gateway_verifier",
    "http_client",
    "is_away",
    "redis_client",
    "refusals",
    "rfc3339",
    "running",
    "set_trace",
    "span",
    "stream_of",
    "use",
]
