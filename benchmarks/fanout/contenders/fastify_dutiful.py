"""Fastify and undici with the duties of bff's view with login, by well-known libraries."""

from __future__ import annotations

from ..issuer import AUDIENCE, ISSUER, PEOPLE
from ..place import Place
from ..process import free_port
from . import node
from .contender import Ask, Contender, service_environ

LIMIT = 1_000_000_000
LIBRARIES = (
    "fastify",
    "undici",
    "jose",
    "lru-cache",
    "@fastify/rate-limit",
    "ioredis",
    "opossum",
    "prom-client",
    "pino",
)


def dutiful(place: Place, port: int, admin: int, limit: int = LIMIT) -> tuple[list[str], dict[str, str]]:
    """admin: the port of the metrics; limit: requests a minute of each person."""
    env = {
        "NODE_ENV": "production",
        "BENCH_ISSUER": ISSUER,
        "BENCH_AUDIENCE": AUDIENCE,
        "BENCH_LIMIT": str(limit),
    }
    return node.command("dutiful.js", str(port), str(admin)), service_environ(place) | env


CONTENDER = Contender(
    "dutiful Fastify",
    f"bearer tokens of {PEOPLE:,} people, each verified a moment ago and remembered (jose, lru-cache), limit per "
    "person in Redis by @fastify/rate-limit, correlation and trace ids passed on, one deadline, a breaker for each "
    "service by opossum, prom-client for requests and calls, pino's access log; bodies parsed but not checked",
    Ask("/own/{sku}", people=PEOPLE, remembered=True),
    start=lambda place, port: dutiful(place, port, free_port()),
    missing=node.missing,
    versions=lambda: node.versions(*LIBRARIES),
)
