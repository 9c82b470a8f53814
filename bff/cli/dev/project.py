"""What `bff dev` knows about a project: the section `[tool.bff]` of its pyproject.toml, its settings and its files.

[tool.bff]
gateway = "desk:app"                                 # default of `bff dev`

[tool.bff.services]                                  # started beside the gateway, by name
tickets = "python -m services.tickets 9001"
"""

from __future__ import annotations

import os
import shlex
import sys
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from ...calls import DeclarationError
from ...edge import settings as settings_file
from ...edge.describe import explorer
from ...edge.settings import Settings
from ...edge.settings.sources import FILE, PREFIX
from ..target import did_you_mean

SETTINGS_FILE = "bff.toml"
"""The settings file, if it exists and BFF_SETTINGS names no other one."""
WATCHED = (".py", ".toml")
"""Files whose change reloads the gateway."""
_KEYS = ("gateway", "services")
_IGNORED = {"node_modules", "site-packages", "__pycache__"}
_LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True, slots=True)
class Project:
    """gateway: `module:gateway`, None when it is not set; services: the command of each, by name."""

    gateway: str | None = None
    services: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def read_project(folder: Path) -> Project:
    """The project in the folder. Raises a DeclarationError that names the mistake in its pyproject.toml."""
    file = folder / "pyproject.toml"
    try:
        tool = tomllib.loads(file.read_text(encoding="utf-8")).get("tool", {}).get("bff", {})
    except FileNotFoundError:
        return Project()
    except (OSError, ValueError) as error:
        raise DeclarationError(f"{file.name} cannot be read: {error}") from None
    for key in tool:
        if key not in _KEYS:
            known = ", ".join(_KEYS)
            raise DeclarationError(
                f"{file.name}: tool.bff.{key} is not known{did_you_mean(key, _KEYS)}; there are {known}"
            )
    gateway, services = tool.get("gateway"), tool.get("services", {})
    if gateway is not None and not isinstance(gateway, str):
        raise DeclarationError(f'{file.name}: tool.bff.gateway must be a text, such as "desk:app"')
    if not isinstance(services, dict) or not all(
        isinstance(command, str) and command for command in services.values()
    ):
        raise DeclarationError(
            f"{file.name}: tool.bff.services must have a command, as a text, for each name"
        )
    return Project(gateway, {name: _command(text) for name, text in services.items()})


def _command(text: str) -> tuple[str, ...]:
    program, *arguments = shlex.split(text)
    return (sys.executable if program in ("python", "python3") else program, *arguments)


# ---- settings ------------------------------------------------------------------------------------------------------


def environment(environ: Mapping[str, str], folder: Path, port: int | None) -> dict[str, str]:
    """The environment of the gateway. port: replaces BFF_PORT; the admin port is then the next one, unless it is set.
    Raises DeclarationError."""
    env = dict(environ)
    if not env.get(FILE) and (folder / SETTINGS_FILE).is_file():
        env[FILE] = SETTINGS_FILE
    if port is not None:
        if "admin_port" not in settings_file.load(env).model_fields_set:
            env[f"{PREFIX}ADMIN_PORT"] = str(port + 1)
        env[f"{PREFIX}PORT"] = str(port)
    return env


def for_development(settings: Settings) -> Settings:
    """The settings as `bff dev` uses them. Streams end at once on a reload. Only this machine's host names are served,
    so that another name which resolves to this machine is refused (DNS rebinding). The explorer is on where it is
    installed, unless a setting says otherwise. Raises DeclarationError for an address that other machines can reach.
    """
    for name, host in (("HOST", settings.host), ("ADMIN_HOST", settings.admin_host)):
        if not _is_loopback(host):
            raise DeclarationError(
                f"{PREFIX}{name}: bff dev listens only on this machine, not on {host}; leave it out, or use bff serve"
            )
    http = {"linger": 0.0, "hosts": settings.http.hosts or _LOCAL_HOSTS}
    changed: dict[str, object] = {
        "http": settings.http.model_copy(update=http),
        "live": settings.live.model_copy(update={"drain": 0.0}),
    }
    if "explorer" not in settings.docs.model_fields_set and explorer.installed() is not None:
        changed["docs"] = settings.docs.model_copy(update={"explorer": True})
    if "public_url" not in settings.model_fields_set:
        changed["public_url"] = f"http://localhost:{settings.port}"
    return settings.model_copy(update=changed)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


# ---- files ---------------------------------------------------------------------------------------------------------

Snapshot = dict[str, tuple[int, int]]
"""Path from the project's folder → time of the last change in nanoseconds, and size in bytes."""


def snapshot(folder: Path) -> Snapshot:
    """The watched files below the folder. Hidden folders, virtual environments and installed packages are left out."""
    found: Snapshot = {}
    folders = [folder]
    while folders:
        try:
            entries = list(os.scandir(folders.pop()))
        except OSError:
            continue
        if any(entry.name == "pyvenv.cfg" for entry in entries):
            continue
        for entry in entries:
            try:
                if entry.is_dir(follow_symlinks=False):
                    if not entry.name.startswith(".") and entry.name not in _IGNORED:
                        folders.append(Path(entry.path))
                elif entry.name.endswith(WATCHED):
                    stat = entry.stat()
                    found[os.path.relpath(entry.path, folder)] = (stat.st_mtime_ns, stat.st_size)
            except OSError:
                continue
    return found


def changed_files(before: Snapshot, after: Snapshot) -> list[str]:
    """Paths that were changed, added or removed, in order."""
    return sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))


def uses(command: Iterable[str], path: str) -> bool:
    """Whether a service's command runs code from the top folder or module of this file: `python -m services.tickets`
    does for `services/people.py`."""
    package = Path(path).parts[0].removesuffix(".py")
    return any(package in word.replace("/", ".").split(".") for word in command)
