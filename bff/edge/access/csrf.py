"""Cross-site request forgery: a write that rests on the session cookie must come from this site's own page.

The header `X-BFF: 1` is the proof: another site's page cannot send it without a preflight, which is never granted.
Sec-Fetch-Site and Origin, where a browser sends them, must agree. A bearer token is not sent by browsers on their own,
so API clients are exempt. The live stream and what belongs to it are read with a cookie and without a header of ours,
for an EventSource cannot send one: there Sec-Fetch-Site alone decides, and only where a browser sends it.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any
from urllib.parse import urlsplit

from ...calls import Principal
from ..problem import Problem

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_PORTS = {"http": 80, "https": 443}


def check(scope: MutableMapping[str, Any], principal: Principal | None, public_url: str) -> None:
    """Raises Problem 403 `csrf` for a cookie-authenticated write that is not provably the own page's."""
    if scope["method"] in _SAFE or principal is None or principal.session is None:
        return
    check_request(scope, public_url)


def check_request(scope: MutableMapping[str, Any], public_url: str) -> None:
    """The same for a request that is known to write with a cookie, whoever's it is."""
    if _values(scope, b"x-bff") != [b"1"]:
        raise _forged("send the header X-BFF: 1")
    # A browser that sends neither of the two on a write does not exist; another client has no foreign page in it.
    if any(value != b"same-origin" for value in _values(scope, b"sec-fetch-site")):
        raise _forged("its Sec-Fetch-Site is not same-origin")
    own = _origin(public_url)
    if any(_origin(value.decode("latin-1")) != own for value in _values(scope, b"origin")):
        raise _forged("its Origin is another site's")


def check_read(scope: MutableMapping[str, Any], principal: Principal) -> None:
    """Raises Problem 403 `csrf` for a cookie-authenticated read that another site's page makes: it could not see the
    answer, but a stream of its own making would take the place of one of the person's."""
    if principal.session is not None and any(
        # `none` is the person at the address bar.
        value not in (b"same-origin", b"none")
        for value in _values(scope, b"sec-fetch-site")
    ):
        raise Problem(
            403, "csrf", "This is read by this site's own page only: its Sec-Fetch-Site says another."
        )


def _values(scope: MutableMapping[str, Any], name: bytes) -> list[bytes]:
    return [value for key, value in scope["headers"] if key == name]


def _origin(url: str) -> tuple[str, str, int] | None:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _PORTS or not parts.hostname:
        return None
    return parts.scheme, parts.hostname, _PORTS[parts.scheme] if port is None else port


def _forged(why: str) -> Problem:
    return Problem(403, "csrf", f"A write with a session cookie must come from this site's own page: {why}.")
