"""How many CPU instructions one screen takes, counted by callgrind (valgrind), so that a change that makes the hot path
dearer is seen at once and on any machine.

The benchmark's public screen is asked for in a process of its own, one request after another: from the ASGI scope to
the last message of the answer, with the real calls, cache, breakers, limit, metrics and log. The services answer in the
process, without a connection; Redis is a Valkey beside it. The event loop's clock stands still and advances with each
screen, so that timers run as often on a slow machine as on a fast one; hashes are not random. What is counted is the
process's own code and libraries; the kernel's work is not.

A figure holds for one Python version and architecture: `FIGURES` has one for each that was measured.
`python -m benchmarks instructions` prints the figure of this machine, with `--write` it is stored.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from .fanout.place import valkey_program
from .fanout.process import ROOT

FIGURES = Path(__file__).with_name("instructions.json")
SCREENS, WARM_UP = 300, 50
TOLERANCE = 0.1
"""The share by which a figure may differ from the stored one."""
STEP = 0.01
"""Seconds by which the loop's clock advances with each screen."""
_PATIENCE = 170.0


def missing() -> str | None:
    """Why instructions cannot be counted here; None when they can."""
    both = shutil.which("valgrind") and shutil.which("callgrind_control")
    return None if both else "valgrind is not here: apt-get install valgrind"


def key() -> str:
    """Names what a figure holds for, such as `3.11 x86_64`."""
    return f"{sys.version_info.major}.{sys.version_info.minor} {platform.machine()}"


def stored() -> dict[str, int]:
    """Instructions of one screen, by `key()`."""
    found: dict[str, int] = json.loads(FIGURES.read_text())
    return found


def store(count: int) -> None:
    """Make it this machine's figure."""
    FIGURES.write_text(json.dumps(stored() | {key(): count}, indent=2, sort_keys=True) + "\n")


def verdict(count: int, figures: dict[str, int]) -> str | None:
    """What is wrong with a figure of this machine; None when it is near the stored one."""
    how = "run `python -m benchmarks instructions --write` and commit benchmarks/instructions.json"
    wanted = figures.get(key())
    if wanted is None:
        return f"a screen takes {count:,} instructions, and none are stored for Python {key()}: {how}"
    change = count / wanted - 1
    if abs(count - wanted) <= TOLERANCE * wanted:
        return None
    return (
        f"a screen takes {count:,} instructions, {change:+.1%} of the {wanted:,} that are stored for Python {key()}; "
        f"if that is meant, {how}"
    )


def counted(extra: int = 0) -> int:
    """Instructions of one screen here. extra: further loops of Python in each screen, to see that they are counted.
    Raises RuntimeError when valgrind is missing, or when it failed."""
    if why := missing():
        raise RuntimeError(why)
    with tempfile.TemporaryDirectory(prefix="bff-bench-") as name:
        folder = Path(name)
        valkey, redis = valkey_program(folder)
        try:
            return _under_callgrind(folder, redis, extra) // SCREENS
        finally:
            valkey.stop()


def _under_callgrind(folder: Path, redis: str, extra: int) -> int:
    out = folder / "callgrind.out"
    command = ["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={out}"]
    command += [f"--vgdb-prefix={folder}/vgdb", "--quiet", sys.executable, "-m", "benchmarks.instructions"]
    command += [redis, str(folder), str(extra)]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("BFF_")}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environ | {"PYTHONHASHSEED": "0", "PYTHONMALLOC": "pymalloc"},
            start_new_session=True,
        )
    try:
        ended = process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"no figure after {_PATIENCE:g} s: {_last(folder)}") from None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if ended:
        raise RuntimeError(f"valgrind ended with {ended}: {_last(folder)}")
    totals = [line for one in folder.glob("callgrind.out*") for line in one.read_text().splitlines()]
    found = sum(int(line.split()[1]) for line in totals if line.startswith("totals:"))
    if not found:
        raise RuntimeError(f"valgrind counted nothing: {_last(folder)}")
    return found


def _last(folder: Path) -> str:
    return (folder / "log").read_text(errors="replace")[-3000:]


class _Loop(asyncio.SelectorEventLoop):
    """A loop whose clock stands still between two screens."""

    now: float | None = None

    def time(self) -> float:
        return super().time() if self.now is None else self.now


async def _screens(redis: str, folder: Path, extra: int, loop: _Loop) -> None:
    from bff.edge.settings import Settings

    from .etags import asked
    from .fanout import bodies
    from .fanout.gateway import bench

    settings = {
        "redis": {"url": redis, "timeout": 10},
        "limits": {"default": "1000000000/minute"},
        "admission": {"lag": 10},
        "upstreams": {kind: {"url": "http://127.0.0.1:1", "timeout": 30} for kind in bodies.KINDS},
    }
    await bench.start(Settings.model_validate(settings))
    try:
        if bench.runtime is None:
            raise RuntimeError("the gateway is not running")
        for client in bench.runtime.calls.pipeline.clients.values():
            for backend in client.backends:
                backend.wire = _Services()
        first = await asked(bench, f"/open/{bodies.sku(0)}", {})
        bodies.check(bodies.sku(0), json.loads(first.body))
        for number in range(WARM_UP):
            await asked(bench, f"/open/{bodies.sku(number)}", {})
        loop.now = loop.time()
        _collect(folder, on=True)
        for number in range(SCREENS):
            loop.now += STEP
            answer = await asked(bench, f"/open/{bodies.sku(number)}", {})
            if answer.status != 200 or len(answer.body) != len(first.body):
                raise RuntimeError(f"screen {number} is {answer.status}: {answer.body[:200]!r}")
            for _ in range(extra):
                pass
        _collect(folder, on=False)
        loop.now = None
    finally:
        await bench.stop()


class _Services:
    """The three services, which answer in this process."""

    def __init__(self) -> None:
        from .fanout import bodies

        self._halves = bodies.halves()

    async def send(self, request: Any) -> Any:
        """A `WireRequest` → a `WireResponse`."""
        from bff.transport.wire import WireResponse

        _, kind, sku = request.target.split("/")
        before, after = self._halves[kind]
        return WireResponse(200, {"content-type": "application/json"}, before + sku.encode() + after)

    async def close(self) -> None:
        """Nothing is open."""


def _collect(folder: Path, *, on: bool) -> None:
    """Begin or stop to count, from inside: the process answers while it runs, without ptrace."""
    command = [
        "callgrind_control",
        f"--vgdb-prefix={folder}/vgdb",
        f"--instr={'on' if on else 'off'}",
        str(os.getpid()),
    ]
    control = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    end = time.monotonic() + 60
    while control.poll() is None:
        if time.monotonic() > end:
            raise RuntimeError("callgrind_control does not end")
        time.sleep(0.001)
    if control.returncode:
        raise RuntimeError(f"callgrind_control: {control.stdout.read() if control.stdout else ''}")


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=_Loop) as runner:
        own = runner.get_loop()
        assert isinstance(own, _Loop)
        runner.run(_screens(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), own))
