"""The log of the process as JSON lines on a stream, each with the ids of its request.

Records are written at once. Lines of the access log are written together, after at most WAIT seconds, because there is
one for each request; the order of all lines is kept.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from json.encoder import encode_basestring
from math import isfinite
from types import MappingProxyType
from typing import TextIO, cast

from .log_text import MESSAGE, exception_text, loggable, printable

WAIT = 0.05
"""Seconds that a line of the access log may wait for others."""
MOST = 500
"""Lines that may wait; the next one is written at once, with all of them."""

_ids: ContextVar[Mapping[str, str]] = ContextVar("bff_ids", default=MappingProxyType({}))
# Made once: `json.dumps` with options makes a new encoder for each line.
_ENCODER = json.JSONEncoder(ensure_ascii=False, default=str)


def bind(correlation_id: str, trace_id: str) -> None:
    """Add these ids to the log lines of the current task, and of the tasks it starts."""
    _ids.set({"correlation_id": correlation_id, "trace_id": trace_id})


class JsonLines(logging.Formatter):
    """One JSON object a line: at, level, logger, message, both ids, and the members of `extra={"fields": {…}}`. Every
    text is escaped and shortened as log_text.py describes."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": printable(record.getMessage(), MESSAGE),
        }
        line |= _ids.get()
        fields = getattr(record, "fields", None)
        if isinstance(fields, dict):
            line |= cast("dict[str, object]", loggable(fields))
        if record.exc_info:
            line["exception"] = record.exc_text or exception_text(record.exc_info)
        return _ENCODER.encode(line)


class JsonStream(logging.StreamHandler):  # type: ignore[type-arg]  # generic for type checkers only
    """Writes records as JSON lines, and whole lines of the access log in batches."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self.setFormatter(JsonLines())
        self._waiting: list[str] = []
        self._timer: asyncio.TimerHandle | None = None

    def add(self, line: str) -> None:
        """Write a line soon. Call it on the event loop."""
        self._waiting.append(line)
        if len(self._waiting) > MOST:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(WAIT, self._on_timer)

    def emit(self, record: logging.LogRecord) -> None:
        self._write_waiting()
        super().emit(record)

    def flush(self) -> None:
        self._write_waiting()
        super().flush()

    def _on_timer(self) -> None:
        self._timer = None
        self.flush()

    def _write_waiting(self) -> None:
        if not self._waiting:
            return
        self.acquire()
        try:
            lines, self._waiting = self._waiting, []
            self.stream.write("".join(lines))
        except (OSError, ValueError):
            # The stream is closed or its reader is gone. As for a record that cannot be written, the process goes on,
            # and standard error says why, if it can.
            count = (len(lines),)
            self.handleError(logging.LogRecord("bff.access", logging.INFO, "", 0, "%d lines", count, None))
        finally:
            self.release()


def log_to_stderr(level: str) -> None:
    """Send all logging of the process to standard error as JSON lines."""
    root = logging.getLogger()
    root.handlers[:] = [JsonStream(sys.stderr)]
    root.setLevel(level)
    # The access log has one line for each request already; these two would repeat it.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("uvicorn.access").disabled = True


class AccessLog:
    """One line for each request, of the logger `bff.access`. Where a `JsonStream` is all that would write the record,
    the line is made without one: it has the same text. clock: Unix seconds."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._log = logging.getLogger("bff.access")
        self._clock = clock
        self._second = 0
        self._text = ""

    def write(self, method: str, path: str, status: int | None, fields: Mapping[str, object]) -> None:
        """fields: the members of the line beside its message and the ids, of JSON's types."""
        if not self._log.isEnabledFor(logging.INFO):
            return
        stream = self._stream()
        if stream is None:
            self._log.info("%s %s %s", method, path, status, extra={"fields": fields})
            return
        now = self._clock()
        second = int(now)
        if second != self._second:
            self._second = second
            self._text = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        message = printable(f"{printable(method)} {printable(path)} {status}", MESSAGE)
        line = (
            f'{{"at": "{self._text}.{int((now - second) * 1000):03d}+00:00", "level": "INFO", '
            f'"logger": "bff.access", "message": {encode_basestring(message)}'
        )
        for members in (_ids.get(), fields):
            for name, value in members.items():
                line += f', "{name}": {_json(value)}'
        stream.add(line + "}\n")

    def _stream(self) -> JsonStream | None:
        log = self._log
        handlers = logging.getLogger().handlers
        if log.propagate and not log.handlers and len(handlers) == 1:
            one = handlers[0]
            if type(one) is JsonStream and one.level <= logging.INFO:
                return one
        return None


def _json(value: object) -> str:
    if type(value) is str:
        return encode_basestring(printable(value))
    if type(value) is int or (type(value) is float and isfinite(value)):
        return repr(value)
    return "null" if value is None else _ENCODER.encode(loggable(value))
