"""Fastify and undici, from benchmarks/fanout/node with its lock file."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

from ..place import Place
from .contender import Contender

HERE = Path(__file__).parents[1] / "node"
NODE, NPM = shutil.which("node"), shutil.which("npm")


def missing() -> str | None:
    return None if NODE and NPM else "Node.js with npm is not here"


def start(place: Place, port: int) -> tuple[list[str], dict[str, str]]:
    if not (HERE / "node_modules").exists():
        subprocess.run(
            [str(NPM), "ci", "--silent", "--no-audit", "--no-fund"], cwd=HERE, check=True, timeout=300
        )
    env = {f"BENCH_{kind.upper()}": url for kind, url in place.services.items()} | {"NODE_ENV": "production"}
    return [str(NODE), str(HERE / "server.js"), str(port)], env


def versions() -> dict[str, str]:
    node = subprocess.run([str(NODE), "--version"], capture_output=True, text=True, check=True).stdout.strip()
    found = {"node": node.removeprefix("v")}
    for name in ("fastify", "undici"):
        found[name] = json.loads((HERE / "node_modules" / name / "package.json").read_text())["version"]
    return found


CONTENDER = Contender(
    "Fastify + undici",
    "parallel, parse, merge, stringify; no limit, no ids, no log",
    "/open/{sku}",
    token=False,
    start=start,
    packages=(),
    missing=missing,
    versions=versions,
)
