"""The names that users import. A change here changes the public surface and belongs in CHANGELOG.md."""

from __future__ import annotations

import importlib

import pytest

PUBLIC = {
    "bff": [
        "Answer",
        "BYTES",
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
        "JSON_LINES",
        "Json",
        "Lifespan",
        "Limit",
        "Middleware",
        "Missing",
        "OUTCOMES",
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
        "TEXT",
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
    ],
    "bff.events": [
        "Attempted",
        "BreakerChanged",
        "BulkheadFull",
        "Ejected",
        "Event",
        "Hedged",
        "CallRejected",
        "SurrogatesReplaced",
        "RequestEnded",
        "Retried",
        "Readmitted",
        "ScreenIncomplete",
        "Served",
        "Shed",
    ],
    "bff.testing": ["Kit", "NoAnswer", "fails", "request_context"],
}


@pytest.mark.parametrize("module", PUBLIC)
def test_the_exported_names_are_these_and_each_has_a_docstring(module: str) -> None:
    found = importlib.import_module(module)
    assert sorted(found.__all__) == sorted(PUBLIC[module])
    for name in found.__all__:
        one = getattr(found, name)
        assert name == "__version__" or name == "Part" or one.__doc__, f"{module}.{name} has no docstring"
