"""`bff dev`: an embedded Valkey, a sign-in, the project's services and the gateway, reloaded on save; Ctrl-C ends
everything.

The sockets belong to this process and stay open during reloads. After a change a new gateway is started; when it
accepts connections, the old one is asked to end, and ends its streams with `bye` at once. If the new gateway does not
start, the old one continues. Nothing listens on addresses that other machines can reach.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import FrameType

from ...calls import DeclarationError
from ...edge import settings as settings_file
from ...edge.server import listen
from ...edge.settings import Settings
from ...edge.settings.sources import PREFIX
from .processes import Process, ProcessGroup, end
from .project import (
    Project,
    Snapshot,
    changed_files,
    environment,
    for_development,
    read_project,
    snapshot,
    uses,
)
from .sign_in.settings import is_loopback_url
from .sign_in_process import SignInProcess

# Seconds between two checks of the project's files.
LOOK = 0.25
# Connections that wait while no gateway accepts them.
BACKLOG = 2048
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(target: str | None, port: int | None, *, sign_in: bool | None = None) -> int:
    """Serve until a signal; returns the exit code. Raises a DeclarationError that says why it cannot start.

    target   `module:gateway`; default: from pyproject.toml
    port     default: from the settings
    sign_in  whether to start the development sign-in; None: if the settings name no provider for browsers
    """
    folder = Path.cwd()
    project = read_project(folder)
    chosen = target or project.gateway
    if chosen is None:
        raise DeclarationError(
            'name the gateway, as in bff dev desk:app, or in pyproject.toml: [tool.bff] gateway = "desk:app"'
        )
    env = environment(os.environ, folder, port)
    settings = for_development(settings_file.load(env))
    with (
        _opened(settings.host, settings.port) as public,
        _opened(settings.admin_host, settings.admin_port) as admin,
    ):
        env |= {
            f"{PREFIX}{name}": str(listener.getsockname()[1])
            for name, listener in (("PORT", public), ("ADMIN_PORT", admin))
        }
        settings = for_development(settings_file.load(env))
        with ProcessGroup() as group, _sign_in(settings, folder, sign_in) as provider:
            if provider is not None:
                env |= provider.gateway_environment()
            files = (public.fileno(), admin.fileno())
            return _Supervisor(group, folder, project, chosen, env, files, provider).run()


def _sign_in(
    settings: Settings, folder: Path, wanted: bool | None
) -> AbstractContextManager[SignInProcess | None]:
    """The development sign-in, if it is wanted. None: where the settings name no provider for browsers, and people
    reach the gateway on this machine."""
    if wanted is None:
        wanted = not settings.sign_ins
        if wanted and not is_loopback_url(settings.public_url):
            print(
                f"No development sign-in: {PREFIX}PUBLIC_URL is {settings.public_url}, which is not on this machine.",
                flush=True,
            )
            wanted = False
    return SignInProcess(settings, folder) if wanted else nullcontext()


def _opened(host: str, port: int) -> socket.socket:
    """A listening socket. Raises a DeclarationError that suggests a free port."""
    try:
        opened = listen(host, port)
        opened.listen(BACKLOG)
    except (DeclarationError, OSError) as error:
        free = (near for near in range(port + 2, port + 100, 2) if _is_free(host, near, near + 1))
        found = next(free, None)
        cure = f"; use bff dev --port {found}" if found is not None else ""
        raise DeclarationError(f"{error}{cure}") from None
    return opened


def _is_free(host: str, *ports: int) -> bool:
    try:
        for port in ports:
            listen(host, port).close()
    except (DeclarationError, OverflowError):
        return False
    return True


class _Supervisor:
    def __init__(
        self,
        group: ProcessGroup,
        folder: Path,
        project: Project,
        target: str,
        env: dict[str, str],
        files: tuple[int, int],
        sign_in: SignInProcess | None,
    ) -> None:
        self._group = group
        self._folder = folder
        self._project = project
        self._target = target
        self._env = env
        self._settings = settings_file.load(env)
        self._files = files
        self._sign_in = sign_in
        self._signals = 0
        self._gateway: Process | None = None
        self._services: dict[str, Process] = {}
        self._valkey: Process | None = None

    def run(self) -> int:
        for number in _SIGNALS:
            signal.signal(number, self._on_signal)
        try:
            files = snapshot(self._folder)
            self._start_store()
            if self._sign_in is not None:
                self._sign_in.start(self._group, self._env)
            for name, command in self._project.services.items():
                self._start_service(name, command)
            self._gateway = self._start_gateway()
            if self._gateway is None:
                return 0 if self._signals else 1
            self._print_addresses()
            while not self._signals:
                time.sleep(LOOK)
                self._report_ended()
                files = self._reload_if_changed(files)
        finally:
            self._end_all()
        print("Ended.", flush=True)
        return 0

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._signals += 1
        if self._signals > 1:
            for process in self._processes():
                process.kill()

    # ---- starting --------------------------------------------------------------------------------------------

    def _start_store(self) -> None:
        if "url" not in self._settings.redis.model_fields_set:
            self._valkey, url = self._group.start_valkey()
            self._env[f"{PREFIX}REDIS__URL"] = url
            self._env.setdefault("REDIS_URL", url)

    def _start_service(self, name: str, command: Sequence[str]) -> None:
        try:
            self._services[name] = self._group.start(
                command, {**self._env, "PYTHONUNBUFFERED": "1"}, label=name
            )
        except OSError as error:
            raise DeclarationError(
                f"service {name} does not start: {command[0]}: {error.strerror} (tool.bff.services.{name})"
            ) from None

    def _start_gateway(self) -> Process | None:
        """Start a gateway and wait until it accepts connections. None when it ended before that, or on a signal."""
        ready, ready_write = os.pipe()
        try:
            process = self._group.start(
                [sys.executable, "-m", "bff.cli.dev.worker", self._target]
                + [str(number) for number in (*self._files, ready_write)]
                + (["--sign-in"] if self._sign_in is not None else []),
                # Without bytecode: Python would use an outdated compiled file after two changes within a second.
                {**self._env, "PYTHONDONTWRITEBYTECODE": "1"},
                files=(*self._files, ready_write),
            )
        finally:
            os.close(ready_write)
        try:
            while not self._signals:
                if select.select([ready], [], [], LOOK)[0]:
                    if os.read(ready, 1):
                        return process
                    break
        finally:
            os.close(ready)
        end(process)
        return None

    def _print_addresses(self) -> None:
        host = f"[{self._settings.host}]" if ":" in self._settings.host else self._settings.host
        shown = "localhost" if host == "127.0.0.1" else host
        lines = [f"{self._target} is at http://{shown}:{self._settings.port} (its routes: /docs)"]
        if self._sign_in is not None:
            lines += self._sign_in.described()
        if self._valkey is not None:
            lines.append(f"Valkey is at {self._env[f'{PREFIX}REDIS__URL']}")
        if self._services:
            lines.append(f"Services: {', '.join(self._services)}")
        lines.append("When a file changes, it is reloaded. Ctrl-C ends everything.")
        print("\n" + "".join(f"  {line}\n" for line in lines), flush=True)

    # ---- while it runs ---------------------------------------------------------------------------------------

    def _report_ended(self) -> None:
        gateway = self._gateway
        if gateway is not None and gateway.poll() is not None:
            self._gateway = None
            print(f"The gateway ended with code {gateway.returncode}; a change starts it again.", flush=True)
        sign_in = self._sign_in.process if self._sign_in is not None else None
        if self._sign_in is not None and sign_in is not None and sign_in.poll() is not None:
            print(f"The sign-in ended with code {sign_in.returncode}; start bff dev again.", flush=True)
            self._sign_in.process = None
        if self._valkey is not None and self._valkey.poll() is not None:
            print(f"Valkey ended with code {self._valkey.returncode}; start bff dev again.", flush=True)
            self._valkey = None
        for name, service in list(self._services.items()):
            if service.poll() is not None:
                del self._services[name]
                print(
                    f"Service {name} ended with code {service.returncode}; a change starts it again.",
                    flush=True,
                )

    def _reload_if_changed(self, before: Snapshot) -> Snapshot:
        after = snapshot(self._folder)
        changed = changed_files(before, after)
        if not changed:
            return after
        shown = ", ".join(changed[:3]) + (" …" if len(changed) > 3 else "")
        print(f"Changed: {shown}. Reloading.", flush=True)
        for name, command in self._project.services.items():
            service = self._services.get(name)
            if service is not None and any(uses(command, path) for path in changed):
                end(service)
                service = None
            if service is None:
                self._start_service(name, command)
        started = self._start_gateway()
        if started is None:
            if not self._signals:
                state = (
                    "The old gateway continues." if self._gateway is not None else "No gateway is running."
                )
                print(f"{state} Correct the mistake and save.", flush=True)
            return after
        if self._gateway is not None:
            end(self._gateway)
        self._gateway = started
        print("Reloaded.", flush=True)
        return after

    def _end_all(self) -> None:
        """End the gateway first, so that its last calls still reach the services and Valkey. A second signal kills all
        processes."""
        for process in self._processes():
            end(process)

    def _processes(self) -> list[Process]:
        return [
            process
            for process in (
                self._gateway,
                *self._services.values(),
                self._sign_in.process if self._sign_in is not None else None,
                self._valkey,
            )
            if process is not None
        ]
