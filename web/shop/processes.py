"""The demo's services as processes: started together, watched, restarted when they die, ended together."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .embedded import CannotStart

RESTART_AFTER = 1.0
READY_WITHIN = 30.0


@dataclass
class Service:
    """One service: its name, its port, and the process that runs it now. command: starts it; None: the service of that
    name below `upstreams`."""

    name: str
    port: int
    command: tuple[str, ...] | None = None
    process: subprocess.Popen[bytes] | None = None
    died_at: float | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def up(self) -> bool:
        return self.process is not None and self.process.poll() is None


@dataclass
class Fleet:
    """All services of the demo. environment: common to all; logs: a folder, one file each."""

    services: tuple[Service, ...]
    environment: Mapping[str, str]
    logs: Path
    _ending: bool = field(default=False, init=False)

    def start(self) -> None:
        """Start all and return when each is ready; prints the progress. Raises CannotStart."""
        self.logs.mkdir(parents=True, exist_ok=True)
        for service in self.services:
            self._spawn(service)
        end = time.monotonic() + READY_WITHIN
        for service in self.services:
            while not _ready(service.url):
                if not service.up or time.monotonic() > end:
                    raise CannotStart(
                        f"{service.name} did not start; its log is {self.logs / service.name}.log"
                    )
                time.sleep(0.05)
            print(f"  ready  {service.name:<13} {service.url}", flush=True)

    def _spawn(self, service: Service) -> None:
        with (self.logs / f"{service.name}.log").open("ab") as log:
            service.process = subprocess.Popen(  # noqa: S603 - our own modules, no shell
                service.command or [sys.executable, "-m", f"upstreams.{service.name}"],
                env={**os.environ, **self.environment, "SHOP_PORT": str(service.port)},
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C must reach only this process, which then ends the others in order.
                start_new_session=True,
            )
        service.died_at = None

    async def watch(self) -> None:
        """Restart a dead service after a second, for ever."""
        while True:
            await asyncio.sleep(0.2)
            for service in self.services:
                if service.up or self._ending:
                    continue
                now = time.monotonic()
                service.died_at = service.died_at or now
                if now - service.died_at >= RESTART_AFTER:
                    self._spawn(service)

    def kill(self, name: str) -> int:
        """SIGKILL one service; returns the process id. Raises KeyError."""
        service = self.named(name)
        if service.process is None or not service.up:
            raise KeyError(name)
        service.process.kill()
        return service.process.pid

    def named(self, name: str) -> Service:
        for service in self.services:
            if service.name == name:
                return service
        raise KeyError(name)

    def stop(self) -> None:
        """End all: SIGTERM, and SIGKILL for those that still run after five seconds."""
        self._ending = True
        running = [one.process for one in self.services if one.process is not None]
        for process in running:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        end = time.monotonic() + 5
        for process in running:
            try:
                process.wait(max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)


def check_ports(ports: Mapping[int, str]) -> None:
    """Raises CannotStart that names every port in use and what to do."""
    taken = []
    for port, what in ports.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                taken.append(f"  {port} (for {what})")
    if taken:
        raise CannotStart(
            "These ports are in use:\n"
            + "\n".join(taken)
            + "\nEnd what listens there (`lsof -i :PORT` tells; perhaps an earlier demo) and try again."
        )


# The machine's proxy cannot reach its loopback.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _ready(url: str) -> bool:
    try:
        with _DIRECT.open(f"{url}/readyz", timeout=1) as answer:
            ready: bool = answer.status == 200
            return ready
    except OSError:
        return False
