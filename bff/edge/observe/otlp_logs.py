"""Sends the log to a collector as well: OTLP over HTTP, with the SDK's processor and exporter.

Each record has its level, message, the logger's name, both ids and the members of `fields`, escaped and shortened as in
the log on standard error, and the trace and span that it belongs to. Records wait in a queue of QUEUE, and are sent by
a thread; beyond it the oldest are dropped. What the sender itself logs is not sent.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, cast

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import get_current
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource

from ..._version import __version__
from ...network import Network
from .log_lines import ids
from .log_text import MESSAGE, exception_text, loggable, printable
from .otlp import session

QUEUE = 2_048
_SENDERS = ("opentelemetry", "urllib3", "requests")
_SEVERITIES = (
    (logging.CRITICAL, SeverityNumber.FATAL),
    (logging.ERROR, SeverityNumber.ERROR),
    (logging.WARNING, SeverityNumber.WARN),
    (logging.INFO, SeverityNumber.INFO),
)


class OtlpHandler(logging.Handler):
    """Add it to the root logger; `shutdown` sends what waits and waits for that, at most `timeout` seconds.

    address  where the collector takes logs
    headers  of every request, read for each, because a secret may change
    timeout  seconds for one batch, with its repeats
    """

    def __init__(
        self,
        resource: Resource,
        address: str,
        *,
        network: Network,
        headers: Callable[[], Mapping[str, str]],
        timeout: float,
    ) -> None:
        super().__init__()
        exporter = OTLPLogExporter(endpoint=address, timeout=timeout, session=session(network, headers))
        self._provider = LoggerProvider(resource, shutdown_on_exit=False)
        self._provider.add_log_record_processor(BatchLogRecordProcessor(exporter, max_queue_size=QUEUE))
        self._logger = self._provider.get_logger("bff", __version__)

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.partition(".")[0] in _SENDERS:
            return
        try:
            self._logger.emit(self._made(record))
        except Exception:
            self.handleError(record)

    def _made(self, record: logging.LogRecord) -> LogRecord:
        attributes: dict[str, Any] = {"logger": record.name, **ids()}
        fields = getattr(record, "fields", None)
        if isinstance(fields, dict):
            attributes |= cast("dict[str, Any]", loggable(fields))
        if record.exc_info:
            attributes["exception.stacktrace"] = record.exc_text or exception_text(record.exc_info)
        return LogRecord(
            timestamp=int(record.created * 1e9),
            context=get_current(),
            severity_text=record.levelname,
            severity_number=next(
                (number for level, number in _SEVERITIES if record.levelno >= level), SeverityNumber.DEBUG
            ),
            body=printable(record.getMessage(), MESSAGE),
            attributes={name: value for name, value in attributes.items() if value is not None},
        )

    def shutdown(self) -> None:
        """Send what waits, and end."""
        self._provider.shutdown()
