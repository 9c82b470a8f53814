"""What sends metrics and the log to a collector, from settings. Its libraries are imported only where one is set."""

from __future__ import annotations

import asyncio
import logging
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from opentelemetry.sdk.resources import Resource

from ...network import Network
from ..observe.metrics import Metrics
from ..settings import TelemetrySettings

if TYPE_CHECKING:
    from ..observe.otlp_logs import OtlpHandler
    from ..observe.otlp_metrics import MetricsExport

METRICS, LOGS = "/v1/metrics", "/v1/logs"
"""Where a collector takes them, below its base address (OTLP over HTTP)."""


@dataclass(slots=True)
class Exports:
    """What sends to a collector beside the traces. metrics, log: None where that is not configured."""

    metrics: MetricsExport | None = None
    log: OtlpHandler | None = None

    async def start(self) -> None:
        """Send from now on: the log of the whole process."""
        if self.metrics is not None:
            await self.metrics.start()
        if self.log is not None:
            logging.getLogger().addHandler(self.log)

    async def stop_metrics(self) -> None:
        """Send the last numbers."""
        if self.metrics is not None:
            await self.metrics.stop()

    async def stop_log(self) -> None:
        """The last thing that is closed: until then something may be logged."""
        if self.log is not None:
            logging.getLogger().removeHandler(self.log)
            await asyncio.to_thread(self.log.shutdown)


def make_exports(name: str, settings: TelemetrySettings, metrics: Metrics, network: Network) -> Exports:
    """network: the way to the collector."""
    found = Exports()
    if settings.otlp_metrics is None and settings.otlp_logs is None:
        return found
    resource = Resource.create({"service.name": name, "service.instance.id": str(uuid.uuid4())})

    def headers() -> dict[str, str]:
        return {name: value.get_secret_value() for name, value in settings.headers.items()}

    if settings.otlp_metrics is not None:
        from ..observe.otlp_metrics import MetricsExport

        found.metrics = MetricsExport(
            *(metrics, resource, f"{settings.otlp_metrics}{METRICS}"),
            network=network,
            headers=headers,
            interval=settings.metrics_interval,
            timeout=settings.timeout,
        )
    if settings.otlp_logs is not None:
        from ..observe.otlp_logs import OtlpHandler

        found.log = OtlpHandler(
            resource,
            f"{settings.otlp_logs}{LOGS}",
            network=network,
            headers=headers,
            timeout=settings.timeout,
        )
    return found
