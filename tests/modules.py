"""Python modules started as programs by a server that has already imported what they need: `python -m` in a fifth of
the time.

Each is a process of its own that can be killed, frozen and stopped like any other. The differences: the libraries were
imported before its environment was set, and its parent is the server.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Mapping
from multiprocessing.context import ForkServerContext
from pathlib import Path

from .roomy import with_room

_context: ForkServerContext | None = None


class Module:
    """A running module, with the parts of Popen that the tests use."""

    def __init__(
        self, name: str, arguments: list[str], folder: Path, log: Path, env: Mapping[str, str]
    ) -> None:
        self.args = [sys.executable, "-m", name, *arguments]
        self._process = _server().Process(
            target=_run, args=(name, arguments, str(folder), str(log), dict(env)), daemon=True
        )
        self._process.start()
        self.pid: int = self._process.pid or 0

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _server() -> ForkServerContext:
    global _context
    if _context is None:
        _context = multiprocessing.get_context("forkserver")
        _context.set_forkserver_preload(["tests.loaded"])
    return _context


def _run(name: str, arguments: list[str], folder: str, log: str, env: dict[str, str]) -> None:
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.close(out)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(env)
    # As `python -m` finds it.
    sys.argv = [name, *arguments]
    try:
        with_room(runpy.run_module)(name, run_name="__main__", alter_sys=True)
    finally:
        atexit._run_exitfuncs()
        sys.stdout.flush()
