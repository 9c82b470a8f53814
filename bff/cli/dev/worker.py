"""The gateway's process under `bff dev`: `python -m bff.cli.dev.worker TARGET PUBLIC ADMIN READY [--sign-in]`.

PUBLIC and ADMIN are the file descriptors of two sockets that `bff dev` keeps open during reloads. One byte is written
to the file descriptor READY when connections are accepted. Mistakes are printed to standard error, one in each line,
and the exit code is 1. With `--sign-in` people sign in at the development sign-in, and are asked for every scope that a
route requires.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import uvicorn

from ...calls import DeclarationError
from ...calls.errors import collecting
from ...edge import settings as settings_file
from ...edge.gateway import Gateway
from ...edge.observe.log_lines import JsonLines
from ...edge.server import run, with_file_limit
from ...edge.settings import Settings
from .. import check
from ..target import load
from .project import for_development

_RESET = "\x1b[0m"
_COLOURS = {
    "DEBUG": "\x1b[2m",
    "INFO": "",
    "WARNING": "\x1b[33m",
    "ERROR": "\x1b[31m",
    "CRITICAL": "\x1b[31m",
}
_GREEN, _YELLOW, _RED, _DIM = "\x1b[32m", "\x1b[33m", "\x1b[31m", "\x1b[2m"


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
        return f"{line['method']:<7} {shown} {line['ms']:>7.1f} ms  {line['path']}"

    def _paint(self, colour: str, text: str) -> str:
        return f"{colour}{text}{_RESET}" if self._coloured and colour and text else text


def log_for_people(level: str) -> None:
    """Send all log records of the process to standard error as readable lines, with colours at a terminal unless
    NO_COLOR is set. level: the lowest level that is logged."""
    out = logging.StreamHandler(sys.stderr)
    out.setFormatter(ReadableLines(sys.stderr.isatty() and not os.environ.get("NO_COLOR")))
    root = logging.getLogger()
    root.handlers[:] = [out]
    root.setLevel(level)
    logging.getLogger("httpx").setLevel(logging.WARNING)


def prepare(target: str, *, sign_in: bool = False) -> tuple[Gateway, Settings]:
    """The gateway and its settings. sign_in: whether people sign in at the development sign-in. Raises a
    DeclarationError with every mistake in a separate line."""
    gateway: Gateway | None = None
    with collecting() as mistakes:
        try:
            gateway = load(target)
        except DeclarationError as error:
            mistakes.append(str(error))
    settings = for_development(settings_file.load())
    if gateway is not None:
        if sign_in:
            settings = _with_scopes(settings, gateway)
        no_sign_in = check.no_sign_in(gateway, settings)
        mistakes += [mistake for mistake in check.mistakes(gateway, settings) if mistake not in no_sign_in]
        for warning in no_sign_in:
            print(f"warning: {warning}; until then it answers 401", file=sys.stderr)
    if gateway is None or mistakes:
        raise DeclarationError("\n".join(dict.fromkeys(mistakes)))
    return gateway, settings


def _with_scopes(settings: Settings, gateway: Gateway) -> Settings:
    """Ask for every scope that a route requires, unless BFF_OIDC__SCOPES says otherwise."""
    oidc = settings.oidc
    if oidc is None or "scopes" in oidc.model_fields_set:
        return settings
    scopes = (*oidc.scopes, *sorted(check.required_scopes(gateway) - set(oidc.scopes)))
    return settings.model_copy(update={"oidc": oidc.model_copy(update={"scopes": scopes})})


def main(arguments: Sequence[str]) -> int:
    """Serve until SIGTERM; returns the exit code."""
    target, public, admin, ready = arguments[0], *map(int, arguments[1:4])
    try:
        gateway, settings = prepare(target, sign_in="--sign-in" in arguments[4:])
        log_for_people(settings.telemetry.log_level)
        listeners = socket.socket(fileno=public), socket.socket(fileno=admin)
        loop = uvicorn.Config(gateway, loop="uvloop", log_config=None).get_loop_factory()
        with asyncio.Runner(loop_factory=loop) as runner:
            runner.run(
                run(gateway, with_file_limit(settings), ready=partial(_accepting, ready), listeners=listeners)
            )
    except DeclarationError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _accepting(ready: int) -> None:
    with contextlib.suppress(BrokenPipeError):
        os.write(ready, b"1")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
