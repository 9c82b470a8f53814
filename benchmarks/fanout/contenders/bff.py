"""bff's rows. All have every duty: admission, ids, the decision whether the trace is recorded, a limit in Redis,
deadline, breakers, metrics, JSON access log; a row says what it does besides."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from functools import cache

from ..bodies import ROUTES
from ..earlier import BASE, earlier_missing, earlier_paths
from ..issuer import PEOPLE
from ..place import Place
from .contender import PRODUCTS, Ask, Contender, Start, bff_command, bff_environ

_BODY = '{"amount":1}'
_TOGETHER = "bff"
"""The process that several rows share: each is measured alone, and what one leaves behind is what a gateway has."""


def _served(*options: str, app: str = "bench", sample: float | None = None) -> Start:
    def start(place: Place, port: int) -> tuple[list[str], dict[str, str]]:
        env = bff_environ(place) if sample is None else bff_environ(place, sample=sample)
        return bff_command(port, *options, app=app), env

    return start


def _earlier(place: Place, port: int) -> tuple[list[str], dict[str, str]]:
    python, module, *rest = bff_command(port)
    # -P: the package that is found must not be that of the working directory.
    return [python, "-P", module, *rest], bff_environ(place) | {"PYTHONPATH": earlier_paths(place.folder)}


@cache
def _help() -> str:
    return subprocess.run(
        [sys.executable, "-m", "bff", "serve", "--help"], capture_output=True, text=True, check=True
    ).stdout


def _no_workers() -> str | None:
    return None if "--workers" in _help() else "`bff serve` has no option --workers"


def _row(name: str, does: str, ask: Ask, packages: Sequence[str] = ()) -> Contender:
    return Contender(name, does, ask, _served(), tuple(packages), process=_TOGETHER)


PUBLIC = Contender(
    "bff, public",
    "models checked, deadline, breakers, Redis limit, trace and correlation ids, metrics, JSON access log",
    Ask("/open/{sku}"),
    _served(),
    ("httpx", "httpx-aiohttp", "aiohttp", "msgspec", "pydantic", "redis", "limits", "opentelemetry-sdk"),
)
RAW = _row(
    "bff, public, Raw",
    "as public, bodies checked to be JSON and spliced instead of modelled",
    Ask("/raw/{sku}"),
)
LOGIN = _row(
    "bff, login",
    f"as public, and ES256 bearer tokens of {PEOPLE:,} people, each verified a moment ago and remembered; limit per "
    "person, token passed on",
    Ask("/own/{sku}", people=PEOPLE, remembered=True),
    ("pyjwt", "cryptography"),
)
ONE_PERSON = _row(
    "bff, login, one person", "as login, one person", Ask("/own/{sku}", people=1, remembered=True)
)
CACHED = _row(
    "bff, cached",
    f"as public, all three calls answered from the gateway's cache, {PRODUCTS:,} products",
    Ask("/cached/{sku}", products=PRODUCTS, calls=0),
)
KNOWN = _row(
    "bff, 304",
    "as cached, to a client that sends the ETag of the answer",
    Ask("/cached/{sku}", products=PRODUCTS, calls=0, etag=True, status=304),
)
COMMAND = _row(
    "bff, new command",
    "a POST of one person in a thousand with a new Idempotency-Key and one call; claimed and stored in Redis",
    Ask("/reservations/{sku}", _BODY, people=PRODUCTS, remembered=True, calls=1),
)
REPLAY = _row(
    "bff, replay",
    f"the same POST again, answered from what was stored, {PRODUCTS:,} keys; no call",
    Ask("/reservations/{sku}", _BODY, people=PRODUCTS, remembered=True, products=PRODUCTS, calls=0),
)
MANY = Contender(
    f"bff, {ROUTES} routes",
    f"as login, with {ROUTES} routes in turn",
    Ask("/many/{route}/{sku}", people=PEOPLE, remembered=True, routes=ROUTES),
    _served(app="many"),
)
SAMPLED = Contender(
    "bff, sampled",
    "as public, every trace recorded and exported by OTLP to a collector that decodes it",
    Ask("/open/{sku}", spans=1 + 3),
    _served(sample=1.0),
)
WORKERS = Contender(
    "bff, two workers",
    "as public, two workers on the one CPU",
    Ask("/open/{sku}"),
    _served("--workers", "2"),
    missing=_no_workers,
)
EARLIER = Contender(
    f"bff at {BASE}, public",
    "as public, an earlier commit of this project",
    Ask("/open/{sku}"),
    _earlier,
    missing=earlier_missing,
)
ROWS = (
    PUBLIC,
    RAW,
    LOGIN,
    ONE_PERSON,
    MANY,
    SAMPLED,
    CACHED,
    KNOWN,
    COMMAND,
    REPLAY,
    WORKERS,
    EARLIER,
)
