"""The log of the process on a stream, each line with the ids of its request: as JSON, or readable at a terminal.

The access log has one wide line for each request (docs/how-to/read-the-logs.md). It has no query, header, cookie or
body; the person is named by a pseudonym.

Records are written at once. Lines of the access log are written together, after at most WAIT seconds, because there is
one for each request; the order of all lines is kept.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from json.encoder import encode_basestring
from math import isfinite
from types import MappingProxyType
from typing import Any, TextIO, cast

from ...calls import RequestRecord
from ..settings import TelemetrySettings
from .log_text import MESSAGE, Prepared, exception_text, loggable, printable

WAIT = 0.05
"""Seconds that a line of the access log may wait for others."""
MOST = 500
"""Lines that may wait; the next one is written at once, with all of them."""
MOST_ENTRIES = 20
"""Calls in one line of the access log, and missing parts; of further ones it has the number."""

REMEMBERED = 2_000
"""Texts that are kept as JSON, for each of three kinds."""

_RESET = "\x1b[0m"
_COLOURS = {
    "DEBUG": "\x1b[2m",
    "INFO": "",
    "WARNING": "\x1b[33m",
    "ERROR": "\x1b[31m",
    "CRITICAL": "\x1b[31m",
}
_GREEN, _YELLOW, _RED, _DIM = "\x1b[32m", "\x1b[33m", "\x1b[31m", "\x1b[2m"

_ids: ContextVar[Mapping[str, str]] = ContextVar("bff_ids", default=MappingProxyType({}))
# Made once: `json.dumps` with options makes a new encoder for each line.
_ENCODER = json.JSONEncoder(ensure_ascii=False, default=str)


def bind(correlation_id: str, trace_id: str) -> None:
    """Add these ids to the log lines of the current task, and of the tasks it starts."""
    _ids.set({"correlation_id": correlation_id, "trace_id": trace_id})


def ids() -> Mapping[str, str]:
    """The ids that the log lines of the current task have."""
    return _ids.get()


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


class ReadableLines(JsonLines):
    """Formats each record as one readable line: time, level or method, message, fields, correlation id. Texts are
    escaped and cut as in the JSON log. coloured: True for a terminal."""

    def __init__(self, coloured: bool) -> None:
        super().__init__()
        self._coloured = coloured

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = json.loads(super().format(record))
        at = time.strftime("%H:%M:%S", time.localtime(record.created))
        level, logger, message = line.pop("level"), line.pop("logger"), line.pop("message")
        correlation, exception = line.pop("correlation_id", ""), line.pop("exception", "")
        for name in ("at", "trace_id"):
            line.pop(name, None)
        if logger == "bff.access":
            text = self._request(line)
        else:
            fields = "".join(f"  {name}={value}" for name, value in line.items())
            text = self._paint(_COLOURS.get(level, ""), f"{level:<7} {message}{fields}")
        return "\n".join(
            filter(None, [f"{self._paint(_DIM, at)} {text}  {self._paint(_DIM, correlation)}", exception])
        )

    def _request(self, line: Mapping[str, Any]) -> str:
        status = line["status"]
        colour = _GREEN if status and status < 400 else _YELLOW if status and status < 500 else _RED
        shown = self._paint(colour, str(status or "left"))
        text = f"{line['method']:<7} {shown} {line['ms']:>7.1f} ms  {line['path']}"
        if code := line.get("code"):
            text += f"  {self._paint(colour, code)}"
        for call in line.get("calls", ()):
            told = f"{call['name']} {call['ms']:g} ms"
            if call["outcome"] != "ok":
                told += f" {self._paint(_YELLOW, call['outcome'])}"
            if call["attempts"] > 1:
                told += f" ×{call['attempts']}"
            text += f"  {self._paint(_DIM, '·')} {told}"
        for part in line.get("missing", ()):
            missing = f"without {part['call'] or part['service']}: {part['reason']}"
            text += f"  {self._paint(_YELLOW, missing)}"
        return text

    def _paint(self, colour: str, text: str) -> str:
        return f"{colour}{text}{_RESET}" if self._coloured and colour and text else text


def log_to_stderr(settings: TelemetrySettings, *, for_people: bool = False) -> None:
    """Send all logging of the process to standard error, as JSON or as readable lines: as the settings say, else
    readable only `for_people`. Readable lines have colours at a terminal unless NO_COLOR is set."""
    stream: logging.Handler = JsonStream(sys.stderr)
    if settings.log_format == "text" or (settings.log_format == "auto" and for_people):
        stream = logging.StreamHandler(sys.stderr)
        stream.setFormatter(ReadableLines(sys.stderr.isatty() and not os.environ.get("NO_COLOR")))
    root = logging.getLogger()
    root.handlers[:] = [stream]
    root.setLevel(settings.log_level)
    # The access log has one line for each request already; these two would repeat it.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("uvicorn.access").disabled = True
    for name, level in settings.log_levels.items():
        logging.getLogger(name).setLevel(level)


@dataclass(slots=True)
class RequestLine:
    """What the line of one request says.

    route   the declared path, None where none answered
    kind    screen, command, forward or other
    status  None: the client left before there was one
    ms      milliseconds from its arrival to the end of its answer
    more    further members, of JSON's types
    record  what was learned while the function ran, None where none ran
    """

    method: str
    path: str
    route: str | None
    kind: str
    status: int | None
    ms: float
    more: dict[str, object]
    record: RequestRecord | None = None

    def fields(self) -> dict[str, object]:
        """The members of the line beside its message, the ids and what was learned."""
        return {
            "method": self.method,
            "route": self.route,
            "kind": self.kind,
            "path": self.path,
            "status": self.status,
            "ms": float(f"{self.ms:.1f}"),
            **self.more,
        }


class AccessLog:
    """One wide line for each request, of the logger `bff.access`: everything that is known of it when it has ended, at
    most MOST_ENTRIES calls and as many missing parts. Where a `JsonStream` is all that would write the record, the line
    is made without one: it has the same text. clock: Unix seconds."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._log = logging.getLogger("bff.access")
        self._clock = clock
        self._second = 0
        self._text = ""

    def write(self, line: RequestLine) -> None:
        """Write it, if the logger's level allows."""
        if not self._log.isEnabledFor(logging.INFO):
            return
        stream = self._stream()
        if stream is None:
            fields = {**line.fields(), **_learned(line.record)}
            self._log.info("%s %s %s", line.method, line.path, line.status, extra={"fields": fields})
            return
        now = self._clock()
        second = int(now)
        if second != self._second:
            self._second = second
            self._text = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        path, ids = encode_basestring(printable(line.path)), _ids.get()
        text = (
            f'{{"at": "{self._text}.{int((now - second) * 1000):03d}+00:00", "level": "INFO", '
            f'"logger": "bff.access", "message": "{_quoted(line.method)[1:-1]} {path[1:-1]} {line.status}", '
            f"{_ids_json(ids)}{_route_json(line.method, line.route, line.kind)}, "
            f'"path": {path}, "status": {_json(line.status)}, "ms": {line.ms:.1f}'
        )
        for name, value in line.more.items():
            text += f', "{name}": {_json(value)}'
        stream.add(f"{text}{_learned_json(line.record)}}}\n")

    def _stream(self) -> JsonStream | None:
        log = self._log
        handlers = logging.getLogger().handlers
        if log.propagate and not log.handlers and len(handlers) == 1:
            one = handlers[0]
            if type(one) is JsonStream and one.level <= logging.INFO:
                return one
        return None


