"""The load: so many connections that send requests for so many seconds, from a process of its own (`own_load.py`) on
the CPU beside the contender's. It is the same generator on every machine.

Where a row does not say otherwise every request has another sku, so that no answer comes from a cache or is coalesced.
Status and length of every answer are checked, and a shortened screen counts as wrong.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from .process import AROUND, ROOT, pin


@dataclass(frozen=True)
class Load:
    """What is sent.

    head, body   of a request; `{sku}`, `{route}`, `{token}`, `{etag}` and `{key}` are filled in
    first        number of the first request, from which its sku and key are made
    seconds      of the run, 0: no bound;  count  it ends after so many answers, 0: no bound
    rate         requests a second, 0: as fast as answers come
    status, length   of a correct answer, the length of its body in bytes
    products     so many skus in turn, 0: another one for each request;  routes  so many in turn
    tokens       used in turn, none for no Authorization header;  etags  one for each of the products
    """

    port: int
    head: str
    first: int
    connections: int
    seconds: float
    length: int
    status: int = 200
    body: str = ""
    rate: float = 0.0
    count: int = 0
    products: int = 0
    routes: int = 1
    tokens: tuple[str, ...] = ()
    etags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Loaded:
    """rate: answers a second; p50, p99, p999: milliseconds; wrong: incorrect answers, and broken connections."""

    answers: int
    rate: float
    p50: float
    p99: float
    p999: float
    wrong: int


def apply(load: Load, folder: Path) -> Loaded:
    """Run the load. Raises RuntimeError when the generator itself failed."""
    plan = folder / "load.json"
    plan.write_text(json.dumps(asdict(load)))
    command = [sys.executable, "-m", "benchmarks.fanout.own_load", str(plan)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, preexec_fn=lambda: pin(AROUND)
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        raise RuntimeError(f"the load failed: {done.stdout[-500:]} {done.stderr[-500:]}")
    return Loaded(**json.loads(lines[-1]))
