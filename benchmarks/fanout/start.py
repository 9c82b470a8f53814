"""What the start of a program costs: `import bff` alone, and `bff serve` until its first screen, now and at an earlier
commit, in turns.

CPU is user and system time of the process; compiled files are there, because each is started once before.
"""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from .bodies import sku
from .contenders.bff import EARLIER, PUBLIC
from .contenders.contender import Contender
from .earlier import earlier_missing, earlier_paths
from .place import Place
from .process import CONTENDER, ROOT, Program, free_port, pin

_PATIENCE = 60.0


@dataclass
class Figures:
    """Of each pass: CPU milliseconds of the import; CPU and wall-clock milliseconds until the first answer."""

    imported: list[float] = field(default_factory=list)
    served: list[float] = field(default_factory=list)
    waited: list[float] = field(default_factory=list)


@dataclass
class Starts:
    """earlier: None where that commit is not here."""

    now: Figures
    earlier: Figures | None


def measure(where: Place, passes: int) -> Starts:
    """In turns. Of several passes one more is made first, which only fills caches. Raises RuntimeError for a program
    that does not start."""
    starts = Starts(Figures(), None if earlier_missing() else Figures())
    for number in range(passes + (passes > 1)):
        unused = number == 0 and passes > 1
        _one(where, PUBLIC, {}, Figures() if unused else starts.now)
        if starts.earlier is not None:
            path = {"PYTHONPATH": earlier_paths(where.folder)}
            _one(where, EARLIER, path, Figures() if unused else starts.earlier)
    return starts


def _one(where: Place, contender: Contender, path: dict[str, str], figures: Figures) -> None:
    figures.imported.append(_imported(path))
    port = free_port()
    command, env = contender.start(where, port)
    began = time.monotonic()
    program = where.start("start", command, env)
    try:
        program.pin(CONTENDER)
        _until(lambda: _answers(port), program)
        figures.waited.append((time.monotonic() - began) * 1000)
        figures.served.append(program.cpu() * 1000)
    finally:
        # What it costs to end is not measured, and a gateway that is told to stop waits for its clients.
        program.signal(signal.SIGKILL)
        program.stop()


def _imported(path: dict[str, str]) -> float:
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", "import bff"],
        env=os.environ | {"PYTHONPATH": str(ROOT)} | path,
        preexec_fn=lambda: pin(CONTENDER),
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"`import bff` ended with {process.returncode}")
    return (usage.ru_utime + usage.ru_stime) * 1000


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", f"/open/{sku(0)}")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _until(done: Callable[[], bool], program: Program) -> None:
    end = time.monotonic() + _PATIENCE
    while not done():
        if time.monotonic() > end:
            raise RuntimeError(f"no answer after {_PATIENCE:g} s: {program.last_words()}")
        time.sleep(0.005)
