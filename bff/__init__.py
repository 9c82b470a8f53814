"""bff: a backend-for-frontend gateway with live updates.

One call per screen, one click per command, one stream per browser. Write upstreams as classes whose methods return
Calls, screens and commands as async functions, and serve the Gateway with `bff serve module:gateway`.

A name's module is imported when the name is first used (PEP 562): a program that needs no gateway, such as `bff new` or
a module with Upstreams, starts without one.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from ._version import __version__

if TYPE_CHECKING:
    from . import events
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
    from .edge.page import BROWSER_CLIENT
    from .edge.pages import ProblemPage
    from .edge.parameters import Body, Cookie, Header, Query
    from .edge.problem import Problem
    from .edge.rate_limits import Limit
    from .edge.reply import Download, Redirect, Reply, SetCookie
    from .edge.router import Router
    from .edge.slos import Slo, answered, complete, confirmed
    from .live.ingest import Broker, BrokerContext, BrokerFactory, BrokerUnavailable, PositionStore
    from .stores.events import BrokerEvent
    from .stores.redis.login import RedisCredentials, RedisLogin
    from .transport.resolvers import BackendAddress, Resolver, ResolverContext, ResolverFactory

__all__ = [
    "BROWSER_CLIENT",
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
    "Slo",
    "Stale",
    "Text",
    "Timeout",
    "Unreachable",
    "Upstream",
    "UpstreamError",
    "__version__",
    "answered",
    "authenticated",
    "complete",
    "confirmed",
    "events",
    "optional",
    "request_info",
    "together",
]

# Where the names are that are not in `calls`.
_MODULES = {
    ".edge.app.extensions": ("Lifespan", "Middleware", "RequestInfo", "authenticated", "request_info"),
    ".edge.dependencies": ("Depends", "Resource"),
    ".edge.gateway": ("Gateway", "GatewayStatus"),
    ".edge.observe.observers": ("Observer", "RequestEnded"),
    ".edge.page": ("BROWSER_CLIENT",),
    ".edge.pages": ("ProblemPage",),
    ".edge.parameters": ("Body", "Cookie", "Header", "Query"),
    ".edge.problem": ("Problem",),
    ".edge.rate_limits": ("Limit",),
    ".edge.reply": ("Download", "Redirect", "Reply", "SetCookie"),
    ".edge.router": ("Router",),
    ".edge.slos": ("Slo", "answered", "complete", "confirmed"),
    ".live.ingest": ("Broker", "BrokerContext", "BrokerFactory", "BrokerUnavailable", "PositionStore"),
    ".stores.events": ("BrokerEvent",),
    ".stores.redis.login": ("RedisCredentials", "RedisLogin"),
    ".transport.resolvers": ("BackendAddress", "Resolver", "ResolverContext", "ResolverFactory"),
}

if not TYPE_CHECKING:  # a type checker would take every name for one of this module

    def __getattr__(name: str) -> object:
        if name == "events":
            return importlib.import_module(".events", __name__)
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = next((module for module, names in _MODULES.items() if name in names), ".calls")
        found = getattr(importlib.import_module(module, __name__), name)
        globals()[name] = found
        return found

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
