"""What browsers report: when a mutation was painted, and web vitals of screens, as spans and metrics.

It is the browser's word. A person can report anything about their own commands, so none of it may page somebody, decide
about a limit or count towards an SLO; endpoints/browser_reports.py bounds how much one person can report. Labels are
declared routes and the words below, never a text from a browser.

A report becomes one trace with the command: the trace id is the id of the mutation, and the span id of the click is its
last half, as the client sends them in `traceparent` (`click_of`). So nobody can add spans to another trace than that of
a command of their own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags

from ..._version import __version__
from .metrics import Series

Phase = Literal["optimistic", "answer", "final"]
PHASES: tuple[Phase, ...] = get_args(Phase)
"""What was painted: the page's own expectation, what the answer or the first event said, the outcome."""
Vital = Literal["lcp", "inp", "cls"]
VITALS: tuple[Vital, ...] = get_args(Vital)
Result = Literal["taken", "repeated", "unknown", "unknown-route", "invalid", "surplus", "unavailable"]
"""What became of one reported mutation or screen.

repeated       the command was reported before
unknown        the person has no such command
unknown-route  no declared command, or view, has this method and path
invalid        without an id, path or duration that can be used
surplus        beyond the number that one request may have
unavailable    Redis is away, so nobody knows whether the command exists
"""

MOST_MUTATIONS = 50
"""Mutations that one request may report."""
MOST_SCREENS = 10
"""Screens that one request may report."""

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_RECORDED = TraceFlags(TraceFlags.SAMPLED | TraceFlags.RANDOM_TRACE_ID)
_SCOPE = InstrumentationScope("bff", __version__)


@dataclass(frozen=True, slots=True)
class Painted:
    """A mutation as its browser saw it.

    id       of the mutation: a random UUID (version 4), in lower case
    method   of its command
    route    as declared
    age      seconds from the click to the report
    phases   seconds from the click until the phase was painted
    outcome  the last phase of the mutation that the browser knew, None where it said none
    """

    id: str
    method: str
    route: str
    age: float
    phases: Mapping[Phase, float]
    outcome: str | None


def click_of(mutation: str) -> SpanContext | None:
    """The span of the click that began this mutation; None for an id that is no random UUID. The last 7 bytes of such
    an id are random, which the flag says (W3C Trace Context level 2)."""
    if _ID.fullmatch(mutation) is None:
        return None
    digits = mutation.replace("-", "")
    return SpanContext(int(digits, 16), int(digits[16:], 16), True, _RECORDED)


class BrowserMetrics:
    """Adds reports to these series, by the instrument's name."""

    def __init__(self, series: Mapping[str, Series]) -> None:
        self._durations = series["bff.browser.duration"]
        self._vitals = series["bff.browser.vitals"]
        self._reports = series["bff.browser.reports"]

    def count(self, result: Result) -> None:
        """A reported mutation or screen was taken or dropped."""
        self._reports[result,](1)

    def take(self, painted: Painted) -> None:
        for phase, seconds in painted.phases.items():
            self._durations[painted.route, phase](seconds)

    def take_vitals(self, route: str, vitals: Mapping[Vital, float]) -> None:
        """vitals: lcp and inp in seconds."""
        for vital, value in vitals.items():
            self._vitals[route, vital](value)


class BrowserSpans:
    """The click, and below it one span for each phase, from the click until it was painted.

    processor  exports them; None: nothing is recorded
    service    the gateway's name; browsers are the service `<name>-browser`
    """

    def __init__(self, processor: SpanProcessor | None, service: str) -> None:
        self._processor = processor
        self._resource = Resource.create({"service.name": f"{service}-browser"})
        self._ids = RandomIdGenerator()

    def take(self, painted: Painted, now_ns: int) -> None:
        """now_ns: Unix nanoseconds at which the report came. The browser's clock is not used: the click was `age`
        before that, so all spans are late by the time that the report took to come."""
        click, processor = click_of(painted.id), self._processor
        if processor is None or click is None:
            return
        began = now_ns - _nanoseconds(painted.age)
        attributes = {"http.request.method": painted.method, "http.route": painted.route}
        if painted.outcome is not None:
            attributes["bff.outcome"] = painted.outcome
        ended = began + _nanoseconds(max(painted.phases.values(), default=0.0))
        processor.on_end(self._span(f"click {painted.route}", click, None, attributes, began, ended))
        for phase, seconds in painted.phases.items():
            span = SpanContext(click.trace_id, self._ids.generate_span_id(), False, click.trace_flags)
            of_phase = {"http.route": painted.route, "bff.phase": phase}
            ended = began + _nanoseconds(seconds)
            processor.on_end(self._span(f"paint {phase}", span, click, of_phase, began, ended))

    def _span(
        self,
        name: str,
        span: SpanContext,
        parent: SpanContext | None,
        attributes: Mapping[str, str],
        began: int,
        ended: int,
    ) -> ReadableSpan:
        return ReadableSpan(
            name,
            span,
            parent,
            self._resource,
            attributes,
            kind=SpanKind.INTERNAL,
            start_time=began,
            end_time=ended,
            instrumentation_scope=_SCOPE,
        )


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)
