"""The command `bff check`: loads a gateway and its settings, and prints what is wrong with them."""

from __future__ import annotations

import os
import sys

from ..calls import DeclarationError
from ..calls.errors import collecting
from ..edge import settings as settings_file
from ..edge.gateway import Gateway
from ..edge.settings import Settings, SettingsError
from . import check, connection_report
from .connection_report import Connection
from .target import load


def run(target: str, seconds: float | None = None, *, as_json: bool = False) -> int:
    """Report every mistake; returns the exit code. seconds: for each address that is tried; None: none is."""
    tried: list[Connection] = []
    warnings: list[str] = []
    gateway: Gateway | None = None
    settings: Settings | None = None
    with collecting() as mistakes:
        try:
            gateway = load(target)
        except DeclarationError as error:
            mistakes.append(str(error))
    try:
        settings = settings_file.load()
    except SettingsError as error:
        mistakes += error.mistakes
    if gateway is not None and settings is not None:
        mistakes += check.mistakes(gateway, settings)
        warnings += check.warnings(settings, os.environ)
        if seconds is not None:
            from . import connect  # it has an HTTP client and more that other checks do not need

            try:
                tried = connect.connections_of(gateway, settings, seconds)
            except (DeclarationError, ValueError) as error:
                mistakes.append(str(error))
            warnings += [f"{one.what} at {one.address}: {note}" for one in tried for note in one.notes]
    mistakes = list(dict.fromkeys(mistakes))
    if as_json:
        print(connection_report.document(mistakes, tried, warnings))
        return 1 if gateway is None or mistakes or not all(one.ok for one in tried) else 0
    if tried:
        print(connection_report.table(tried), end="\n\n")
    mistakes += [one.mistake for one in tried if not one.ok]
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    for mistake in mistakes:
        print(mistake, file=sys.stderr)
    if gateway is None or settings is None or mistakes:
        print(f"\n{len(mistakes)} to correct.", file=sys.stderr)
        return 1
    for note in check.notes(gateway, settings):
        print(f"note: {note}")
    print(
        f"{gateway.name}: {len(gateway.views)} views, {len(gateway.commands)} commands, "
        f"{len(gateway.upstreams())} upstreams, nothing to correct."
    )
    return 0
