"""The metrics of several workers as one page.

Counters and histograms are added up, also those of workers that have ended, so that they never go backwards. Of a
gauge, the sum is shown where it means something (`SUMMED`), or the largest (`LARGEST`); every other gauge has the label
`worker`. A worker that
does not answer is named (`bff_worker_up` is 0): its gauges are left out, and its counters stay as they were last.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector, CollectorRegistry
from prometheus_client.samples import Exemplar

from .instruments import INSTRUMENTS, WORKER_RESTARTS, WORKER_UP

SUMMED = frozenset(one.family for one in INSTRUMENTS if one.kind == "gauge" and one.across == "sum")
"""Gauges that are added up. Of all others a sum would mean nothing: states of breakers, ejected addresses, how late a
loop is, and what the system reports of one process."""

LARGEST = frozenset(one.family for one in INSTRUMENTS if one.kind == "gauge" and one.across == "max")
"""Gauges of which the largest is shown: every worker reports the same state, of the whole fleet, as it read it last."""

_ADDED = frozenset({"counter", "histogram", "summary"})
_Key = tuple[str, tuple[tuple[str, str], ...]]


@dataclass(frozen=True, slots=True)
class WorkerFigures:
    """What is known of one process.

    index     the worker's number
    page      its last metrics page, "" if there is none
    is_current  False for a process that has a successor and is ending: only what is added up counts
    answered  whether the page is of now
    """

    index: int
    page: str
    is_current: bool
    answered: bool


class _Sums:
    """Metrics by name, each with its values by sample and labels, and the newest exemplar of a sample."""

    def __init__(
        self,
        metrics: Mapping[str, tuple[str, str, Mapping[_Key, float]]] | None = None,
        exemplars: Mapping[_Key, Exemplar] | None = None,
    ) -> None:
        self._metrics = {
            name: (kind, help, dict(values)) for name, (kind, help, values) in (metrics or {}).items()
        }
        self._exemplars = dict(exemplars or {})

    def add(self, metric: Metric, worker: int | None = None) -> None:
        """worker: for the label; None: the values are added to those that are there."""
        values = self._metrics.setdefault(metric.name, (metric.type, metric.documentation, {}))[2]
        for sample in metric.samples:
            labels = dict(sample.labels) if worker is None else {**sample.labels, "worker": str(worker)}
            key = sample.name, tuple(labels.items())
            values[key] = sample.value + (values.get(key, 0.0) if worker is None else 0.0)
            if sample.exemplar is not None:
                self._add_exemplar(key, sample.exemplar)

    def _add_exemplar(self, key: _Key, exemplar: Exemplar) -> None:
        known = self._exemplars.get(key)
        if known is None or float(known.timestamp or 0) <= float(exemplar.timestamp or 0):
            self._exemplars[key] = exemplar

    def add_largest(self, metric: Metric) -> None:
        """Keep the largest value of each."""
        values = self._metrics.setdefault(metric.name, (metric.type, metric.documentation, {}))[2]
        for sample in metric.samples:
            key = sample.name, tuple(sample.labels.items())
            values[key] = max(sample.value, values.get(key, sample.value))

    def copy(self) -> _Sums:
        return _Sums(self._metrics, self._exemplars)

    def collect(self) -> Iterable[Metric]:
        for name, (kind, help, values) in self._metrics.items():
            metric = Metric(name, help, kind)
            for (sample, labels), value in values.items():
                exemplar = self._exemplars.get((sample, labels))
                metric.add_sample(sample, dict(labels), value, exemplar=exemplar)
            yield metric


class _Page(Collector):
    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = tuple(metrics)

    def collect(self) -> Iterable[Metric]:
        return self._metrics


class WorkerMetrics:
    """`page` makes the page; `retain` keeps what a worker has counted that has ended. count: the number of
    workers; ended, restarts: what is kept from the beginning, by default nothing."""

    def __init__(
        self, count: int, ended: _Sums | None = None, restarts: Mapping[int, float] | None = None
    ) -> None:
        self._ended = ended or _Sums()
        self._restarts = dict(restarts or dict.fromkeys(range(count), 0.0))

    def retain(self, page: str) -> None:
        """Keep the counters and histograms of a worker's last page, which is in no `WorkerFigures` from now on."""
        for metric in _families(page):
            if metric.type in _ADDED:
                self._ended.add(metric)

    def count_restart(self, index: int) -> None:
        """A worker was started again after its death."""
        self._restarts[index] += 1

    def copy(self) -> WorkerMetrics:
        """A copy, which another thread may use."""
        return WorkerMetrics(len(self._restarts), self._ended.copy(), self._restarts)

    def page(self, workers: Sequence[WorkerFigures], accept: str = "") -> tuple[bytes, str]:
        """The page, and its content type: Prometheus' text format 0.0.4, or OpenMetrics where the Accept header asks
        for it. It has the exemplars that the workers' pages have."""
        sums = self._ended.copy()
        answering = {one.index for one in workers if one.answered and one.is_current}
        for worker in workers:
            for metric in _families(worker.page):
                if metric.type in _ADDED or (metric.name in SUMMED and worker.answered):
                    sums.add(metric)
                elif metric.name in SUMMED or not (worker.answered and worker.is_current):
                    continue
                elif metric.name in LARGEST:
                    sums.add_largest(metric)
                else:
                    sums.add(metric, worker.index)
        up = GaugeMetricFamily(WORKER_UP.family, WORKER_UP.meaning, labels=WORKER_UP.labels)
        restarts = CounterMetricFamily(
            WORKER_RESTARTS.family, WORKER_RESTARTS.meaning, labels=WORKER_RESTARTS.labels
        )
        for index, count in self._restarts.items():
            up.add_metric((str(index),), index in answering)
            restarts.add_metric((str(index),), count)
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Page((*sums.collect(), up, restarts)))
        encode, media_type = choose_encoder(accept)
        return encode(registry), media_type


def _families(page: str) -> Iterable[Metric]:
    """The metrics of a page in either format."""
    parse = open_metrics if page.endswith("# EOF\n") else text_string_to_metric_families
    return parse(page)
