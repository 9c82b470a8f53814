"""The caller's trace in B3 headers (github.com/openzipkin/b3-propagation), as Zipkin's libraries and older meshes send
it: one header `b3`, or several `X-B3-…`. It is read, and never sent: services get W3C Trace Context.

Used only where a request has no `traceparent`. The single header is preferred to the others. Malformed or repeated
headers are ignored as a whole. A trace id of 64 bits is filled with zeros on the left.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from opentelemetry.trace import SpanContext, TraceFlags

SINGLE, TRACE_ID, SPAN_ID, SAMPLED, FLAGS = (
    b"b3",
    b"x-b3-traceid",
    b"x-b3-spanid",
    b"x-b3-sampled",
    b"x-b3-flags",
)
NAMES = frozenset({SINGLE, TRACE_ID, SPAN_ID, SAMPLED, FLAGS})

_IDS = r"(?P<trace>[0-9a-f]{16}(?:[0-9a-f]{16})?)-(?P<span>[0-9a-f]{16})"
_SINGLE = re.compile(rf"{_IDS}(?:-(?P<sampled>[01d])(?:-[0-9a-f]{{16}})?)?", re.IGNORECASE)
_SEVERAL = re.compile(_IDS, re.IGNORECASE)
_DECISIONS = {"1": True, "d": True, "true": True, "0": False, "false": False}


def caller_of(fields: Sequence[tuple[bytes, bytes]]) -> tuple[SpanContext, bool] | None:
    """The caller's span, and whether it has decided if the trace is sampled. fields: those with a name of NAMES.
    None: there is no trace, or none that can be read."""
    found = {name: value.decode("latin-1").strip(" \t") for name, value in fields}
    if len(found) < len(fields):
        return None
    if (single := found.get(SINGLE)) is not None:
        match = _SINGLE.fullmatch(single)
        sampled = match and match["sampled"]
    else:
        match = _SEVERAL.fullmatch(f"{found.get(TRACE_ID, '')}-{found.get(SPAN_ID, '')}")
        sampled = "d" if found.get(FLAGS) == "1" else found.get(SAMPLED)
    decision = None if sampled is None else _DECISIONS.get(sampled.lower())
    if match is None or (sampled is not None and decision is None):
        return None
    flags = TraceFlags(TraceFlags.SAMPLED if decision else TraceFlags.DEFAULT)
    span = SpanContext(int(match["trace"], 16), int(match["span"], 16), True, flags)
    return (span, decision is not None) if span.is_valid else None
