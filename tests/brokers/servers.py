"""Real brokers in their own processes that a test may kill and start again."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from ..conftest import free_port, wait_for_port
from ..programs import program


@dataclass
class Nats:
    """nats-server with JetStream on disk."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    args: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [program("nats-server"), "-a", "127.0.0.1", "-p", str(self.port), "-js", "-sd"]
        with (self.folder / "nats.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, str(self.folder / "store"), *self.args], stdout=log, stderr=log
            )
        wait_for_port(self.port, process=self.process)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@dataclass
class Rabbit:
    """RabbitMQ, an Erlang node of its own."""

    folder: Path
    port: int = field(default_factory=free_port)
    distribution: int = field(default_factory=free_port)
    mapper: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    names: subprocess.Popen[bytes] | None = None
    config: str = ""

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}/"

    def start(self) -> None:
        (self.folder / "plugins").write_text("[].")
        (self.folder / "rabbitmq.conf").write_text(self.config)
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "RABBITMQ_NODENAME": f"test{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self.distribution),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_PID_FILE": str(self.folder / "pid"),
            "ERL_EPMD_PORT": str(self.mapper),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }
        if self.names is None:
            # By default the node starts one that outlives it.
            self.names = subprocess.Popen(
                [program("epmd"), "-port", str(self.mapper), "-address", "127.0.0.1"], env=env
            )
            wait_for_port(self.mapper, process=self.names)
        with (self.folder / "rabbit.log").open("ab") as log:
            self.process = subprocess.Popen(
                [program("rabbitmq-server")], stdout=log, stderr=log, env=env, start_new_session=True
            )
        wait_for_port(self.port, seconds=90, process=self.process)

    def kill(self) -> None:
        """Kill the node and the shell around it, as kill -9 does."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None
            # The shell has ended; the node itself may still be ending.
            end = time.monotonic() + 20
            while time.monotonic() < end:
                with (
                    contextlib.suppress(OSError),
                    socket.create_connection(("127.0.0.1", self.port), timeout=1),
                ):
                    time.sleep(0.05)
                    continue
                break

    def stop(self) -> None:
        """Stop the node and its name server."""
        self.kill()
        if self.names is not None:
            self.names.kill()
            self.names.wait()
            self.names = None
