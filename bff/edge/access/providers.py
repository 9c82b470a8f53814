"""The identity providers at which browsers sign in: one (`oidc`), or several side by side (`providers`).

Each provider has its own redirect URI, cookies, and keys for the state of a sign-in, so that what one provider answers
is never accepted as another's, and a session is valid only with the cookie of its provider. A provider with `hosts` is
used at these hosts alone; one without is used at every host.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, MutableMapping
from dataclasses import dataclass
from typing import Any

from .login_state import LoginStates
from .provider import Provider
from .session_cookies import SessionCookies

DEFAULT = "oidc"
"""How the provider of the setting `oidc` is called in addresses, where there are several."""


@dataclass(frozen=True, slots=True)
class ProviderEntry:
    """One provider, and what belongs to its sign-ins here.

    name           in the settings, "" for `oidc`
    title          for people
    cookie         the name of its session cookies
    login_cookies  what the names of the cookies of its sign-ins under way begin with
    """

    name: str
    title: str
    provider: Provider
    states: LoginStates
    cookie: str
    login_cookies: str

    @property
    def path(self) -> str:
        """What its callback and back-channel logout end with."""
        return f"/{self.name}" if self.name else ""

    def callback(self, site: str) -> str:
        """Its redirect URI. site: the URL of the site where the sign-in takes place."""
        return f"{site}/bff/callback{self.path}"


class Providers:
    """Every provider by its name."""

    def __init__(self, entries: Iterable[ProviderEntry], cookies: SessionCookies) -> None:
        self._entries = {entry.name: entry for entry in entries}
        self.cookies = cookies
        self.site = cookies.site

    def paths(self, path: str) -> list[str]:
        """The routes below which each provider has an address of its own: `path` for `oidc`, and with a parameter for
        the others."""
        plain = [path] if "" in self._entries else []
        return plain + ([f"{path}/{{provider}}"] if set(self._entries) - {""} else [])

    def __iter__(self) -> Iterator[ProviderEntry]:
        return iter(self._entries.values())

    def at(self, scope: MutableMapping[str, Any]) -> list[ProviderEntry]:
        """The providers that are used at the host of this request."""
        return [entry for name, entry in self._entries.items() if self.cookies.accepts(name, scope)]

    def find(self, name: str) -> ProviderEntry | None:
        """The provider with this name, whatever the host."""
        return self._entries.get(name)

    def named(self, name: str, scope: MutableMapping[str, Any]) -> ProviderEntry | None:
        """The provider with this name, None where there is none or it is not used at the host of this request."""
        entry = self._entries.get(name)
        return entry if entry is not None and self.cookies.accepts(name, scope) else None
