"""Switches of a demo that ask nobody who they are: only a program or a page of this machine, under a loopback name,
may use them.

Promises three things of a route it wraps. `Host` is a loopback name, so that a foreign name which was made to resolve
to this machine (DNS rebinding) reaches nothing. A request that changes something comes from a program or from the
origin's own page: `Sec-Fetch-Site` and `Origin`, where a browser sends them, say so; "simple" cross-site requests
(Fetch standard, CORS-safelisted) are refused. The answer is neither framed nor read by another origin.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from ipaddress import ip_address

from bff_service import Problem
from starlette.requests import Request
from starlette.responses import Response

Endpoint = Callable[[Request], Awaitable[Response]]

_SAFE = ("GET", "HEAD", "OPTIONS")
_HEADERS = {
    "x-frame-options": "DENY",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}


def is_loopback(host: str) -> bool:
    """Whether the value of a `Host` header names this machine: `localhost`, a name below it, 127.0.0.0/8 or ::1."""
    if host.startswith("["):
        name, _, port = host[1:].partition("]")
        port = port.removeprefix(":")
    else:
        name, _, port = host.partition(":")
    if port and not (port.isascii() and port.isdigit()):
        return False
    name = name.lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def refusal(request: Request) -> Problem | None:
    """Why this request is not let in; None: it is."""
    hosts = request.headers.getlist("host")
    if len(hosts) != 1 or not is_loopback(hosts[0]):
        return Problem(421, "misdirected", "This is served under a loopback name only, such as localhost.")
    if request.method in _SAFE:
        return None
    sites = request.headers.getlist("sec-fetch-site")
    origins = request.headers.getlist("origin")
    own = f"{request.url.scheme}://{hosts[0]}"
    if any(site not in ("same-origin", "none") for site in sites) or any(origin != own for origin in origins):
        return Problem(403, "forbidden", "Another site's page may not use this.")
    return None


def loopback_only(endpoint: Endpoint) -> Endpoint:
    """The endpoint behind this rule. Its own headers stay. Raises Problem 403 or 421."""

    async def guarded(request: Request) -> Response:
        if (problem := refusal(request)) is not None:
            problem.headers = {**problem.headers, **_HEADERS}
            raise problem
        response = await endpoint(request)
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    return guarded
