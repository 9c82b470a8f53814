"""Parses a JWT and checks its header and its claims; the signature is verified in edge/access/jwt.py.

Pure: no keys, no network, no clock. Guarantees the checks of RFC 8725 and RFC 9068 with typed claims (PyJWT accepts
`exp: "123"`, `exp: 1e300` and `sub: ""`). Refuses critical extensions, repeated members, and tokens longer than 8 KB
(parsing a token of 1 MB takes 49 ms).
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

MAX_TOKEN = 8192
"""Characters; a longer token is refused without parsing it."""

ACCESS_TOKEN_TYPES = frozenset({"at+jwt", "application/at+jwt"})
"""RFC 9068 section 2.1: the type distinguishes an access token from an ID token of the same issuer."""

ID_TOKEN_TYPES = frozenset({"", "jwt", "application/jwt", "id_token+jwt", "application/id_token+jwt"})

LOGOUT_TOKEN_TYPES = frozenset({"", "jwt", "logout+jwt", "application/logout+jwt"})
"""OpenID Connect Back-Channel Logout 1.0 section 2.4; the type is recommended there, not required."""

ASYMMETRIC = frozenset(
    {"ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "EdDSA"}
)
"""The algorithms that settings may allow. HS256 needs a shared secret, and `none` has no signature."""

# Claims of the protocol; all other claims are about the person and may be shown to the page.
_PROTOCOL = frozenset(
    {"iss", "aud", "exp", "iat", "nbf", "jti", "nonce", "at_hash", "c_hash", "azp", "acr", "amr", "auth_time"}
    | {"sid", "scope", "typ", "events", "cnf"}
)

_SEGMENT = re.compile(r"[A-Za-z0-9_-]+\Z", re.ASCII)
# Unix seconds in the year 5138. A later time is a mistake or an attack, and larger floats are too imprecise.
_LATEST = 1e11


class TokenRefused(Exception):
    """The token is not accepted. The message says why and does not contain the token."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """A parsed token, not verified yet. signed: the bytes that the signature covers."""

    header: Mapping[str, Any]
    claims: Mapping[str, Any]
    signed: bytes
    signature: bytes

    @property
    def algorithm(self) -> str:
        return str(self.header["alg"])

    @property
    def key_id(self) -> str | None:
        kid = self.header.get("kid")
        return None if kid is None else str(kid)


def parse(token: str, *, most: int = MAX_TOKEN) -> Parsed:
    """Parse a compact JWS (RFC 7515 section 7.1). most: its characters. Raises TokenRefused for anything else."""
    if len(token) > most:
        raise TokenRefused(f"it is longer than {most // 1024} KB")
    parts = token.split(".")
    if len(parts) != 3:
        raise TokenRefused("it is not a signed JWT")
    header = _json(_decoded(parts[0]))
    claims = _json(_decoded(parts[1]))
    signature = _decoded(parts[2])
    _check_header(header)
    return Parsed(header, claims, f"{parts[0]}.{parts[1]}".encode("ascii"), signature)


def issuer_of(parsed: Parsed) -> str:
    """The issuer that the token names, which decides the keys to verify it with; not verified. Raises TokenRefused."""
    issuer = parsed.claims.get("iss")
    if not isinstance(issuer, str) or not issuer:
        raise TokenRefused("it names no issuer")
    return issuer


def check_type(parsed: Parsed, types: Collection[str]) -> None:
    """`typ` must be one of `types`, so that another kind of token is not accepted (RFC 8725 section 3.11). Raises
    TokenRefused."""
    typ = parsed.header.get("typ", "")
    if not isinstance(typ, str) or typ.lower() not in types:
        raise TokenRefused("it is another kind of token")


def check_claims(
    claims: Mapping[str, Any], *, audience: str, now: float, leeway: float, subject: bool = True
) -> None:
    """Check `aud`, `exp`, `iat`, `nbf` and `sub`: present (`nbf` is optional), of the right type, and valid at `now`
    (Unix seconds). leeway: seconds by which clocks may differ; subject: False makes `sub` optional. Raises
    TokenRefused."""
    named = claims.get("aud")
    audiences = named if isinstance(named, list) else [named]
    if not audiences or not all(isinstance(entry, str) and entry for entry in audiences):
        raise TokenRefused("its audience cannot be read")
    if audience not in audiences:
        raise TokenRefused("it is for another audience")
    if now >= expiry_of(claims) + leeway:
        raise TokenRefused("it has expired")
    if _timestamp(claims, "iat") > now + leeway:
        raise TokenRefused("it was issued in the future")
    if "nbf" in claims and _timestamp(claims, "nbf") > now + leeway:
        raise TokenRefused("it is not valid yet")
    if subject or "sub" in claims:
        _check_subject(claims.get("sub"))


def check_bearer(claims: Mapping[str, Any]) -> None:
    """Raises TokenRefused for a token that is bound to a key (`cnf`, RFC 7800): its sender must prove to have the key,
    and a bearer token proves nothing."""
    if "cnf" in claims:
        raise TokenRefused("it is bound to a key, so it is not a bearer token")


def expiry_of(claims: Mapping[str, Any]) -> float:
    """`exp` in Unix seconds. Raises TokenRefused when it is missing or not a valid time."""
    return _timestamp(claims, "exp")


def scopes_of(claims: Mapping[str, Any]) -> frozenset[str]:
    """The granted scopes: `scope` is one string separated by spaces (RFC 8693 section 4.2); without it there are none.
    Raises TokenRefused."""
    scope = claims.get("scope", "")
    if not isinstance(scope, str):
        raise TokenRefused("its scope cannot be read")
    return frozenset(scope.split())


def roles_of(claims: Mapping[str, Any], path: str) -> frozenset[str]:
    """The roles in the claim at `path`, where dots lead into objects; a missing claim gives no roles.

    A claim whose name contains dots (a URL) is found by its name. The value is a list of texts (RFC 9068 section
    2.2.3.1) or one text with names separated by spaces; TokenRefused is raised for anything else.
    """
    found: Any = claims.get(path)
    if found is None:
        found = claims
        for step in path.split("."):
            found = found.get(step) if isinstance(found, dict) else None
    if found is None:
        return frozenset()
    if isinstance(found, str):
        return frozenset(found.split())
    if not isinstance(found, list) or not all(isinstance(role, str) for role in found):
        raise TokenRefused("its roles cannot be read")
    return frozenset(found)


def auth_time_of(claims: Mapping[str, Any]) -> float | None:
    """When the person proved who they are (`auth_time`, OpenID Connect Core section 2), Unix seconds; None where it is
    missing or cannot be read, which counts as long ago."""
    try:
        return _timestamp(claims, "auth_time")
    except TokenRefused:
        return None


def acr_of(claims: Mapping[str, Any]) -> str | None:
    """The class of the person's authentication (`acr`); None where it is missing or cannot be read."""
    acr = claims.get("acr")
    return acr if isinstance(acr, str) and 0 < len(acr) <= 255 else None


