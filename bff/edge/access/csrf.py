"""Cross-site request forgery: a write that rests on the session cookie must come from this site's own page.

The header `X-BFF: 1` is the proof: another site's page cannot send it without a preflight, which is never granted.
Sec-Fetch-Site and Origin, where a browser sends them, must agree. A bearer token is not sent by browsers on their own,
so API clients are exempt. The live stream and what belongs to it are read with a cookie and without a header of ours,
for an EventSource cannot send one: there Sec-Fetch-Site alone decides, and only where a browser sends it.
"""

from __future__ import annotations

import re
from collections.abc import MutableMapping
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from ...calls import Principal
from ..problem import Problem

# `none` is the person at the address bar.
_OWN_SITE = (b"sec-fetch-site", (b"same-origin", b"none"))
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
    own = _origin_of(public_url)
    if any(own is None or _origin(value.decode("latin-1")) != own for value in _values(scope, b"origin")):
        raise _forged("its Origin is another site's")


def check_read(scope: MutableMapping[str, Any], principal: Principal) -> None:
    """Raises Problem 403 `csrf` for a cookie-authenticated read that another site's page makes: it could not see the
    answer, but a stream of its own making would take the place of one of the person's."""
    name, own = _OWN_SITE
    if principal.session is not None and any(value not in own for value in _values(scope, name)):
        raise Problem(
            403, "csrf", "This is read by this site's own page only: its Sec-Fetch-Site says another."
        )


def check_navigation(scope: MutableMapping[str, Any]) -> None:
    """Raises Problem 403 `csrf` for what is not a browser going somewhere from this site's own page: a script could
    read where an answer leads, and another site's page has no business there."""
    wanted = ((b"sec-fetch-mode", (b"navigate",)), (b"sec-fetch-dest", (b"document",)), _OWN_SITE)
    for name, allowed in wanted:
        if any(value not in allowed for value in _values(scope, name)):
            raise Problem(
                403, "csrf", f"Go there with the browser: its {name.decode().title()} says another."
            )


def _values(scope: MutableMapping[str, Any], name: bytes) -> list[bytes]:
    return [value for key, value in scope["headers"] if key == name]


# RFC 6454 section 6.2: scheme, host and port, and nothing else, so no user information, path or blank.
_ORIGIN = re.compile(r"(https?)://([a-z0-9._~-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?", re.ASCII)


def _origin(text: str) -> tuple[str, str, int] | None:
    found = _ORIGIN.fullmatch(text.lower())
    if found is None:
        return None
    scheme, host, port = found.groups()
    return scheme, host, int(port) if port else _PORTS[scheme]


@lru_cache(maxsize=16)
def _origin_of(public_url: str) -> tuple[str, str, int] | None:
    """The origin of a whole address, which may have a path."""
    parts = urlsplit(public_url)
    try:
        # Browsers write a name outside ASCII in its encoded form.
        return _origin(f"{parts.scheme}://{parts.netloc.encode('idna').decode()}")
    except UnicodeError:
        return None


def _forged(why: str) -> Problem:
    return Problem(403, "csrf", f"A write with a session cookie must come from this site's own page: {why}.")
