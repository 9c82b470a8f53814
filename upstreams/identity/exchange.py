"""Authlib's core meets this house: what a request, an answer, a code and a consent look like to it.

Promises the shapes that the core's mixins ask for, over our own rows. Refuses to decide anything: who may
have what stands in `provider.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from authlib.oauth2.rfc6749 import OAuth2Payload, OAuth2Request

from .people import Client, Person, person
from .store import CodeRow, RefreshRow, SignIn

# Authlib is untyped: its base classes are Any for mypy, hence the `misc` ignores below.


@dataclass(frozen=True, slots=True)
class WebRequest:
    """An HTTP request for the core: `query` for the front channel, `form` for the token endpoint."""

    method: str
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Sequence[tuple[str, str]] = ()
    form: Sequence[tuple[str, str]] = ()


@dataclass(slots=True)
class Answer:
    """What the core answers; RFC 9207's extension rewrites `location`, so it is not frozen."""

    status: int
    body: str
    headers: dict[str, str]

    @property
    def location(self) -> str | None:
        return self.headers.get("Location")

    @location.setter
    def location(self, value: str) -> None:
        self.headers["Location"] = value


class Payload(OAuth2Payload):  # type: ignore[misc]
    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        self._lists: dict[str, list[str]] = {}
        for name, value in pairs:
            self._lists.setdefault(name, []).append(value)

    @property
    def data(self) -> dict[str, str]:
        return {name: values[0] for name, values in self._lists.items()}

    @property
    def datalist(self) -> dict[str, list[str]]:
        return self._lists


class Request(OAuth2Request):  # type: ignore[misc]
    def __init__(self, request: WebRequest) -> None:
        # The core refuses plain http, which the demo on loopback is; where TLS ends is the operator's matter.
        super().__init__(request.method, "https://identity/", headers=request.headers)
        self.payload = Payload([*request.query, *request.form])
        self._form = dict(request.form)

    @property
    def form(self) -> dict[str, str]:
        return self._form


@dataclass(frozen=True, slots=True)
class Consent:
    """A person who said yes, as the core's "user": their sign-in goes into every token."""

    person: Person
    sid: str
    auth_time: int

    def get_user_id(self) -> str:
        return self.person.sub


class Code:
    """A code as the core reads it (its AuthorizationCodeMixin)."""

    code_challenge_method = "S256"

    def __init__(self, row: CodeRow) -> None:
        self.row = row
        self.code_challenge = row.challenge

    def get_redirect_uri(self) -> str:
        return self.row.redirect_uri

    def get_scope(self) -> str:
        return self.row.sign_in.scope

    def get_nonce(self) -> str | None:
        return self.row.sign_in.nonce

    def get_auth_time(self) -> int:
        return self.row.sign_in.auth_time

    def get_acr(self) -> None:
        return None

    def get_amr(self) -> None:
        return None


class Refresh:
    """A refresh token as the core reads it (its TokenMixin)."""

    def __init__(self, row: RefreshRow) -> None:
        self.row = row

    def check_client(self, client: Client) -> bool:
        return self.row.sign_in.client_id == client.client_id

    def get_scope(self) -> str:
        return self.row.scope


def consent_of(sign_in: SignIn) -> Consent | None:
    who = person(sign_in.sub)
    return None if who is None else Consent(who, sign_in.sid, sign_in.auth_time)
