"""What an access token of an issuer must look like, beyond a valid signature, audience and time. Pure.

A provider signs several kinds of tokens with the same keys: access tokens for many APIs, ID tokens, refresh tokens,
logout tokens. RFC 9068 tells them apart by their `typ`; most providers do not use it. So each profile has a positive
mark, which only access tokens of that provider have. A token without the mark is refused, whatever else is right.

A client that has a token for itself (client credentials, RFC 6749 section 4.4) is no person. So each profile also says
what a person's token has; a token without it, or with anything that only clients' tokens have, is not a person's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from . import tokens
from .tokens import ACCESS_TOKEN_TYPES, Parsed, Reason, TokenRefused

Claims = Mapping[str, Any]

GENERIC_TYPES = frozenset({"", "jwt", "application/jwt"})
"""Values of `typ` that every kind of token may have; "" stands for none."""

OTHER_TYPES = frozenset(
    {
        "dpop+jwt",
        "entity-statement+jwt",
        "id_token+jwt",
        "jwe",
        "logout+jwt",
        "oauth-authz-req+jwt",
        "secevent+jwt",
        "token-introspection+jwt",
    }
)
"""Values of `typ`, without `application/`, that no access token has."""

ID_TOKEN_CLAIMS = frozenset({"nonce", "at_hash", "c_hash", "s_hash"})
"""Only ID tokens have these (OpenID Connect Core sections 2 and 3.3.2.11)."""

SHARED_CLAIMS = frozenset(
    {
        "iss",
        "sub",
        "aud",
        "exp",
        "iat",
        "nbf",
        "jti",
        "azp",
        "auth_time",
        "acr",
        "amr",
        "sid",
        "nonce",
        "at_hash",
    }
    | {"c_hash", "s_hash", "events", "name", "given_name", "family_name", "middle_name", "nickname", "email"}
    | {
        "preferred_username",
        "profile",
        "picture",
        "website",
        "email_verified",
        "gender",
        "birthdate",
        "zoneinfo",
    }
    | {"locale", "phone_number", "phone_number_verified", "address", "updated_at", "groups", "roles"}
)
"""Claims of ID and logout tokens, none of which marks an access token."""

_MACHINE_GRANTS = frozenset({"client-credentials", "client_credentials"})

_SERVICE_ACCOUNT = ("clientHost", "clientAddress")
"""Keycloak adds these to the tokens of service accounts, by its scope `service_account`."""

_CLIENT = ("azp", "appid", "cid", "client_id")
"""Where the client is named: OpenID Connect, Entra v1, Okta, RFC 9068."""


@dataclass(frozen=True, slots=True)
class Profile:
    """How a provider makes access tokens.

    types          values of `typ`, in lower case; "" stands for none
    mark           whether a token has what only access tokens of the provider have
    marked_by      the mark in words
    scope_claims   where scopes are; scope_lists: whether they may be lists
    roles          paths of roles, see `tokens.roles_of`
    foreign        claims that only other kinds of its tokens have
    client_as_audience  whether `client_id` stands in for `aud` where a token has none
    person         whether a token has what a person's has; see `is_person`
    """

    types: frozenset[str]
    mark: Callable[[Claims], bool]
    marked_by: str
    scope_claims: tuple[str, ...] = ("scope",)
    scope_lists: bool = False
    roles: tuple[str, ...] = ("roles",)
    foreign: frozenset[str] = ID_TOKEN_CLAIMS | {"events"}
    client_as_audience: bool = False
    person: Callable[[Claims], bool] = lambda claims: False

    def is_person(self, claims: Claims) -> bool:
        """Whether the token with these claims was issued for a person. False where that is not clear."""
        return not _is_machine(claims) and self.person(claims)


@dataclass(frozen=True, slots=True)
class RequiredClaim:
    """A claim that a token must have. values: one of them must be its text, or among its texts; none: it may have any
    value but an empty one."""

    path: str
    values: frozenset[str] = frozenset()

    def holds(self, claims: Claims) -> bool:
        found = tokens.claim_at(claims, self.path)
        texts = {_text(one) for one in (found if isinstance(found, list) else [found])}
        if self.values:
            return not texts.isdisjoint(self.values)
        return bool(found) if isinstance(found, list | dict) else texts != {""}


@dataclass(frozen=True, slots=True)
class TokenRules:
    """What is accepted from one issuer: its profile and its settings.

    audiences  one of them must be named by `aud`
    required   all of them are needed
    clients    one of them must be named as the client; none: any client
    leeway     seconds by which clocks may differ
    bound_only  whether a token must be bound to a key
    """

    profile: Profile
    audiences: frozenset[str]
    types: frozenset[str]
    scope_claims: tuple[str, ...]
    scope_lists: bool
    roles: tuple[str, ...]
    required: tuple[RequiredClaim, ...] = ()
    clients: frozenset[str] = frozenset()
    leeway: float = 0.0
    bound_only: bool = False

    def check(self, parsed: Parsed, now: float) -> Grant:
        """What the token grants, if its signature is right. now: Unix seconds. Raises TokenRefused."""
        tokens.check_type(parsed, self.types)
        claims = parsed.claims
        self._check_audience(claims)
        tokens.check_times(claims, now=now, leeway=self.leeway)
        tokens.check_subject(claims)
        if not self.profile.mark(claims):
            raise TokenRefused(Reason.NO_MARK, seen=sorted(claims), expected=self.profile.marked_by)
        if found := self.profile.foreign & claims.keys():
            raise TokenRefused(Reason.OTHER_KIND, seen=sorted(found))
        return self.grant(claims)

    def grant(self, claims: Claims) -> Grant:
        """What claims grant whose times, audience and subject are right. Raises TokenRefused."""
        for one in self.required:
            if not one.holds(claims):
                seen = tokens.claim_at(claims, one.path)
                raise TokenRefused(Reason.CLAIM, seen=seen, expected=f"{one.path} {sorted(one.values)}")
        if self.clients and (client := client_of(claims)) not in self.clients:
            raise TokenRefused(Reason.CLIENT, seen=client, expected=sorted(self.clients))
        key = tokens.key_thumbprint_of(claims)
        if key is None and self.bound_only:
            raise TokenRefused(Reason.BEARER)
        return Grant(
            tokens.scopes_of(claims, self.scope_claims, lists=self.scope_lists),
            tokens.roles_of(claims, self.roles, clients=self._own_clients(claims)),
            key,
            self.profile.is_person(claims),
            tokens.left_out_of(claims, self.roles),
        )

    def _check_audience(self, claims: Claims) -> None:
        if self.profile.client_as_audience and "aud" not in claims:
            client = claims.get("client_id")
            if not isinstance(client, str) or client not in self.audiences:
                raise TokenRefused(Reason.AUDIENCE, seen=client, expected=sorted(self.audiences))
            return
        tokens.check_audience(claims, self.audiences)

    def _own_clients(self, claims: Claims) -> list[str]:
        # The roles of another API's client mean something else here, even when the token lists them.
        named = claims.get("aud")
        return sorted(self.audiences.intersection(named if isinstance(named, list) else [named]))


@dataclass(frozen=True, slots=True)
class Grant:
    """key: thumbprint of the key to which the token is bound, None for a bearer token; person: whether the token was
    issued for a person, and not for a client alone; left_out: claims with roles whose values the provider left out, as
    `tokens.left_out_of` says."""

    scopes: frozenset[str]
    roles: frozenset[str]
    key: str | None
    person: bool
    left_out: tuple[str, ...] = ()


def client_of(claims: Claims) -> str | None:
    """The client to which the token was issued. None where it names none, or two different ones."""
    named = {one for name in _CLIENT if (one := claims.get(name)) is not None and isinstance(one, str)}
    return named.pop() if len(named) == 1 else None


def _text(value: object) -> str:
    """The text to which a required claim is compared; "" for what has none."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, str | int) else ""


