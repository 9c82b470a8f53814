"""Sends a service's spans to a collector by OTLP over HTTP, with the SDK of OpenTelemetry (extra `otel`), configured by
its standard variables: OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT say where,
OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES who, OTEL_BSP_… how often. OTEL_SDK_DISABLED=true and
OTEL_TRACES_EXPORTER=none turn it off.

Guarantees that no exporter is imported without a collector. Span and attribute names follow its
semantic conventions, version 1.44.0. Whether a trace is recorded is decided where it begins, not here.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from bff_service.tracing import ServiceSpan, TraceContext, export_to

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


def configure_traces(service: str) -> Callable[[], None]:
    """Export the spans of this process if the environment names a collector. Returns what sends the last ones and
    stops; call it when the service ends."""
    if (
        not any(os.environ.get(name) for name in _ENDPOINTS)
        or os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
        or os.environ.get("OTEL_TRACES_EXPORTER", "") == "none"
    ):
        return lambda: None

    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

    # What the environment says of the service is preferred.
    named = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": service}
    resource = Resource.create(named)
    scope = InstrumentationScope("bff_service", None, "https://opentelemetry.io/schemas/1.44.0")
    processor = BatchSpanProcessor(OTLPSpanExporter())

    def context_of(context: TraceContext, id: str, *, remote: bool) -> SpanContext:
        return SpanContext(int(context.trace_id, 16), int(id, 16), remote, TraceFlags(int(context.flags, 16)))

    def export(span: ServiceSpan) -> None:
        context = span.context
        remote = span.kind in ("server", "consumer")
        attributes = dict(span.attributes)
        if span.error is not None:
            attributes["error.type"] = span.error
        processor.on_end(
            ReadableSpan(
                span.name,
                context_of(context, context.span_id, remote=False),
                context_of(context, context.parent_id, remote=remote) if context.parent_id else None,
                resource,
                attributes,
                kind=SpanKind[span.kind.upper()],
                status=Status(StatusCode.UNSET if span.error is None else StatusCode.ERROR),
                start_time=span.began,
                end_time=span.ended,
                instrumentation_scope=scope,
            )
        )

    export_to(export)

    def shutdown() -> None:
        export_to(None)
        processor.shutdown()  # type: ignore[no-untyped-call]  # the SDK's own

    return shutdown
