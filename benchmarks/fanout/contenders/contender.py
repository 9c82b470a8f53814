"""What a contender is: a name, what it does for a request, what it is asked, and how its process is started."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

from ..bodies import KINDS
from ..place import Place

WAIT = 30.0
"""Seconds for which every contender waits for a service: so long that no call is cut short in a saturated run."""
PRODUCTS = 1_000
"""As many products as a row asks for again and again, where its answers come from a store."""
UNSAMPLED = 1e-6
"""The share of traces that are recorded where none is meant to be: small, but decided for each request."""

Start = Callable[[Place, int], tuple[list[str], dict[str, str]]]


@dataclass(frozen=True)
class Ask:
    """One row's requests.

    path      template with `{sku}`, and `{route}` where there are several
    body      of a POST with an Idempotency-Key of its own; "": a GET
    people    so many tokens in turn; 0: no Authorization header
    remembered  each token is used once before every run, so that the contender has verified it a moment ago
    products  so many in turn, each asked for once before the first run; 0: another product for each request, so that
              nothing can be stored or shared
    etag      with the If-None-Match of the product's answer: 304
    calls     of services for each request; fewer make the row wrong, and so do any where there must be none
    spans     exported for each request, at least
    status    of a correct answer
    routes    so many routes in turn
    """

    path: str
    body: str = ""
    people: int = 0
    remembered: bool = False
    products: int = 0
    etag: bool = False
    calls: int = len(KINDS)
    spans: int = 0
    status: int = 200
    routes: int = 1

    @property
    def head(self) -> str:
        lines = [f"{'POST' if self.body else 'GET'} {self.path} HTTP/1.1", "Host: bench"]
        lines += ["Authorization: Bearer {token}"] if self.people else []
        lines += ["If-None-Match: {etag}"] if self.etag else []
        if self.body:
            lines += ["Content-Type: application/json", f"Content-Length: {len(self.body)}"]
            lines += ["Idempotency-Key: {key}"]
        return "\r\n".join([*lines, "", ""])


@dataclass(frozen=True)
class Contender:
    """name: short and unique; does: what it does for a request; ask: what it is asked; start: (place, port) → command
    and environment; packages: their versions are printed beside its figures; versions: of what is no Python package;
    missing: why it cannot run here, None when it can; process: contenders of the same name share one."""

    name: str
    does: str
    ask: Ask
    start: Start
    packages: tuple[str, ...] = ()
    missing: Callable[[], str | None] = lambda: None
    versions: Callable[[], dict[str, str]] = dict
    process: str = ""

    @property
    def shared(self) -> str:
        return self.process or self.name


def bff_command(port: int, *options: str, app: str = "bench") -> list[str]:
    """`bff serve` of the benchmark's gateway."""
    command = [sys.executable, "-m", "bff", "serve", f"benchmarks.fanout.gateway:{app}"]
    return [*command, "--port", str(port), *options]


def bff_environ(place: Place, *, admin: int = 0, sample: float = UNSAMPLED) -> dict[str, str]:
    """bff's defaults; the default limit is raised so far that it never refuses, but it is counted. admin: the port of
    its metrics."""
    from ..issuer import AUDIENCE, ISSUER

    trusted = f'[{{"issuer": "{ISSUER}", "audience": "{AUDIENCE}", "jwks_uri": "{place.keys}"}}]'
    env = {
        "BFF_ADMIN_PORT": str(admin),
        "BFF_REDIS__URL": place.redis,
        "BFF_LIMITS__DEFAULT": "1000000000/minute",
        "BFF_ISSUERS": trusted,
        "BFF_TELEMETRY__OTLP": place.collector,
        "BFF_TELEMETRY__SAMPLE": f"{sample:f}",
        # A saturated run is measured, so nothing may be refused or left out.
        "BFF_ADMISSION__LAG": "10",
    }
    for kind in KINDS:
        env[f"BFF_UPSTREAMS__{kind.upper()}__URL"] = place.services[kind]
        env[f"BFF_UPSTREAMS__{kind.upper()}__TIMEOUT"] = str(WAIT)
    return env


def service_environ(place: Place) -> dict[str, str]:
    """Where the services, Redis and the issuer's keys are, for contenders that read no settings of bff."""
    env = {f"BENCH_{kind.upper()}": url for kind, url in place.services.items()}
    return env | {"BENCH_REDIS": place.redis, "BENCH_KEYS": place.keys}


def served_by_uvicorn(module: str, *options: str) -> Start:
    """An ASGI application `app` in `module` of this folder, on the same server and event loop as bff's."""

    def start(place: Place, port: int) -> tuple[list[str], dict[str, str]]:
        command = [sys.executable, "-m", "uvicorn", f"benchmarks.fanout.contenders.{module}:app"]
        command += ["--port", str(port), "--loop", "uvloop", "--http", "httptools", "--lifespan", "off"]
        return command + list(options), service_environ(place)

    return start
