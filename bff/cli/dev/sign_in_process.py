"""The development sign-in as a process of `bff dev`: its socket, its secret, and the settings that the gateway gets.

Guarantees a socket on 127.0.0.1 that stays open while the gateway is reloaded, and a new secret at each start. Raises
DeclarationError for a gateway whose public URL is not on this machine, and for a `people.toml` with a mistake. Sign-ins
end with `bff dev`, as the sessions in its Valkey do.
"""

from __future__ import annotations

import json
import secrets
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from ...calls import DeclarationError
from ...edge.settings import Settings
from ...edge.settings.sources import PREFIX
from .processes import Process, ProcessGroup
from .sign_in.people import read_people
from .sign_in.settings import AUDIENCE, CLIENT_ID, HOST, SECRET, SignInSettings

PEOPLE_FILE = "people.toml"
"""The file with the people, in the project's folder."""
# Ports after the gateway's: the admin port is the first one, the sign-in's the second.
_AFTER = 2
_SHOWN = 5


class SignIn:
    """A context manager; it holds the socket. settings: the gateway's; folder: the project's. process: set by
    `start`."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._issuers = settings.issuers
        self._file = folder / PEOPLE_FILE
        self._secret = secrets.token_urlsafe(32)
        self._port = settings.port + _AFTER
        self._public_url = settings.public_url
        self.process: Process | None = None

    def __enter__(self) -> SignIn:
        self._people = read_people(self._file)
        self._socket = _opened(self._port)
        self.issuer = f"http://localhost:{self._socket.getsockname()[1]}"
        try:
            # Refuses an address that is not on this machine before anything is started.
            SignInSettings(self.issuer, self._public_url, self._secret)
        except DeclarationError:
            self._socket.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def gateway_environment(self) -> dict[str, str]:
        """The settings with which the gateway signs people in here and accepts the tokens that are issued here."""
        issuers = [one.model_dump(exclude_unset=True) for one in self._issuers]
        issuers.append({"issuer": self.issuer, "audience": AUDIENCE})
        return {
            f"{PREFIX}OIDC__ISSUER": self.issuer,
            f"{PREFIX}OIDC__CLIENT_ID": CLIENT_ID,
            f"{PREFIX}OIDC__CLIENT_SECRET": self._secret,
            f"{PREFIX}OIDC__ROLES": "roles",
            f"{PREFIX}ISSUERS": json.dumps(issuers, default=_plain),
        }

    def start(self, group: ProcessGroup, env: Mapping[str, str]) -> None:
        """Start the process; requests wait until it accepts them. Raises DeclarationError."""
        number = self._socket.fileno()
        try:
            self.process = group.start(
                [sys.executable, "-m", "bff.cli.dev.sign_in", f"--fd={number}"]
                + [f"--public-url={self._public_url}", f"--people={self._file}"],
                {**env, SECRET: self._secret},
                label="sign-in",
                files=(number,),
            )
        except OSError as error:
            raise DeclarationError(f"the development sign-in does not start: {error.strerror}") from None

    def described(self) -> list[str]:
        """Who can sign in and where, in two lines."""
        names = [one.name for one in self._people.people]
        shown = ", ".join(names[:_SHOWN]) + (" …" if len(names) > _SHOWN else "")
        return [
            f"Sign in at {self._public_url}/bff/login as {shown}",
            f"People, sign-ins and faults: {self.issuer} ({PEOPLE_FILE} has your own people)",
        ]


def _opened(port: int) -> socket.socket:
    """A listening socket on this port, otherwise on any free one."""
    for choice in (port, 0):
        opened = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            opened.bind((HOST, choice))
            opened.listen()
            return opened
        except (OSError, OverflowError):
            opened.close()
    raise DeclarationError(f"no port on {HOST} is free for the development sign-in")


def _plain(value: Any) -> Any:
    """A value of the settings as JSON can hold it."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return list(value) if isinstance(value, (set, frozenset)) else str(value)
