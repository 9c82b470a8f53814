"""Who can sign in to the demo, and which programs may ask for it.

Promises a fixed, small world: three people and three clients. Refuses to grow: there is no registration.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Any

from authlib.oauth2.rfc6749 import ClientMixin

from .settings import IdentitySettings


@dataclass(frozen=True, slots=True)
class Person:
    """A person of the demo; `sub` is the subject of their tokens."""

    sub: str
    name: str
    note: str

    @property
    def initials(self) -> str:
        return "".join(word[0] for word in self.name.replace("-", " ").split()[:2])


PEOPLE = (
    Person("ada", "Ada Lovelace", "Pays on time. Every order goes through."),
    Person("grace", "Grace Hopper", "A second customer, with orders of her own."),
    Person("bruno", "Bruno Bad-Card", "His card is always declined."),
)


def person(sub: str) -> Person | None:
    """The person with this subject, if there is one."""
    return next((one for one in PEOPLE if one.sub == sub), None)


@dataclass(frozen=True)
class Client(ClientMixin):  # type: ignore[misc]  # Authlib has no types
    """A registered program (RFC 6749 section 2): always confidential, addresses compared exactly."""

    client_id: str
    name: str
    secret: str
    grant_types: frozenset[str]
    scopes: tuple[str, ...]
    redirect_uris: tuple[str, ...] = ()
    post_logout_redirect_uris: tuple[str, ...] = ()
    id_token_signed_response_alg: str = "ES256"  # noqa: S105 - an algorithm

    def get_client_id(self) -> str:
        return self.client_id

    def get_default_redirect_uri(self) -> str | None:
        return None  # an exact redirect_uri is always asked for

    def get_allowed_scope(self, scope: str | None) -> str | None:
        if not scope:
            return " ".join(self.scopes)
        asked = dict.fromkeys(scope.split())
        return " ".join(asked) if set(asked) <= set(self.scopes) else None

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri in self.redirect_uris

    def check_client_secret(self, client_secret: str) -> bool:
        return hmac.compare_digest(self.secret.encode(), client_secret.encode())

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return endpoint == "token" and method in ("client_secret_basic", "client_secret_post")

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code" and "authorization_code" in self.grant_types

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in self.grant_types

    @property
    def client_metadata(self) -> dict[str, Any]:
        """What Authlib's logout endpoint reads."""
        return {"post_logout_redirect_uris": list(self.post_logout_redirect_uris)}


def clients(settings: IdentitySettings) -> dict[str, Client]:
    """The gateway (people sign in through it), orders and the operator's tools (each acts for itself)."""
    known = (
        Client(
            client_id="bff",
            name="the shop",
            secret=settings.bff_client_secret.get_secret_value(),
            grant_types=frozenset({"authorization_code", "refresh_token"}),
            scopes=("openid", "profile", "offline_access", "shop"),
            redirect_uris=settings.bff_redirect_uris,
            post_logout_redirect_uris=settings.bff_post_logout_redirect_uris,
        ),
        Client(
            client_id="orders",
            name="orders",
            secret=settings.orders_client_secret.get_secret_value(),
            grant_types=frozenset({"client_credentials"}),
            scopes=("saga",),
        ),
        Client(
            client_id="operator",
            name="operator",
            secret=settings.operator_client_secret.get_secret_value(),
            grant_types=frozenset({"client_credentials"}),
            scopes=("operator",),
        ),
    )
    return {client.client_id: client for client in known}
