r"""Logs as JSON lines on stdout, each with the correlation and trace id. Guarantees one object a line, at most
300 characters of each text (10,000 of an exception), and escapes such as `\u202e` for what cannot be printed; refuses
to log bodies, tokens or headers: only what a caller of `logging` hands in."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

from bff_service.tracing import current_trace

TEXT, EXCEPTION = 300, 10_000
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
        context = current_trace()
        if context is not None:
            line["correlation_id"] = context.correlation_id
            line["trace_id"] = context.trace_id
        line.update((name, value) for name, value in vars(record).items() if name not in _STANDARD)
        shown = {
            name: value if isinstance(value, int | float) else _printable(str(value))
            for name, value in line.items()
            if value is not None
        }
        if record.exc_info:
            text = self.formatException(record.exc_info)[-EXCEPTION:]
            shown["exception"] = "\n".join(_printable(one, EXCEPTION) for one in text.split("\n"))
        return json.dumps(shown, ensure_ascii=False)


def _printable(text: str, limit: int = TEXT) -> str:
    """What a caller sent neither begins a line, nor controls a terminal, nor fills the log."""
    cut = text if len(text) <= limit else f"{text[:limit]}… ({len(text)} characters)"
    if cut.isprintable():
        return cut
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape", "surrogatepass").decode("ascii")
        for one in cut
    )


def configure_logs(service: str, level: str = "INFO") -> None:
    """Send every logger of this process to stdout as JSON lines."""
    stream = logging.StreamHandler(sys.stdout)
    stream.setFormatter(JsonLines(service))
    logging.basicConfig(level=level.upper(), handlers=[stream], force=True)
    # Its INFO lines repeat ours, one for each call.
    logging.getLogger("httpx").setLevel(logging.WARNING)
