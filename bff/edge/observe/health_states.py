"""What /readyz reports, as metrics: whether the process is ready, and whether it reaches Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


class HealthStates(Collector):
    """ready: whether the process takes traffic and none of its parts has died; redis: whether commands to Redis
    succeed. Both are asked when the page is requested, and must answer at once."""

    def __init__(self, ready: Callable[[], bool], redis: Callable[[], bool]) -> None:
        self._ready, self._redis = ready, redis

    def collect(self) -> Iterable[Metric]:
        yield GaugeMetricFamily(
            "bff_ready",
            "1: it takes traffic; 0: it is stopping, or a part of it has died.",
            value=float(self._ready()),
        )
        yield GaugeMetricFamily(
            "bff_redis_up", "1: Redis answers; 0: it is away or refuses commands.", value=float(self._redis())
        )
