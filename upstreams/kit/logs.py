"""Logs as JSON lines on stdout, each with the request's correlation and trace id. Promises one object a line;
refuses to log bodies, tokens or headers: only what a caller of `logging` hands in."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

from upstreams.kit.tracing import current_hop

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}


class JsonLines(logging.Formatter):
    """One JSON object a record; `extra` fields become members."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "service": self._service,
            "logger": record.name,
            "message": record.getMessage(),
        }
        hop = current_hop()
        if hop is not None:
            line["correlation_id"] = hop.correlation_id
            line["trace_id"] = hop.trace_id
        line.update((name, value) for name, value in vars(record).items() if name not in _STANDARD)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


def configure_logs(service: str, level: str = "INFO") -> None:
    """Send every logger of this process to stdout as JSON lines."""
    stream = logging.StreamHandler(sys.stdout)
    stream.setFormatter(JsonLines(service))
    logging.basicConfig(level=level.upper(), handlers=[stream], force=True)
    # Its INFO lines repeat ours, one for each call.
    logging.getLogger("httpx").setLevel(logging.WARNING)
