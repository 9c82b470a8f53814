"""The command `bff serve`: a gateway whose declarations and settings have no mistake is served until a signal, by this
process or by several workers."""

from __future__ import annotations

import os
import sys

from ..calls import DeclarationError
from ..edge import settings as settings_file
from ..edge.settings.sources import PREFIX
from . import check
from .target import load


def run(target: str, **given: str | None) -> int:
    """Serve until a signal; returns the exit code. given: `host`, `port` and `workers` in place of those of the
    settings; None: as set. Raises DeclarationError that lists every mistake."""
    for name, value in given.items():
        if value:
            os.environ[f"{PREFIX}{name.upper()}"] = value
    settings = settings_file.load()
    if settings.workers > 1:
        from .workers.supervisor import serve_workers

        # The application is loaded by the workers alone.
        return serve_workers(target, settings, sys.stdin is not None and sys.stdin.isatty())
    from ..edge.server import serve

    gateway = load(target)
    if found := list(dict.fromkeys(check.mistakes(gateway, settings))):
        raise DeclarationError("\n".join(found))
    serve(gateway, settings)
    return 0
