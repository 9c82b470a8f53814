"""Sends the gateway's metrics to a collector at intervals: OTLP over HTTP, with the SDK's types and exporter.

It reads the same plain numbers as the page of the admin port; nothing is counted twice. Counters and histograms are
cumulative from the start of the process. A batch that could not be sent is not kept: the next one has everything
that it had. `Metrics` is read on the event loop and sent by a thread.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricExportResult,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from ..._version import __version__
from ...network import Network
from ...stores.background import Background
from .instruments import Instrument
from .metrics import Distribution, Metrics, Values
from .otlp import session

log = logging.getLogger("bff.server")

_SCOPE = InstrumentationScope("bff", __version__)
_CUMULATIVE = AggregationTemporality.CUMULATIVE
_TRUTH = {"true": True, "false": False}


class MetricsExport(Background):
    """Use `start()` and `stop()`, which sends the last numbers.

    address   where the collector takes metrics
    headers   of every request, read for each, because a secret may change
    interval  seconds between two batches; timeout: seconds for one, with its repeats
    clock     Unix seconds
    """

    def __init__(
        self,
        metrics: Metrics,
        resource: Resource,
        address: str,
        *,
        network: Network,
        headers: Callable[[], Mapping[str, str]],
        interval: float,
        timeout: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__("otlp metrics", "metrics are not sent any more")
        self._metrics = metrics
        self._resource = resource
        self._interval = interval
        self._clock = clock
        self._exporter = OTLPMetricExporter(
            endpoint=address, timeout=timeout, session=session(network, headers)
        )
        self._failed = False

    async def _run(self, started: asyncio.Event) -> None:
        started.set()
        while True:
            await asyncio.sleep(self._interval)
            await self._send()

    async def stop(self) -> None:
        """Send once more, and end."""
        started = self._main is not None
        await super().stop()
        if started:
            await self._send()
        await asyncio.to_thread(self._exporter.shutdown)

    async def _send(self) -> None:
        result = await asyncio.to_thread(self._exporter.export, self.batch())
        failed = result is not MetricExportResult.SUCCESS
        if failed and not self._failed:
            log.warning("metrics cannot be sent to the collector; the next batch has them, too")
        self._failed = failed

    def batch(self) -> MetricsData:
        """Every metric as it is now."""
        began, now = int(self._metrics.began * 1e9), int(self._clock() * 1e9)
        metrics = [_metric(one, values, began, now) for one, values in self._metrics.read() if values]
        scope = ScopeMetrics(_SCOPE, metrics, "")
        return MetricsData([ResourceMetrics(self._resource, [scope], "")])


def _metric(
    instrument: Instrument, values: Mapping[Values, float | Distribution], began: int, now: int
) -> Metric:
    data: Sum | Gauge | Histogram
    numbers = [
        NumberDataPoint(_attributes(instrument, given), began, now, float(value))
        for given, value in values.items()
        if not isinstance(value, Distribution)
    ]
    if instrument.kind == "counter":
        data = Sum(numbers, _CUMULATIVE, is_monotonic=True)
    elif instrument.kind == "gauge":
        data = Gauge(numbers)
    else:
        data = Histogram(
            [
                HistogramDataPoint(
                    _attributes(instrument, given),
                    began,
                    now,
                    sum(one.counts),
                    one.sum,
                    tuple(one.counts),
                    one.bounds,
                    # Neither the smallest nor the largest value is kept, and both are optional in OTLP.
                    min=None,  # type: ignore[arg-type]  # the SDK's own histograms always have them
                    max=None,  # type: ignore[arg-type]
                )
                for given, one in values.items()
                if isinstance(one, Distribution)
            ],
            _CUMULATIVE,
        )
    return Metric(instrument.name, instrument.meaning, instrument.unit, data)


def _attributes(instrument: Instrument, values: Values) -> dict[str, str | int | bool]:
    """Those that apply, with OpenTelemetry's types."""
    found: dict[str, str | int | bool] = {}
    for name, value in zip(instrument.attributes, values, strict=True):
        if value:
            is_status = name == "http.response.status_code" and value.isdigit()
            found[name] = int(value) if is_status else _TRUTH.get(value, value)
    return found