def _is_filled(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _typed(claims: Claims) -> bool:
    # The type is the mark (RFC 9068 section 2.1), or the claims that the settings require.
    return True


def _keycloak(claims: Claims) -> bool:
    # ID tokens have `ID`, refresh tokens `Refresh` or `Offline`, logout tokens `Logout`.
    return claims.get("typ") == "Bearer" or (claims.get("typ") == "DPoP" and "cnf" in claims)


def _auth0(claims: Claims) -> bool:
    # In an ID token the audience is the client itself.
    client = claims.get("azp", claims.get("client_id"))
    return isinstance(client, str) and client != "" and client not in tokens.audiences_of(claims)


def _entra(claims: Claims) -> bool:
    # Delegated: `scp`. An app by itself: its id and the app roles that it was given.
    if "scp" in claims:
        return _is_filled(claims["scp"])
    roles = claims.get("roles")
    return (
        (_is_filled(claims.get("azp")) or _is_filled(claims.get("appid")))
        and isinstance(roles, list)
        and bool(roles)
        and all(_is_filled(role) for role in roles)
    )


def _okta(claims: Claims) -> bool:
    return _is_filled(claims.get("cid"))


def _cognito(claims: Claims) -> bool:
    return claims.get("token_use") == "access" and _is_filled(claims.get("client_id"))


def _is_machine(claims: Claims) -> bool:
    """Whether a token has anything that only a client's own tokens have, at any provider."""
    subject, username = claims.get("sub"), claims.get("preferred_username")
    # RFC 9068 section 2.2: the subject is the client. Auth0 appends `@clients`.
    clients = [claims.get(name) for name in _CLIENT]
    if subject in clients or (isinstance(subject, str) and subject.endswith("@clients")):
        return True
    grants = claims.get("gty", claims.get("grant_type"))
    named = grants if isinstance(grants, list) else [grants]
    return (
        any(isinstance(one, str) and one in _MACHINE_GRANTS for one in named)
        or claims.get("idtyp", "user") != "user"
        or (isinstance(username, str) and username.startswith("service-account-"))
        or any(name in claims for name in _SERVICE_ACCOUNT)
    )


def _names_client_or_sign_in(claims: Claims) -> bool:
    """RFC 9068 section 2.2: a person's token names a client that is not its subject (see `_is_machine`). Other issuers
    may name none, but then say when the person proved who they are."""
    return client_of(claims) is not None or tokens.auth_time_of(claims) is not None


def _of_keycloak_person(claims: Claims) -> bool:
    # The person's session at the provider; `session_state` in old versions.
    return _is_filled(claims.get("sid")) or _is_filled(claims.get("session_state"))


def _of_auth0_person(claims: Claims) -> bool:
    # A person's id begins with the connection that they are of, such as `auth0|`.
    return isinstance(subject := claims.get("sub"), str) and "|" in subject


def _of_entra_person(claims: Claims) -> bool:
    # Delegated permissions.
    return _is_filled(claims.get("scp"))


def _of_okta_person(claims: Claims) -> bool:
    return _is_filled(claims.get("uid"))


def _of_cognito_person(claims: Claims) -> bool:
    return _is_filled(claims.get("username"))


_ANY_TYPE = GENERIC_TYPES | ACCESS_TOKEN_TYPES

PROFILES: Mapping[str, Profile] = {
    "rfc9068": Profile(
        ACCESS_TOKEN_TYPES, _typed, "the type at+jwt", foreign=frozenset(), person=_names_client_or_sign_in
    ),
    # Old versions of Keycloak repeat the nonce in access tokens.
    "keycloak": Profile(
        _ANY_TYPE,
        _keycloak,
        "the claim typ Bearer",
        roles=("realm_access.roles", "resource_access.{client}.roles"),
        foreign=frozenset({"at_hash", "c_hash", "s_hash", "events"}),
        person=_of_keycloak_person,
    ),
    # `permissions` are what the person may do, whatever the client was granted: they are read as roles.
    "auth0": Profile(
        _ANY_TYPE,
        _auth0,
        "azp, which is not the audience",
        roles=("permissions",),
        person=_of_auth0_person,
    ),
    "entra": Profile(
        _ANY_TYPE,
        _entra,
        "scp, or azp or appid with app roles",
        scope_claims=("scp",),
        roles=("roles",),
        person=_of_entra_person,
    ),
    "okta": Profile(
        _ANY_TYPE,
        _okta,
        "cid",
        scope_claims=("scp",),
        scope_lists=True,
        roles=("groups",),
        person=_of_okta_person,
    ),
    "cognito": Profile(
        _ANY_TYPE,
        _cognito,
        "token_use access and client_id",
        roles=("cognito:groups",),
        client_as_audience=True,
        person=_of_cognito_person,
    ),
    # The settings name its mark, see `has_mark`.
    "jwt": Profile(
        _ANY_TYPE,
        _typed,
        "the required claims of the settings",
        scope_lists=True,
        person=_names_client_or_sign_in,
    ),
}
"""By name, what is known of providers. Their own documentation is the source: docs/how-to/providers/ names it."""


def has_mark(types: frozenset[str], required: Mapping[str, object]) -> bool:
    """Whether settings of the profile `jwt` tell access tokens from the issuer's other tokens: by a type that only
    access tokens have, or by a required claim that ID and logout tokens do not have."""
    return not types & GENERIC_TYPES or any(
        path not in SHARED_CLAIMS and path.split(".")[0] not in SHARED_CLAIMS for path in required
    )
