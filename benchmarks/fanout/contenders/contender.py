"""What a contender is: a name, what it does for a request, and how its process is started."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

from ..bodies import KINDS
from ..place import Place

WAIT = 30.0
"""Seconds for which every contender waits for a service: so long that no call is cut short in a saturated run."""

Start = Callable[[Place, int], tuple[list[str], dict[str, str]]]


@dataclass(frozen=True)
class Contender:
    """name: short and unique; does: what it does for a request; path: template with `{sku}`; token: requests have one;
    start: (place, port) → command and environment; packages: their versions are printed beside its figures; versions:
    of what is no Python package; missing: why it cannot run here, None when it can."""

    name: str
    does: str
    path: str
    token: bool
    start: Start
    packages: tuple[str, ...]
    missing: Callable[[], str | None] = lambda: None
    versions: Callable[[], dict[str, str]] = dict


def served_by_bff(place: Place, port: int) -> tuple[list[str], dict[str, str]]:
    """`bff serve` with its defaults; its default limit is raised so far that it never refuses, but it is counted."""
    return bff_command(port), bff_environ(place)


def bff_command(port: int, *, module: str = "bff") -> list[str]:
    return [sys.executable, "-m", module, "serve", "benchmarks.fanout.gateway:bench", "--port", str(port)]


def bff_environ(place: Place) -> dict[str, str]:
    from ..issuer import AUDIENCE, ISSUER

    trusted = f'[{{"issuer": "{ISSUER}", "audience": "{AUDIENCE}", "jwks_uri": "{place.keys}"}}]'
    env = {
        "BFF_ADMIN_PORT": "0",
        "BFF_REDIS__URL": place.redis,
        "BFF_LIMITS__DEFAULT": "1000000000/minute",
        "BFF_ISSUERS": trusted,
        # A saturated run is measured, so nothing may be refused or left out.
        "BFF_ADMISSION__LAG": "10",
    }
    for kind in KINDS:
        env[f"BFF_UPSTREAMS__{kind.upper()}__URL"] = place.services[kind]
        env[f"BFF_UPSTREAMS__{kind.upper()}__TIMEOUT"] = str(WAIT)
    return env


def served_by_uvicorn(module: str, *options: str) -> Start:
    """An ASGI application `app` in `module` of this folder, on the same server and event loop as bff's."""

    def start(place: Place, port: int) -> tuple[list[str], dict[str, str]]:
        command = [sys.executable, "-m", "uvicorn", f"benchmarks.fanout.contenders.{module}:app"]
        command += ["--port", str(port), "--loop", "uvloop", "--http", "httptools", "--lifespan", "off"]
        env = {f"BENCH_{kind.upper()}": url for kind, url in place.services.items()}
        env |= {"BENCH_REDIS": place.redis, "BENCH_KEYS": place.keys}
        return command + list(options), env

    return start
