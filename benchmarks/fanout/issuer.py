"""A token issuer for one run: an ES256 key made at its start, its JWKS, and access tokens of several people."""

from __future__ import annotations

import json
import time
import uuid

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

ISSUER = "https://issuer.bench"
AUDIENCE = "bench"
PEOPLE = 10_000
"""The number of different callers: as many as verified tokens are remembered, each with a limit of its own."""


class Issuer:
    """jwks: the public key as JSON; tokens: one for each of so many people, valid for an hour."""

    def __init__(self, people: int = PEOPLE) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        public = jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
        self.jwks = json.dumps({"keys": [{**public, "kid": "1", "use": "sig", "alg": "ES256"}]})
        now = int(time.time())
        self.tokens = tuple(
            jwt.encode(
                {
                    "iss": ISSUER,
                    "sub": f"person-{number}",
                    "aud": AUDIENCE,
                    "client_id": "bench",
                    "iat": now,
                    "exp": now + 3600,
                    "jti": str(uuid.uuid4()),
                    "scope": "read",
                },
                key,
                algorithm="ES256",
                headers={"typ": "at+jwt", "kid": "1"},
            )
            for number in range(people)
        )
