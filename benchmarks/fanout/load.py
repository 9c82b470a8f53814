"""The load: so many connections, each of which sends the next request after its answer, for so many seconds.

`wrk` where it is on PATH and the seconds are whole (it accepts no others), else a small load generator of our own; both
run on the CPU beside the contender's. Every request has another sku, so that no answer comes from a cache or is
coalesced. Status and length of every answer are checked, and a shortened screen counts as wrong.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from .process import AROUND, ROOT, pin

WRK = shutil.which("wrk")


@dataclass(frozen=True)
class Load:
    """path: template with `{sku}`; first: number of the first sku; length: bytes of a correct body; tokens: used in
    turn, none for no Authorization header."""

    port: int
    path: str
    first: int
    connections: int
    seconds: float
    length: int
    tokens: tuple[str, ...] = ()


@dataclass(frozen=True)
class Loaded:
    """rate: answers a second; p50, p99: milliseconds; wrong: incorrect answers, and broken connections."""

    answers: int
    rate: float
    p50: float
    p99: float
    wrong: int


def name(seconds: float) -> str:
    """The name of the tool, for the report."""
    if WRK is None or not seconds.is_integer():
        return "own asyncio load"
    said = subprocess.run([WRK, "-v"], capture_output=True, text=True, check=False).stdout
    return " ".join(said.split()[:2])


def apply(load: Load, folder: Path) -> Loaded:
    """Run the load. Raises RuntimeError when the tool itself failed."""
    if WRK is not None and load.seconds.is_integer():
        script = folder / "load.lua"
        script.write_text(_lua(load))
        command = [
            WRK,
            "-t1",
            f"-c{load.connections}",
            f"-d{load.seconds:.0f}s",
            "--timeout",
            "30s",
        ]
        command += ["-s", str(script), f"http://127.0.0.1:{load.port}"]
    else:
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


def _lua(load: Load) -> str:
    before, _, after = load.path.partition("{sku}")
    tokens = ", ".join(f'"Bearer {token}"' for token in load.tokens)
    return f"""
local tokens = {{ {tokens} }}
local number = {load.first}
wrong = 0
local mine
function setup(thread) mine = thread end
function request()
  number = number + 1
  local headers = {{}}
  if #tokens > 0 then headers["Authorization"] = tokens[number % #tokens + 1] end
  return wrk.format("GET", string.format("{before}p%09d{after}", number), headers)
end
function response(status, headers, body)
  if status ~= 200 or #body ~= {load.length} then wrong = wrong + 1 end
end
function done(summary, latency, requests)
  local e = summary.errors
  local bad = mine:get("wrong") + e.connect + e.read + e.write + e.timeout
  print(string.format('{{"answers": %d, "rate": %.1f, "p50": %.3f, "p99": %.3f, "wrong": %d}}',
    summary.requests, summary.requests / summary.duration * 1e6,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000, bad))
end
"""
