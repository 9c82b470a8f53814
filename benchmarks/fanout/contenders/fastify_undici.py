"""Fastify and undici with no duties."""

from __future__ import annotations

from ..place import Place
from . import node
from .contender import Ask, Contender, service_environ


def start(place: Place, port: int) -> tuple[list[str], dict[str, str]]:
    return node.command("server.js", str(port)), service_environ(place) | {"NODE_ENV": "production"}


CONTENDER = Contender(
    "Fastify + undici",
    "parallel, parse, merge, stringify; no limit, no ids, no log",
    Ask("/open/{sku}"),
    start=start,
    missing=node.missing,
    versions=lambda: node.versions("fastify", "undici"),
)
