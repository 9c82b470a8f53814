"""A real, temporary PostgreSQL cluster for tests: in its own folder, on its own port, removed at the end.

The server refuses to run as root, so then it runs as `postgres`.
"""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import psycopg
import psycopg.sql

from .conftest import free_port
from .programs import program

# No data must survive a power cut, but a commit must survive the end of the server, so commits are synchronous.
_FAST = {"fsync": "off", "full_page_writes": "off", "max_connections": "200"}


def programs() -> Path:
    """The folder of `initdb` and `postgres`."""
    return Path(program("postgres")).resolve().parent


@dataclass
class PostgresServer:
    """A cluster whose server a test may stop and start again."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def make(self) -> Self:
        """Create the cluster and start it."""
        if self._as:
            who = pwd.getpwnam("postgres")
            os.chown(self.folder, who.pw_uid, who.pw_gid)
        self.folder.chmod(0o700)
        subprocess.run(
            [str(programs() / "initdb"), "-D", str(self.folder / "data"), "-U", "shop", "-A", "trust"]
            + ["--no-sync", "-E", "UTF8", "--locale", "C.UTF-8"],
            check=True,
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            timeout=60,
            **self._as,
        )
        return self.start()

    @property
    def _as(self) -> dict[str, Any]:  # keywords of subprocess
        return {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}

    def start(self) -> Self:
        settings = [f"-c{name}={value}" for name, value in _FAST.items()]
        process: subprocess.Popen[bytes] = subprocess.Popen(
            [str(programs() / "postgres"), "-D", str(self.folder / "data"), "-p", str(self.port)]
            + ["-h", "127.0.0.1", "-k", str(self.folder), *settings],
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **self._as,
        )
        self.process = process
        end = time.monotonic() + 30
        while True:
            try:
                psycopg.connect(self.address("postgres"), connect_timeout=2).close()
                return self
            except psycopg.OperationalError:
                if process.poll() is not None or time.monotonic() > end:
                    raise
                time.sleep(0.02)

    def stop(self) -> None:
        """Stop the server at once, with every connection to it."""
        if self.process is not None:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(20)
            self.process = None

    def address(self, database: str) -> str:
        return f"postgresql://shop@127.0.0.1:{self.port}/{database}"

    def add(self, database: str) -> None:
        """Create an empty database."""
        with psycopg.connect(self.address("postgres"), autocommit=True) as link:
            link.execute(psycopg.sql.SQL("CREATE DATABASE {}").format(psycopg.sql.Identifier(database)))