def _learned(record: RequestRecord | None) -> dict[str, object]:
    """The members of the line that come from what the request learned."""
    found: dict[str, object] = {}
    if record is None:
        return found
    if timings := record.timings:
        found["calls"] = Prepared(
            {"name": printable(one.name), "outcome": one.outcome, "attempts": one.attempts}
            | ({"cache": one.cache} if one.cache else {})
            | {"ms": float(f"{one.milliseconds:.1f}")}
            for one in timings[:MOST_ENTRIES]
        )
        if len(timings) > MOST_ENTRIES:
            found["calls_in_all"] = len(timings)
    if record.retries:
        found["retries"] = record.retries
    if missing := record.missing_parts:
        found["missing"] = Prepared(
            {"service": printable(service), "call": printable(call), "reason": reason}
            for service, call, reason in missing[:MOST_ENTRIES]
        )
        if len(missing) > MOST_ENTRIES:
            found["missing_in_all"] = len(missing)
    if record.stale:
        found["stale"] = record.stale
    return found


def _learned_json(record: RequestRecord | None) -> str:
    """`_learned` as text: each request makes one, and the JSON of dictionaries costs several times as much."""
    text = ""
    if record is None:
        return text
    if timings := record.timings:
        shown = timings if len(timings) <= MOST_ENTRIES else timings[:MOST_ENTRIES]
        calls = [
            f"{_call_json(one.name, one.outcome, one.attempts, one.cache)}{one.milliseconds:.1f}}}"
            for one in shown
        ]
        text = f', "calls": [{", ".join(calls)}]'
        if shown is not timings:
            text += f', "calls_in_all": {len(timings)}'
    if record.retries:
        text += f', "retries": {record.retries}'
    if missing := record.missing_parts:
        parts = [
            f'{{"service": {_quoted(service)}, "call": {_quoted(call)}, "reason": "{reason}"}}'
            for service, call, reason in missing[:MOST_ENTRIES]
        ]
        text += f', "missing": [{", ".join(parts)}]'
        if len(missing) > MOST_ENTRIES:
            text += f', "missing_in_all": {len(missing)}'
    if record.stale:
        text += f', "stale": {record.stale}'
    return text


def _ids_json(ids: Mapping[str, str]) -> str:
    # They are hex digits and hyphens, whoever made them.
    return "".join([f'"{name}": "{value}", ' for name, value in ids.items()])


@lru_cache(REMEMBERED)
def _route_json(method: str, route: str | None, kind: str) -> str:
    """What names the route, as JSON. A browser may make up methods, and then the oldest ones are forgotten."""
    return f'"method": {_quoted(method)}, "route": {_json(route)}, "kind": "{kind}"'


@lru_cache(REMEMBERED)
def _call_json(name: str, outcome: str, attempts: int, cache: str) -> str:
    """A call as JSON up to its milliseconds. There are as many as declared calls have outcomes."""
    cached = f', "cache": "{cache}"' if cache else ""
    return f'{{"name": {_quoted(name)}, "outcome": "{outcome}", "attempts": {attempts}{cached}, "ms": '


@lru_cache(REMEMBERED)
def _quoted(text: str) -> str:
    """A text that is in many lines, as JSON."""
    return encode_basestring(printable(text))


def _json(value: object) -> str:
    if type(value) is str:
        return encode_basestring(printable(value))
    if type(value) is int or (type(value) is float and isfinite(value)):
        return repr(value)
    return "null" if value is None else _ENCODER.encode(loggable(value))
