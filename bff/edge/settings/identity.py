"""Settings of identity: whose tokens are trusted, where browsers sign in, and how long their sessions last."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, model_validator

from .fields import ExactUrl, Section
from .network import Origin, TlsSettings

Filled = Annotated[str, Field(min_length=1)]


class IntrospectionSettings(Section):
    """Opaque tokens of an issuer, about which it is asked (RFC 7662)."""

    endpoint: ExactUrl | None = None
    """Address that is asked; unset: as the issuer's discovery document says."""
    client_id: str = Field(min_length=1)
    """This gateway's client id at the issuer."""
    client_secret: SecretStr
    """Secret of that client."""
    authentication: Literal["client_secret_basic", "client_secret_post"] | None = None
    """How the gateway authenticates itself; unset: as the discovery document says, and `client_secret_basic` where it
    says nothing or `endpoint` is set."""
    signed: bool = False
    """Whether signed answers are requested, and no others accepted (RFC 9701)."""
    believed: float = Field(30.0, ge=0, le=30)
    """Seconds for which a positive answer is used, never beyond the token's expiry: so long a revoked token is
    accepted at most. A negative answer is used for 5 seconds."""
    prefix: Filled | None = None
    """How its tokens begin; needed where several issuers have opaque tokens."""
    jwts: bool = False
    """Whether the issuer is asked about its JWTs, too, in place of verifying them here."""


HostName = Annotated[
    str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[1-9][0-9]{0,4})?$", max_length=253)
]


def _listed(value: Any) -> Any:
    """One text is a list of one."""
    return (value,) if isinstance(value, str) else value


class IssuerSettings(Section):
    """A token issuer this gateway trusts."""

    issuer: str = Field(min_length=1)
    """The exact `iss` of its tokens."""
    audience: Filled | Annotated[tuple[Filled, ...], Field(min_length=1)]
    """The `aud` that its tokens must have; a list: one of these."""
    profile: Literal["rfc9068", "keycloak", "auth0", "entra", "okta", "cognito", "jwt"] = "rfc9068"
    """How the provider makes access tokens: what marks them, and where scopes and roles are."""
    algorithms: tuple[str, ...] = ("ES256", "RS256", "EdDSA")
    """Signature algorithms that are accepted from it; no others are."""
    jwks_uri: ExactUrl | None = None
    """Address of its keys; unset: as its discovery document says."""
    leeway: float = Field(10.0, ge=0, le=30)
    """Seconds that clocks may differ."""
    types: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Values of the header `typ` that are accepted, "" for none; unset: those of the profile."""
    scope_claims: Annotated[tuple[Filled, ...], Field(min_length=1)] | None = None
    """The claims with scopes, each a text or a list; unset: that of the profile."""
    roles: Filled | tuple[Filled, ...] | None = None
    """The claims with a person's roles; unset: those of the profile. Dots lead into objects, as in
    `realm_access.roles`; a step `{client}` stands for the audience, and a last step `*` takes an object's names."""
    required_claims: dict[Filled, tuple[Filled, ...]] = Field(default_factory=dict)
    """Claims that its tokens must have, each with one of the listed values; an empty list: any value."""
    clients: tuple[Filled, ...] = ()
    """The clients whose tokens are accepted, in addition to the audience; unset: all."""
    bound_only: bool = False
    """Whether its tokens must be bound to a key and be sent with a proof (DPoP), so that a stolen one is of no use."""
    introspection: IntrospectionSettings | None = None
    internal_url: Origin | None = None
    """Scheme, host and port at which this process reaches the issuer, such as `http://keycloak:8080`; unset:
    the issuer's own. Browsers and tokens have the outer address all the same."""
    tls: TlsSettings | None = None

    @property
    def audiences(self) -> tuple[str, ...]:
        return (self.audience,) if isinstance(self.audience, str) else self.audience


class DpopSettings(Section):
    """Proofs of possession that API clients send with tokens that are bound to a key (DPoP, RFC 9449)."""

    nonce: bool = True
    """Whether a proof needs a nonce of this server, which it gives in `DPoP-Nonce` of a 401; without it a proof can be
    made ahead."""
    age: float = Field(60.0, ge=5, le=300)
    """Seconds since its `iat` for which a proof is accepted."""


