"""`bff openapi`: print the gateway's OpenAPI description, or compare it with a file in which a frontend keeps it.

The description is that of the declarations and the settings at hand, as `/openapi.json` has it, except that
`servers` is left out: the same gateway then has the same description on every machine. The keys keep their order and
the text ends with a newline, so that a file in a repository changes only where the gateway does.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..calls import DeclarationError
from ..edge import settings as settings_file
from ..edge.describe import openapi
from ..edge.gateway import Gateway
from .target import load

# Differences that are printed at most; the rest is counted.
_SHOWN = 20


def text_of(gateway: Gateway) -> str:
    """The description as JSON. Raises DeclarationError for settings with mistakes."""
    document = openapi.document(gateway, gateway.version, settings_file.load())
    del document["servers"]
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def run(target: str, file: Path | None) -> int:
    """Print the description, or compare it with `file`; returns the exit code: 1 where they differ. Raises
    DeclarationError."""
    text = text_of(load(target))
    if file is None:
        print(text, end="")
        return 0
    cure = f"write it again: bff openapi {target} > {file}"
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DeclarationError(f"{file} cannot be read: {error}; {cure}") from None
    found = list(_differences(stored, json.loads(text), ""))
    if not found:
        return 0
    print(f"{file} is not the description of {target}; {cure}", file=sys.stderr)
    for line in found[:_SHOWN]:
        print(f"  {line}", file=sys.stderr)
    if len(found) > _SHOWN:
        print(f"  and {len(found) - _SHOWN} more", file=sys.stderr)
    return 1


def _differences(stored: Any, now: Any, at: str) -> Iterator[str]:
    """A line for each place, as a JSON pointer (RFC 6901)."""
    if isinstance(stored, dict) and isinstance(now, dict):
        for name in sorted(stored.keys() | now.keys()):
            pointer = f"{at}/{name.replace('~', '~0').replace('/', '~1')}"
            if name not in now:
                yield f"{pointer}: only in the file"
            elif name not in stored:
                yield f"{pointer}: not in the file"
            else:
                yield from _differences(stored[name], now[name], pointer)
    elif isinstance(stored, list) and isinstance(now, list) and len(stored) == len(now):
        for number, (old, new) in enumerate(zip(stored, now, strict=True)):
            yield from _differences(old, new, f"{at}/{number}")
    elif type(stored) is not type(now) or stored != now:
        yield f"{at or '/'}: changed"
