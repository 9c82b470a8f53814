"""Whether a person stands behind a request: a browser that goes somewhere, and shows what it is answered.

`Sec-Fetch-Mode: navigate` says so where a browser sends it (Fetch Metadata, section 2.3); a script's request says
another mode. Where no such header comes, an `Accept` that names HTML does: programs send `*/*`, or the type they want.
"""

from __future__ import annotations

import re
from collections.abc import MutableMapping
from typing import Any

VARY = "Accept, Sec-Fetch-Mode"
"""What the choice between a page and a problem document depends on."""

_HTML = ("text/html", "application/xhtml+xml")
_JSON = ("application/json", "application/problem+json")
_WEIGHT = re.compile(r"q=(0(?:\.[0-9]{1,3})?|1(?:\.0{1,3})?)")
_MOST = 2_000


def is_navigation(scope: MutableMapping[str, Any]) -> bool:
    """Whether the answer is shown to a person as a page."""
    modes = header_values(scope, b"sec-fetch-mode")
    if modes and modes != [b"navigate"]:
        return False
    if not modes and scope["method"] not in ("GET", "HEAD"):
        return False
    accept = b",".join(header_values(scope, b"accept"))[:_MOST].decode("latin-1")
    html = _weight(accept, _HTML)
    return html > 0 and html >= _weight(accept, _JSON)


def header_values(scope: MutableMapping[str, Any], name: bytes) -> list[bytes]:
    """All values of the header, in their order."""
    return [value for key, value in scope["headers"] if key == name]


def _weight(accept: str, media: tuple[str, ...]) -> float:
    """The best weight with which one of these types is named (RFC 9110 section 12.5.1); 0 where none is."""
    best = 0.0
    for one in accept.split(","):
        kind, *parameters = (part.strip().lower() for part in one.split(";"))
        if kind in media:
            given = [found for part in parameters if (found := _WEIGHT.fullmatch(part))]
            best = max(best, float(given[0][1]) if given else 1.0)
    return best