class OidcSettings(Section):
    """Browser sign-in: the provider and this gateway's confidential client there."""

    issuer: ExactUrl
    """The provider's exact issuer; its discovery document is asked for everything else."""
    client_id: str = Field(min_length=1)
    """This gateway's client id at the provider."""
    client_secret: SecretStr | None = None
    """Secret of that client; unset where `client_key` is set."""
    client_key: Path | None = None
    """File with the client's private key, PEM or JWK: it signs in with `private_key_jwt` (RFC 7523) instead of a
    secret. RSA of 2,048 bits and more, P-256, P-384, P-521 or Ed25519. A changed file is used within two seconds;
    sign-ins under way then begin again."""
    client_key_id: str | None = Field(None, min_length=1, max_length=256)
    """The `kid` under which the provider knows that key; unset: the key's own, or none."""
    assertion_audience: Literal["issuer", "token_endpoint"] = "issuer"
    """The `aud` of what that key signs. Okta wants the address of the token endpoint."""
    pushed: Literal["when-offered", "never"] = "when-offered"
    """Whether authorization requests are pushed (PAR, RFC 9126) where the provider has an endpoint for it. One that
    demands it always gets them so."""
    title: str = Field("", max_length=60)
    """How the page of choice names this provider; unset: its name in `providers`, or the issuer's host."""
    hosts: tuple[HostName, ...] = ()
    """The hosts, such as `staff.example.org`, at which this provider is used, and no other one. Each is served in place
    of the host of `public_url`. Unset: every host."""
    scopes: tuple[str, ...] = ("openid", "profile")
    """Scopes to ask for; the provider decides which it grants. Some give a refresh token only with
    `offline_access`; without one a session ends with its access token."""
    authorize: dict[str, str] = Field(default_factory=dict)
    """Further parameters of the authorization request, such as `audience` or `prompt`."""
    max_age: int | None = Field(None, ge=0, le=30 * 86400)
    """Seconds since a person last proved who they are, at most; an older sign-in at the provider is repeated. Unset:
    any age."""
    acr_values: tuple[str, ...] = ()
    """Classes of authentication that every sign-in asks for, the preferred one first."""
    userinfo: Literal["when-needed", "always", "never"] = "when-needed"
    """Whether claims are also fetched from the UserInfo endpoint. `when-needed`: where the ID token lacks the claims of
    the scopes `profile` or `email`."""
    roles: Annotated[tuple[str, ...], BeforeValidator(_listed)] = Field(("roles",), min_length=1)
    """The claims that list a person's roles, each as in an issuer's settings; `{client}` in one is the client id."""
    roles_in: Literal["id_token", "access_token", "both"] = "id_token"
    """The token with these claims. `id_token` includes UserInfo. An access token has to be a JWT that the same issuer
    signed."""
    internal_url: Origin | None = None
    """Scheme, host and port at which this process reaches the issuer, such as `http://keycloak:8080`; unset:
    the issuer's own. Browsers and tokens have the outer address all the same."""
    tls: TlsSettings | None = None

    @model_validator(mode="after")
    def _one_proof(self) -> Self:
        if (self.client_secret is None) == (self.client_key is None):
            raise ValueError("set either client_secret or client_key: the gateway is a confidential client")
        return self

    @model_validator(mode="after")
    def _openid_provider(self) -> Self:
        host = urlsplit(self.issuer).hostname or ""
        if host == "github.com" or host.endswith(".github.com"):
            raise ValueError(
                "GitHub signs nobody in with OpenID Connect: it issues no ID token. Put a provider in front of it "
                "that does, such as Keycloak, Dex or Auth0"
            )
        if "openid" not in self.scopes:
            raise ValueError("scopes lacks openid: without it no provider issues an ID token")
        return self


class SessionSettings(Section):
    """How long a browser session lasts."""

    lifetime: float = Field(8 * 3600, ge=60, le=30 * 86400)
    """Seconds from sign-in to the end of the session."""
    idle: float = Field(3600, ge=60, le=30 * 86400)
    """Seconds without a request after which a session ends; at least `live.age`, because a stream is one
    request."""
    remembered: float = Field(60, ge=0, le=300)
    """Seconds for which a session is served from memory while Redis is away."""
