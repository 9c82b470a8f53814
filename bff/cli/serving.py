"""The command `bff serve`: a gateway whose declarations and settings have no mistake is served until a signal."""

from __future__ import annotations

import os

from ..calls import DeclarationError
from ..edge import settings as settings_file
from ..edge.server import serve
from . import check
from .target import load


def run(target: str, host: str | None, port: str | None) -> int:
    """Serve until a signal; returns the exit code. host, port: in place of those of the settings. Raises
    DeclarationError that lists every mistake."""
    gateway = load(target)
    if host:
        os.environ["BFF_HOST"] = host
    if port:
        os.environ["BFF_PORT"] = port
    settings = settings_file.load()
    found = list(dict.fromkeys(check.mistakes(gateway, settings)))
    if found:
        raise DeclarationError("\n".join(found))
    serve(gateway, settings)
    return 0
