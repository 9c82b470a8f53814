"""Cross-site request forgery: a write that is authenticated by the session cookie must come from this site's own page.

The header `X-BFF: 1` proves it: another site's page cannot send it without a preflight, which is never granted.
Sec-Fetch-Site and Origin, where a browser sends them, must agree. Browsers do not send bearer tokens by themselves, so
API clients are exempt. The live stream and its snapshot are read with a cookie and without that header, because an
EventSource cannot send one: there Sec-Fetch-Site alone decides, and only where a browser sends it.
A frontend server (http/frontends.py) sends `X-BFF: 1` for every person, also for one whose browser another site's page
controls: it must pass on what the browser says about where the request comes from, and one of the two headers is
required.
"""

from __future__ import annotations

import re
from collections.abc import MutableMapping
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from ...calls import Principal
from ..http.request import SAFE_METHODS, header_values
from ..problem import Problem
from ..state import state_of

# `none`: the person used the address bar.
_SAME_ORIGIN = (b"sec-fetch-site", (b"same-origin", b"none"))
_PORTS = {"http": 80, "https": 443}


def check(scope: MutableMapping[str, Any], principal: Principal | None, public_url: str) -> None:
    """Raises Problem 403 `csrf` for a cookie-authenticated write without proof that this site's own page makes it."""
    if scope["method"] not in SAFE_METHODS and principal is not None and principal.session is not None:
        check_request(scope, public_url)


def check_request(scope: MutableMapping[str, Any], public_url: str) -> None:
    """The same check for a write with a session cookie, whether the session exists or not, and for one without
    credentials that only this site's own page may make."""
    if header_values(scope, b"x-bff") != [b"1"]:
        raise _forged("send the header X-BFF: 1")
    # Every browser sends at least one of the two headers with a write. A client that sends neither is no browser.
    sites, origins = header_values(scope, b"sec-fetch-site"), header_values(scope, b"origin")
    if any(value != b"same-origin" for value in sites):
        raise _forged("its Sec-Fetch-Site is not same-origin")
    site = _origin_of(public_url)
    if any(site is None or _origin(value.decode("latin-1")) != site for value in origins):
        raise _forged("its Origin is another site's")
    if state_of(scope).frontend is not None and not (sites or origins):
        raise _forged("a frontend server must pass on the browser's Origin and Sec-Fetch-Site")


def check_read(scope: MutableMapping[str, Any], principal: Principal) -> None:
    """Raises Problem 403 `csrf` for a cookie-authenticated read by another site's page: it cannot see the answer, but
    its stream would replace one of the person's streams."""
    name, allowed = _SAME_ORIGIN
    if principal.session is not None and any(value not in allowed for value in header_values(scope, name)):
        raise Problem(
            403, "csrf", "Only this site's own page may read this: its Sec-Fetch-Site says otherwise."
        )


def check_navigation(scope: MutableMapping[str, Any]) -> None:
    """Raises Problem 403 `csrf` for anything but a navigation from this site's own page: a script could read where the
    answer leads, and another site's page must not sign people out."""
    wanted = ((b"sec-fetch-mode", (b"navigate",)), (b"sec-fetch-dest", (b"document",)), _SAME_ORIGIN)
    for name, allowed in wanted:
        if any(value not in allowed for value in header_values(scope, name)):
            raise Problem(
                403, "csrf", f"Go there with the browser: its {name.decode().title()} says otherwise."
            )


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
    """The origin of an address, which may have a path."""
    parts = urlsplit(public_url)
    try:
        # Browsers send a name outside ASCII in its encoded form.
        return _origin(f"{parts.scheme}://{parts.netloc.encode('idna').decode()}")
    except UnicodeError:
        return None


def _forged(why: str) -> Problem:
    return Problem(403, "csrf", f"This write must come from this site's own page: {why}.")
