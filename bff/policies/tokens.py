"""Parses a JWT and checks its header and its claims; the signature is verified in edge/access/jwt.py.

Pure: no keys, no network, no clock. Guarantees the checks of RFC 8725 and RFC 9068 with typed claims (PyJWT accepts
`exp: "123"`, `exp: 1e300` and `sub: ""`). Refuses critical extensions, repeated members, and tokens longer than 8 KB
(parsing a token of 1 MB takes 49 ms). Every refusal has its `Reason`, a closed list that clients may be told.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
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
    | {"sid", "scope", "typ", "events", "cnf", "active", "token_type"}
)

# Other keys by which a token can be bound, RFC 7800 section 3.
_OTHER_BINDINGS = frozenset({"jwk", "jwe", "kid", "jku"})

_SEGMENT = re.compile(r"[A-Za-z0-9_-]+\Z", re.ASCII)
# Unix seconds in the year 5138. A later time is a mistake or an attack, and larger floats are too imprecise.
_LATEST = 1e11


class Reason(Enum):
    """Why a token or a proof is refused. code: stable, for programs; text: for people, in the characters of
    `error_description` (RFC 6750 section 3). Neither contains anything of the token."""

    # The credentials as a whole.
    TWO_HEADERS = "two-headers", "there are two Authorization headers"
    SCHEME = "scheme", "only the schemes Bearer and DPoP are accepted here"
    TOO_LONG = "too-long", "it is longer than 8 KB"
    CHARACTERS = "characters", "it holds characters that no token has"
    NOT_A_JWT = "not-a-jwt", "it is not a signed JWT"
    NOT_JSON = "not-json", "its header or its claims are not a JSON object"
    MEMBER_TWICE = "member-twice", "it has a member twice"
    # The header and the signature.
    ALGORITHM = "algorithm", "its algorithm is not accepted"
    ISSUER_ALGORITHM = "issuer-algorithm", "its algorithm is not allowed for its issuer"
    EXTENSION = "extension", "it requires an extension that is not supported"
    KEY_ID = "key-id", "its key id cannot be read"
    UNKNOWN_KEY = "unknown-key", "its issuer has no such key"
    SIGNATURE = "signature", "its signature is wrong"
    TYPE = "type", "it is another kind of token"
    # Whose it is, for whom, and when.
    NO_ISSUER = "no-issuer", "it names no issuer"
    ISSUER = "issuer", "its issuer is not trusted here"
    AUDIENCE_UNREADABLE = "audience-unreadable", "its audience cannot be read"
    AUDIENCE = "audience", "it is for another audience"
    EXPIRED = "expired", "it has expired"
    EXPIRY = "expiry", "its exp is missing or not a valid time"
    FUTURE = "future", "it was issued in the future"
    ISSUED = "issued", "its iat is missing or not a valid time"
    NOT_YET = "not-yet", "it is not valid yet"
    START = "start", "its nbf is missing or not a valid time"
    SUBJECT = "subject", "it names no subject"
    SUBJECT_CHARACTERS = "subject-characters", "its subject contains characters that are not allowed"
    # What kind of token it is, and what it grants.
    NO_MARK = "no-mark", "it lacks what marks an access token of its issuer"
    OTHER_KIND = "other-kind", "it has a claim that only other kinds of tokens have"
    CLIENT = "client", "it was issued to a client that is not accepted here"
    CLAIM = "claim", "a claim that is required here is missing or has another value"
    SCOPE = "scope", "its scope cannot be read"
    ROLES = "roles", "its roles cannot be read"
    REVOKED = "revoked", "it was revoked"
    # Tokens that cannot be verified here.
    OPAQUE = "opaque", "it is opaque, and no issuer that is trusted here issues such tokens"
    INACTIVE = "inactive", "its issuer says that it is not active"
    GOOGLE = "google", "it is from Google, whose access tokens are only for services of Google"
    GITHUB = "github", "it is from GitHub, whose access tokens are only for services of GitHub"
    # Tokens that are bound to a key, and the proofs of possession (RFC 9449).
    BOUND = "bound", "it is bound to a key, so it is accepted with the scheme DPoP and a proof only"
    NOT_BOUND = "not-bound", "it is not bound to a key, so the scheme DPoP cannot be used with it"
    BEARER = "bearer", "tokens of its issuer must be bound to a key, and it is not"
    CERTIFICATE = "certificate", "it is bound to a client certificate, and TLS does not end here"
    BINDING = "binding", "it is bound in a way that is not supported"
    PROOF_MISSING = "proof-missing", "there is not exactly one DPoP header with a proof"
    PROOF_MALFORMED = "proof-malformed", "the proof is not a JWT of the type dpop+jwt"
    PROOF_KEY = "proof-key", "the key of the proof cannot be used"
    PROOF_SIGNATURE = "proof-signature", "the signature of the proof is wrong"
    PROOF_BINDING = "proof-binding", "the token is bound to another key"
    PROOF_METHOD = "proof-method", "the proof is for another method"
    PROOF_ADDRESS = "proof-address", "the proof is for another address"
    PROOF_TIME = "proof-time", "the proof was made too long ago or in the future"
    PROOF_TOKEN = "proof-token", "the proof is for another token"
    PROOF_ID = "proof-id", "the jti of the proof cannot be read"
    PROOF_REPLAYED = "proof-replayed", "the proof was used before"
    PROOF_NONCE = "proof-nonce", "the proof needs the nonce of this server"

    def __init__(self, code: str, text: str) -> None:
        self.code = code
        self.text = text


class TokenRefused(Exception):
    """The token is not accepted. The message says why and contains nothing of the token.

    reason    its place in the closed list; None for an answer to a sign-in, which has no such list
    seen      what the token has, for the log only; never the token or a secret
    expected  what it should have, for the log only
    """

    def __init__(self, reason: Reason | str, *, seen: object = None, expected: object = None) -> None:
        super().__init__(reason.text if isinstance(reason, Reason) else reason)
        self.reason = reason if isinstance(reason, Reason) else None
        self.seen = seen
        self.expected = expected

    def again(self) -> TokenRefused:
        """The same refusal as a new exception, without the traceback of the first one."""
        return TokenRefused(self.reason or str(self), seen=self.seen, expected=self.expected)


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
    """Parse a compact JWS (RFC 7515 section 7.1). most: characters that it may have. Raises TokenRefused for anything
    else."""
    if len(token) > most:
        reason = Reason.TOO_LONG if most == MAX_TOKEN else f"it is longer than {most // 1024} KB"
        raise TokenRefused(reason, seen=len(token), expected=most)
    parts = token.split(".")
    if len(parts) != 3:
        raise TokenRefused(Reason.NOT_A_JWT, seen=f"{len(parts)} parts", expected="3 parts")
    header = json_object(_decoded(parts[0]))
    claims = json_object(_decoded(parts[1]))
    signature = _decoded(parts[2])
    _check_header(header)
    return Parsed(header, claims, f"{parts[0]}.{parts[1]}".encode("ascii"), signature)


def issuer_of(parsed: Parsed) -> str:
    """The issuer that the token names, which decides the keys to verify it with; not verified. Raises TokenRefused."""
    issuer = parsed.claims.get("iss")
    if not isinstance(issuer, str) or not issuer:
        raise TokenRefused(Reason.NO_ISSUER, seen=issuer)
    return issuer


def is_opaque(token: str) -> bool:
    """Whether the token is no JWT: it has not three parts, or its first part is no JSON object."""
    parts = token.split(".")
    if len(parts) != 3:
        return True
    try:
        json_object(_decoded(parts[0]))
    except TokenRefused as refusal:
        return refusal.reason is not Reason.MEMBER_TWICE
    return False


def check_type(parsed: Parsed, types: Collection[str]) -> None:
    """`typ` must be one of `types`, so that another kind of token is not accepted (RFC 8725 section 3.11). Raises
    TokenRefused."""
    typ = parsed.header.get("typ", "")
    if not isinstance(typ, str) or typ.lower() not in types:
        raise TokenRefused(Reason.TYPE, seen=typ, expected=sorted(types))


def check_claims(
    claims: Mapping[str, Any],
    *,
    audience: str | Collection[str],
    now: float,
    leeway: float,
    subject: bool = True,
) -> None:
    """Check `aud`, `exp`, `iat`, `nbf` and `sub`: present (`nbf` is optional), of the right type, and valid at `now`
    (Unix seconds). audience: one of these must be named; leeway: seconds by which clocks may differ; subject: False
    makes `sub` optional. Raises TokenRefused."""
    check_audience(claims, {audience} if isinstance(audience, str) else audience)
    check_times(claims, now=now, leeway=leeway)
    if subject or "sub" in claims:
        check_subject(claims)


def check_audience(claims: Mapping[str, Any], audiences: Collection[str]) -> None:
    """`aud` is a text or a list of texts, and names one of `audiences`. Raises TokenRefused."""
    named = audiences_of(claims)
    if named.isdisjoint(audiences):
        raise TokenRefused(Reason.AUDIENCE, seen=sorted(named), expected=sorted(audiences))


def audiences_of(claims: Mapping[str, Any]) -> frozenset[str]:
    """`aud`. Raises TokenRefused when it is missing or cannot be read."""
    named = claims.get("aud")
    audiences = named if isinstance(named, list) else [named]
    if not audiences or not all(isinstance(entry, str) and entry for entry in audiences):
        raise TokenRefused(Reason.AUDIENCE_UNREADABLE, seen=named)
    return frozenset(audiences)


def check_times(claims: Mapping[str, Any], *, now: float, leeway: float) -> None:
    """Check `exp`, `iat` and `nbf`, of which the last is optional. Raises TokenRefused."""
    if now >= expiry_of(claims) + leeway:
        raise TokenRefused(Reason.EXPIRED, seen=claims["exp"], expected=f"after {now:.0f}")
    if timestamp(claims, "iat", Reason.ISSUED) > now + leeway:
        raise TokenRefused(Reason.FUTURE, seen=claims["iat"], expected=f"up to {now:.0f}")
    if "nbf" in claims and timestamp(claims, "nbf", Reason.START) > now + leeway:
        raise TokenRefused(Reason.NOT_YET, seen=claims["nbf"], expected=f"up to {now:.0f}")


def check_subject(claims: Mapping[str, Any]) -> None:
    """`sub` is a text of at most 255 characters (OpenID Connect Core section 2), and not blank. Spaces, bars and
    letters of any script are allowed, because providers send them; whatever cannot be printed is not. Raises
    TokenRefused."""
    subject = claims.get("sub")
    if not isinstance(subject, str) or not subject.strip() or len(subject) > 255:
        raise TokenRefused(Reason.SUBJECT, seen=subject)
    # `isprintable` is False for control and direction characters, line separators and halves of surrogate pairs.
    if not subject.isprintable():
        raise TokenRefused(Reason.SUBJECT_CHARACTERS, seen=subject)


def key_thumbprint_of(claims: Mapping[str, Any]) -> str | None:
    """The thumbprint of the key to which the token is bound (`cnf.jkt`, RFC 9449 section 6.1); None for a bearer token.

    Raises TokenRefused for a token that is bound in another way, also in addition to a key: its sender must prove to
    have that key or certificate, and no such proof is read here. Members that are not known are ignored (RFC 7800
    section 3.1): Keycloak has `kc-jkt-type` there.
    """
    if "cnf" not in claims:
        return None
    bound = claims["cnf"]
    if isinstance(bound, dict) and "x5t#S256" in bound:
        raise TokenRefused(Reason.CERTIFICATE, seen=sorted(bound), expected=["jkt"])
    if not isinstance(bound, dict) or "jkt" not in bound or not _OTHER_BINDINGS.isdisjoint(bound):
        raise TokenRefused(Reason.BINDING, seen=bound, expected=["jkt"])
    thumbprint = bound["jkt"]
    if not isinstance(thumbprint, str) or len(thumbprint) != 43 or not _SEGMENT.match(thumbprint):
        raise TokenRefused(Reason.BINDING, seen=thumbprint, expected="a SHA-256 thumbprint")
    return thumbprint


def expiry_of(claims: Mapping[str, Any]) -> float:
    """`exp` in Unix seconds. Raises TokenRefused when it is missing or not a valid time."""
    return timestamp(claims, "exp", Reason.EXPIRY)


def scopes_of(
    claims: Mapping[str, Any], names: Iterable[str] = ("scope",), *, lists: bool = False
) -> frozenset[str]:
    """The granted scopes of all these claims together. Each is one text separated by spaces (RFC 8693 section 4.2), or
    with `lists` a list of texts, too; a missing claim grants nothing. Raises TokenRefused."""
    granted: set[str] = set()
    for name in names:
        found = claim_at(claims, name)
        if isinstance(found, str):
            granted.update(found.split())
        elif found is None and name not in claims:
            continue
        elif lists and isinstance(found, list) and all(_is_name(one) for one in found):
            granted.update(found)
        else:
            raise TokenRefused(Reason.SCOPE, seen=found)
    return frozenset(granted)


def roles_of(
    claims: Mapping[str, Any], paths: str | Iterable[str], *, clients: Iterable[str] = ()
) -> frozenset[str]:
    """The roles at all these paths together; a missing claim gives no roles.

    Dots lead into objects, as in `realm_access.roles`. A claim whose name contains dots (a URL) is found by its name.
    A step `{client}` stands for each of `clients`. The value is a list of texts (RFC 9068 section 2.2.3.1) or one text
    with names separated by spaces. After a last step `*` it is an object, and the roles are its members that hold
    `true`, or an object or list that is not empty. TokenRefused is raised for anything else.
    """
    found: set[str] = set()
    for path in [paths] if isinstance(paths, str) else paths:
        for client in clients if "{client}" in path else ("",):
            found |= _roles_at(claims, path, client)
    return frozenset(found)


def _roles_at(claims: Mapping[str, Any], path: str, client: str) -> set[str]:
    by_key = path.endswith(".*")
    found = claim_at(claims, path.removesuffix(".*"), client)
    if found is None:
        return set()
    if by_key:
        if not isinstance(found, dict) or not all(
            one is None or isinstance(one, bool | dict | list) for one in found.values()
        ):
            raise TokenRefused(Reason.ROLES, seen=found, expected=path)
        return {name for name, one in found.items() if one}
    if isinstance(found, str):
        return set(found.split())
    if not isinstance(found, list) or not all(isinstance(role, str) for role in found):
        raise TokenRefused(Reason.ROLES, seen=found, expected=path)
    return set(found)


def claim_at(claims: Mapping[str, Any], path: str, client: str = "") -> Any:
    """The claim of this name, or the one to which the dots in `path` lead; None where there is none. client: replaces
    a step `{client}`."""
    found: Any = claims.get(path)
    if found is None:
        found = claims
        for step in path.split("."):
            name = client if step == "{client}" else step
            found = found.get(name) if isinstance(found, dict) else None
    return found


def left_out_of(claims: Mapping[str, Any], paths: Iterable[str]) -> tuple[str, ...]:
    """The claims at the beginning of these paths that the provider has left out, because they have too many values, in
    order: it names them in `_claim_names` (OpenID Connect Core section 5.6.2), or says `hasgroups` (Entra)."""
    elsewhere = claims.get("_claim_names")
    names = set(elsewhere) if isinstance(elsewhere, dict) else set()
    if claims.get("hasgroups") in (True, "true"):
        names.add("groups")
    return tuple(sorted(names & {path.partition(".")[0] for path in paths} - set(claims)))


def auth_time_of(claims: Mapping[str, Any]) -> float | None:
    """When the person proved who they are (`auth_time`, OpenID Connect Core section 2), Unix seconds; None where it is
    missing or cannot be read, which counts as long ago."""
    try:
        return timestamp(claims, "auth_time", Reason.START)
    except TokenRefused:
        return None


def acr_of(claims: Mapping[str, Any]) -> str | None:
    """The class of the person's authentication (`acr`); None where it is missing or cannot be read."""
    acr = claims.get("acr")
    return acr if isinstance(acr, str) and 0 < len(acr) <= 255 else None