def person_claims(claims: Mapping[str, Any]) -> dict[str, Any]:
    """The claims about the person: all except those of the protocol."""
    return {name: value for name, value in claims.items() if name not in _PROTOCOL}


def _check_header(header: Mapping[str, Any]) -> None:
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in ASYMMETRIC:
        raise TokenRefused("its algorithm is not accepted")
    if "crit" in header or "b64" in header:
        raise TokenRefused("it requires an extension that is not supported")
    kid = header.get("kid")
    if kid is not None and (not isinstance(kid, str) or not kid or len(kid) > 256):
        raise TokenRefused("its key id cannot be read")


def _check_subject(subject: object) -> None:
    # OpenID Connect Core section 2: at most 255 ASCII characters. It is used in headers and in names of keys.
    if not isinstance(subject, str) or not subject.strip() or len(subject) > 255:
        raise TokenRefused("it names no subject")
    if not subject.isascii() or not subject.isprintable():
        raise TokenRefused("its subject contains characters that are not allowed")


def _timestamp(claims: Mapping[str, Any], name: str) -> float:
    value = claims.get(name)
    # bool is an int in Python: `exp: true` would be one second after the beginning of 1970.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < _LATEST:
        raise TokenRefused(f"its {name} is missing or not a valid time")
    return float(value)


def _decoded(segment: str) -> bytes:
    if not _SEGMENT.match(segment):
        raise TokenRefused("it is not a signed JWT")
    try:
        raw = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except (binascii.Error, ValueError):
        raise TokenRefused("it is not a signed JWT") from None
    # Each token has exactly one encoding: with free last bits the same token could be sent under many cache keys.
    if base64.urlsafe_b64encode(raw).rstrip(b"=") != segment.encode("ascii"):
        raise TokenRefused("it is not a signed JWT")
    return raw


def _json(raw: bytes) -> dict[str, Any]:
    try:
        value = json.loads(raw.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise TokenRefused("it does not contain JSON") from None
    if not isinstance(value, dict):
        raise TokenRefused("it does not contain a JSON object")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise TokenRefused("it has a member twice")
    return members


def _no_constant(name: str) -> None:
    raise TokenRefused(f"it contains {name}, which is not JSON")
