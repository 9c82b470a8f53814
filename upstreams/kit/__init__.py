"""What the demo's services have in common: declare operations, get a service. Promises one HTTP behaviour for all
of them; refuses any business word, and imports nothing of the gateway."""

from upstreams.kit.client import ServiceToken, http_client
from upstreams.kit.database import Database, is_away
from upstreams.kit.events import Event, Publisher, stream_of
from upstreams.kit.operations import Answer, Ask, Nothing
from upstreams.kit.outbox import Outbox
from upstreams.kit.problems import NOT_FOUND, Problem, Refusal
from upstreams.kit.server import run
from upstreams.kit.service import Service
from upstreams.kit.settings import ServiceSettings
from upstreams.kit.tokens import Caller, KeySet, TokenVerifier
from upstreams.kit.tracing import Hop, continued, current_hop, enter_hop

__all__ = [
    "NOT_FOUND",
    "Answer",
    "Ask",
    "Caller",
    "Database",
    "Event",
    "Hop",
    "KeySet",
    "Nothing",
    "Outbox",
    "Problem",
    "Publisher",
    "Refusal",
    "Service",
    "ServiceSettings",
    "ServiceToken",
    "TokenVerifier",
    "continued",
    "current_hop",
    "enter_hop",
    "http_client",
    "is_away",
    "run",
    "stream_of",
]
