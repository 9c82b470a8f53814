"""Alters real tokens of a provider, as somebody would who wants more than was granted."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa

from bff.policies.tokens import Reason, parse
from tests.unit.edge.access.issuing import PrivateKey, b64, ec_key, sign

FORGERS: Mapping[str, PrivateKey] = {
    "ES256": ec_key(),
    "RS256": rsa.generate_private_key(public_exponent=65537, key_size=2048),
}


def altered(token: str) -> Iterator[tuple[str, str, Reason]]:
    """What was altered in this JWT, the altered one, and why it is refused."""
    head, body, signature = token.split(".")
    parsed = parse(token)
    header, claims = dict(parsed.header), dict(parsed.claims)
    yield (
        "other scopes",
        f"{head}.{_json(claims | {'scope': 'desk.read desk.write'})}.{signature}",
        Reason.SIGNATURE,
    )
    yield (
        "a later end",
        f"{head}.{_json(claims | {'exp': claims['exp'] + 3600})}.{signature}",
        Reason.SIGNATURE,
    )
    yield "another subject", f"{head}.{_json(claims | {'sub': 'root'})}.{signature}", Reason.SIGNATURE
    # The first character of a signature has no bits of padding.
    first = "A" if signature[0] != "A" else "B"
    yield "another signature", f"{head}.{body}.{first}{signature[1:]}", Reason.SIGNATURE
    yield "no signature", f"{head}.{body}.", Reason.NOT_A_JWT
    yield "no algorithm", f"{_json(header | {'alg': 'none'})}.{body}.{signature}", Reason.ALGORITHM
    yield "a shared secret", f"{_json(header | {'alg': 'HS256'})}.{body}.{signature}", Reason.ALGORITHM
    forged = sign(FORGERS[header["alg"]], claims, **header)
    yield "signed by somebody else", forged, Reason.SIGNATURE
    unknown = sign(FORGERS[header["alg"]], claims, **header | {"kid": "other"})
    yield "signed by somebody else with a key of their own", unknown, Reason.UNKNOWN_KEY


def _json(value: dict[str, Any]) -> str:
    return b64(json.dumps(value).encode())
