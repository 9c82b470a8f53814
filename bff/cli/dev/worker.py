"""The gateway's process under `bff dev`: `python -m bff.cli.dev.worker TARGET PUBLIC ADMIN READY [--sign-in]`.

PUBLIC and ADMIN are the file descriptors of two sockets that `bff dev` keeps open during reloads. One byte is written
to the file descriptor READY when connections are accepted. Mistakes are printed to standard error, one in each line,
and the exit code is 1. With `--sign-in` people sign in at the development sign-in, and are asked for every scope that a
route requires.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import Sequence
from functools import partial

import uvicorn

from ...calls import DeclarationError
from ...calls.errors import collecting
from ...edge import settings as settings_file
from ...edge.gateway import Gateway
from ...edge.observe.log_lines import log_to_stderr
from ...edge.server import run, with_file_limit
from ...edge.settings import Settings
from .. import check
from ..target import load
from .project import for_development


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
        log_to_stderr(settings.telemetry, for_people=sys.stderr.isatty())
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
