"""Makes the rules for an issuer's access tokens of its settings. Refuses settings with which another kind of token, or
a token for somebody else, would be accepted."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from urllib.parse import urlsplit

from ...calls import DeclarationError
from ...policies import tokens
from ...policies.token_profiles import OTHER_TYPES, PROFILES, RequiredClaim, TokenRules, has_mark
from ..settings import IssuerSettings

_GOOGLE = ("accounts.google.com", "https://accounts.google.com")
_GRAPH = frozenset(
    {"00000003-0000-0000-c000-000000000000", "https://graph.microsoft.com", "https://graph.microsoft.com/"}
)
_SHARED_TENANTS = ("/common/", "/organizations/", "/consumers/", "{tenantid}")


def rules_of(settings: IssuerSettings) -> TokenRules:
    """The rules for one issuer. Raises DeclarationError, which names the issuer and the cure."""
    profile = PROFILES[settings.profile]
    if fault := _fault(settings):
        raise DeclarationError(f"issuer {settings.issuer}: {fault}")
    types = frozenset(one.lower() for one in settings.types) if settings.types else profile.types
    required = settings.required_claims
    if settings.profile == "jwt" and not has_mark(types, required):
        raise DeclarationError(
            f"issuer {settings.issuer}: the profile jwt needs a mark that only access tokens of this issuer have, so "
            "that its ID tokens are not accepted: set required_claims, such as "
            '{"token_use": ["access"]}, or types without jwt, such as ["at+jwt"]'
        )
    roles = (settings.roles,) if isinstance(settings.roles, str) else settings.roles
    return TokenRules(
        profile,
        audiences=frozenset(settings.audiences),
        types=types,
        scope_claims=settings.scope_claims or profile.scope_claims,
        scope_lists=profile.scope_lists or settings.scope_claims is not None,
        roles=profile.roles if roles is None else roles,
        required=tuple(RequiredClaim(path, frozenset(values)) for path, values in required.items()),
        clients=frozenset(settings.clients),
        leeway=settings.leeway,
        bound_only=settings.bound_only,
    )


def _fault(settings: IssuerSettings) -> str:
    """What is wrong with the settings, and the cure; "" for nothing."""
    issuer = settings.issuer
    if not settings.algorithms or set(settings.algorithms) - tokens.ASYMMETRIC:
        return f"algorithms must be among {', '.join(sorted(tokens.ASYMMETRIC))}"
    if "|" in issuer:
        return "an issuer with | cannot be told from a subject; ask the provider for another one"
    if issuer in _GOOGLE:
        return (
            "access tokens of Google are opaque and only for services of Google; sign browsers in with "
            "BFF_OIDC__ISSUER, and give API clients another provider"
        )
    if other := {_bare(one) for one in settings.types or ()} & OTHER_TYPES:
        return f"types must not have {sorted(other)[0]}, which no access token has"
    if settings.profile == "entra":
        if any(one in f"{issuer}/" for one in _SHARED_TENANTS):
            return "no token has this issuer; name each tenant as an issuer of its own, with its id in the address"
        if _GRAPH.intersection(settings.audiences):
            return (
                "tokens for Microsoft Graph can only be verified by Graph; set the audience to your own API"
            )
    if settings.profile == "okta" and not urlsplit(issuer).path.startswith("/oauth2/"):
        return (
            "tokens of Okta's org authorization server can only be verified by Okta; use a custom authorization "
            "server, such as https://example.okta.com/oauth2/default, or introspection with the profile jwt"
        )
    return ""


def _bare(type: str) -> str:
    return type.lower().removeprefix("application/")


def introspecting(issuers: Iterable[IssuerSettings]) -> list[tuple[str, str]]:
    """How the opaque tokens of an issuer begin, and its name. Raises DeclarationError where the issuer of a token
    would not be clear: a token must not be sent to another issuer than its own."""
    found = [(one.introspection.prefix or "", one.issuer) for one in issuers if one.introspection is not None]
    for prefix, name in found:
        for other, second in found:
            if name != second and other.startswith(prefix):
                raise DeclarationError(
                    f"issuer {name}: its opaque tokens cannot be told from those of {second}: give introspection of "
                    "each a prefix of its own, with which its tokens begin"
                )
    return found


def issuer_mistakes(issuers: Iterable[IssuerSettings]) -> list[str]:
    """One line for each mistake in the issuers' settings, for `bff check`."""
    issuers = list(issuers)
    checks: list[Callable[[], object]] = [partial(rules_of, one) for one in issuers]
    checks.append(partial(introspecting, issuers))
    found = []
    for check in checks:
        try:
            check()
        except DeclarationError as error:
            found.append(f"BFF_ISSUERS: {error}")
    return found
