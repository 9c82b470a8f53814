"""A started program on its own CPU, and what the kernel reports about it: CPU time, memory.

CPU 0 is the contender's, the last CPU belongs to everything around it. Where there is only one CPU, or the system has
no affinity, nothing is pinned and the report says so.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# The kernel's CPUCLOCK_SCHED: a clock of the process that counts its run time in nanoseconds.
_RAN = 2
_CPUS = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
PINNED = len(_CPUS) > 1
CONTENDER = _CPUS[0] if PINNED else None
AROUND = _CPUS[-1] if PINNED else None


def pin(cpu: int | None) -> None:
    """Pin this process to one CPU; None: do not pin it."""
    if cpu is not None:
        os.sched_setaffinity(0, {cpu})


def free_port() -> int:
    """A port on loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Program:
    """Starts at once, its output in a file; `stop()` is SIGTERM and a wait of ten seconds, then SIGKILL."""

    def __init__(
        self, command: Sequence[str], *, log: Path, cpu: int | None, env: Mapping[str, str] | None = None
    ) -> None:
        # Settings and proxies of the user who runs this must not affect it.
        clean = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("BFF_") and not name.lower().endswith("_proxy")
        }
        self.log = log
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**clean, **(env or {})},
                stdout=out,
                stderr=subprocess.STDOUT,
                preexec_fn=lambda: pin(cpu),
            )
        self.pid = self._process.pid

    def ready(self, port: int, seconds: float = 30.0) -> None:
        """Return once it accepts connections on the port. Raises RuntimeError with the end of its output."""
        end = time.monotonic() + seconds
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            except OSError:
                if self._process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"not serving: {self.last_words()}") from None
            time.sleep(0.02)

    def last_words(self) -> str:
        return self.log.read_text(errors="replace")[-2000:]

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def processes(self) -> list[int]:
        """Its process id and those of the programs that it runs (workers), at every depth."""
        found = [self.pid]
        for pid in found:
            for thread in Path(f"/proc/{pid}/task").iterdir():
                found += map(int, (thread / "children").read_text().split())
        return found

    def cpu(self) -> float:
        """Seconds of user and system time so far, of all threads and of the programs that it runs
        (clock_getcpuclockid(3); proc(5) has it rounded to hundredths)."""
        return sum(time.clock_gettime((~pid << 3) | _RAN) for pid in self.processes())

    def memory(self) -> float:
        """Resident megabytes; of the largest where it runs several processes."""
        return max(map(_resident, self.processes()))

    def pin(self, cpu: int | None) -> None:
        """Move all its threads, and those of the programs that it runs, to one CPU."""
        if cpu is not None:
            for pid in self.processes():
                for thread in Path(f"/proc/{pid}/task").iterdir():
                    os.sched_setaffinity(int(thread.name), {cpu})

    def idle(self, seconds: float = 5.0) -> None:
        """Return once it uses next to no CPU (a tenth of one), or after so many seconds."""
        end = time.monotonic() + seconds
        before = -1.0
        while (now := self.cpu()) - before > 0.005 and time.monotonic() < end:
            before = now
            time.sleep(0.05)


def _resident(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0
