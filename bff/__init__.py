"""bff: a backend-for-frontend gateway with live updates.

One call per screen, one click per command, one stream per browser. Write upstreams as classes whose methods return
Calls, screens and commands as async functions, and serve the Gateway with `bff serve module:gateway`.
"""

from . import events
from ._version import __version__
from .calls import (
    BYTES,
    JSON_LINES,
    OUTCOMES,
    TEXT,
    Answer,
    Bytes,
    Call,
    CircuitOpen,
    DeclarationError,
    Failed,
    Form,
    Format,
    Invalid,
    Json,
    Missing,
    Outcome,
    OutcomeTable,
    Overloaded,
    Part,
    Principal,
    Raw,
    Ready,
    Refused,
    Rejected,
    SagaStatus,
    Stale,
    Text,
    Timeout,
    Unreachable,
    Upstream,
    UpstreamError,
    optional,
    together,
)
from .edge.app.extensions import Lifespan, Middleware, RequestInfo, authenticated, request_info
from .edge.dependencies import Depends, Resource
from .edge.gateway import Gateway, GatewayStatus
from .edge.observe.observers import Observer, RequestEnded
from .edge.pages import ProblemPage
from .edge.parameters import Body, Cookie, Header, Query
from .edge.problem import Problem
from .edge.rate_limits import Limit
from .edge.reply import Download, Redirect, Reply, SetCookie
from .edge.router import Router
from .live.ingest import Broker, BrokerContext, BrokerFactory, BrokerUnavailable, PositionStore
from .stores.events import BrokerEvent
from .stores.redis.login import RedisCredentials, RedisLogin
from .transport.resolvers import BackendAddress, Resolver, ResolverContext, ResolverFactory

__all__ = [
    "BYTES",
    "JSON_LINES",
    "OUTCOMES",
    "TEXT",
    "Answer",
    "BackendAddress",
    "Body",
    "Broker",
    "BrokerContext",
    "BrokerEvent",
    "BrokerFactory",
    "BrokerUnavailable",
    "Bytes",
    "Call",
    "CircuitOpen",
    "Cookie",
    "DeclarationError",
    "Depends",
    "Download",
    "Failed",
    "Form",
    "Format",
    "Gateway",
    "GatewayStatus",
    "Header",
    "Invalid",
    "Json",
    "Lifespan",
    "Limit",
    "Middleware",
    "Missing",
    "Observer",
    "Outcome",
    "OutcomeTable",
    "Overloaded",
    "Part",
    "PositionStore",
    "Principal",
    "Problem",
    "ProblemPage",
    "Query",
    "Raw",
    "Ready",
    "Redirect",
    "RedisCredentials",
    "RedisLogin",
    "Refused",
    "Rejected",
    "Reply",
    "RequestEnded",
    "RequestInfo",
    "Resolver",
    "ResolverContext",
    "ResolverFactory",
    "Resource",
    "Router",
    "SagaStatus",
    "SetCookie",
    "Stale",
    "Text",
    "Timeout",
    "Unreachable",
    "Upstream",
    "UpstreamError",
    "__version__",
    "authenticated",
    "events",
    "optional",
    "request_info",
    "together",
]
