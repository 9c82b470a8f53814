"""The programs that tests start, and the processes that run.

`.ci/preflight` knows where each program is, and what to do where it is missing.
"""

from __future__ import annotations

import contextlib
import functools
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@functools.cache
def program(name: str) -> str:
    """The path of `chromium`, `postgres`, `nats-server`, `rabbitmq-server`, `redis-server`, `strip` and others.

    RuntimeError says what to install where it is missing.
    """
    asked = subprocess.run(
        [ROOT / ".ci" / "preflight", "find", name], capture_output=True, text=True, timeout=60, check=False
    )
    if asked.returncode:
        raise RuntimeError(asked.stderr.strip())
    return asked.stdout.strip()


def parents_of_processes() -> dict[int, int]:
    """The parent of each process on this machine, by process id."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it has just ended
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    return parents
