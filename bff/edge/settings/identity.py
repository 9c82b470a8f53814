"""Settings of identity: whose tokens are trusted, where browsers sign in, and how long their sessions last."""

from __future__ import annotations

from pydantic import Field, SecretStr

from .fields import ExactUrl, Section
from .network import Origin, TlsSettings


class IssuerSettings(Section):
    """A token issuer this gateway trusts."""

    issuer: str = Field(min_length=1)
    """The exact `iss` of its tokens."""
    audience: str = Field(min_length=1)
    """The `aud` that its tokens must have."""
    algorithms: tuple[str, ...] = ("ES256", "RS256", "EdDSA")
    """Signature algorithms that are accepted from it; no others are."""
    jwks_uri: ExactUrl | None = None
    """Address of its keys; unset: as its discovery document says."""
    leeway: float = Field(10.0, ge=0, le=30)
    """Seconds that clocks may differ."""
    roles: str = Field("roles", min_length=1)
    """The claim that lists a person's roles; dots lead into it, as in `realm_access.roles`."""
    internal_url: Origin | None = None
    """Scheme, host and port at which this process reaches the issuer, such as `http://keycloak:8080`; unset:
    the issuer's own. Browsers and tokens have the outer address all the same."""
    tls: TlsSettings | None = None


class OidcSettings(Section):
    """Browser sign-in: the provider and this gateway's confidential client there."""

    issuer: ExactUrl
    """The provider's exact issuer; its discovery document is asked for everything else."""
    client_id: str = Field(min_length=1)
    """This gateway's client id at the provider."""
    client_secret: SecretStr
    """Secret of that client."""
    scopes: tuple[str, ...] = ("openid", "profile", "offline_access")
    """Scopes to ask for; the provider decides which it grants."""
    authorize: dict[str, str] = Field(default_factory=dict)
    """Further parameters of the authorization request, such as `audience` or `prompt`."""
    roles: str = Field("roles", min_length=1)
    """The claim of the ID token that lists a person's roles, as in an issuer's settings."""
    internal_url: Origin | None = None
    """Scheme, host and port at which this process reaches the issuer, such as `http://keycloak:8080`; unset:
    the issuer's own. Browsers and tokens have the outer address all the same."""
    tls: TlsSettings | None = None


class SessionSettings(Section):
    """How long a browser session lasts."""

    lifetime: float = Field(8 * 3600, ge=60, le=30 * 86400)
    """Seconds from sign-in to the end of the session."""
    idle: float = Field(3600, ge=60, le=30 * 86400)
    """Seconds without a request after which a session ends; at least `live.age`, because a stream is one
    request."""
    remembered: float = Field(60, ge=0, le=300)
    """Seconds for which a session is served from memory while Redis is away."""