def person_claims(claims: Mapping[str, Any]) -> dict[str, Any]:
    """The claims about the person: all except those of the protocol. Half a surrogate pair, which a cut name ends with,
    becomes U+FFFD: no answer can hold it."""
    return {_whole(name): _whole(value) for name, value in claims.items() if name not in _PROTOCOL}


def _whole(value: Any) -> Any:
    if isinstance(value, str):
        if value.isascii():
            return value
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_whole(one) for one in value]
    if isinstance(value, dict):
        return {_whole(name): _whole(one) for name, one in value.items()}
    return value


def _check_header(header: Mapping[str, Any]) -> None:
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in ASYMMETRIC:
        raise TokenRefused(Reason.ALGORITHM, seen=algorithm)
    if "crit" in header or "b64" in header:
        raise TokenRefused(Reason.EXTENSION)
    kid = header.get("kid")
    if kid is not None and (not isinstance(kid, str) or not kid or len(kid) > 256):
        raise TokenRefused(Reason.KEY_ID, seen=kid)


def _is_name(value: object) -> bool:
    # RFC 6749 section 3.3: a scope holds no blank, so that a list cannot hide several in one entry.
    return isinstance(value, str) and value.split() == [value]


def timestamp(claims: Mapping[str, Any], name: str, reason: Reason) -> float:
    """The claim in Unix seconds. Raises TokenRefused with this reason when it is missing or not a valid time."""
    value = claims.get(name)
    # bool is an int in Python: `exp: true` would be one second after the beginning of 1970.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < _LATEST:
        raise TokenRefused(reason, seen=value, expected="Unix seconds")
    return float(value)


def _decoded(segment: str) -> bytes:
    if not _SEGMENT.match(segment):
        raise TokenRefused(Reason.NOT_A_JWT)
    try:
        raw = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except (binascii.Error, ValueError):
        raise TokenRefused(Reason.NOT_A_JWT) from None
    # Each token has exactly one encoding: with free last bits the same token could be sent under many cache keys.
    if base64.urlsafe_b64encode(raw).rstrip(b"=") != segment.encode("ascii"):
        raise TokenRefused(Reason.NOT_A_JWT)
    return raw


def json_object(raw: bytes) -> dict[str, Any]:
    """The JSON object in these bytes. Raises TokenRefused for anything else: NaN and Infinity, and members that are
    named twice, at any depth."""
    try:
        value = json.loads(raw.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise TokenRefused(Reason.NOT_JSON) from None
    if not isinstance(value, dict):
        raise TokenRefused(Reason.NOT_JSON, seen=type(value).__name__, expected="object")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise TokenRefused(Reason.MEMBER_TWICE)
    return members


def _no_constant(name: str) -> None:
    raise TokenRefused(Reason.NOT_JSON, seen=name)
