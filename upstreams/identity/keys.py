"""The signing key: one EC P-256 pair, made at the first start and kept with the rest of identity's data.

Promises the same key, and so the same `kid`, after a restart; the public half is all that `jwks()` shows.
Refuses any algorithm but ES256.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet

from .store import Store

ALGORITHM = "ES256"


class Keys:
    """The key pair and the secret that binds forms to browsers; there after `load`."""

    private: KeySet
    form_secret: bytes

    def load(self, store: Store) -> None:
        """Read them, or make them; for work inside the store."""
        kept = store.secret("signing-key", _new_key)
        self._key = ECKey.import_key(json.loads(kept))
        self.private = KeySet([self._key])
        self.form_secret = bytes.fromhex(store.secret("form-secret", lambda: secrets.token_hex(32)))

    @property
    def kid(self) -> str:
        return str(self._key.kid)

    def jwks(self) -> Mapping[str, Any]:
        """The JSON Web Key Set that services fetch (RFC 7517), public halves only."""
        return {"keys": [{**self._key.as_dict(private=False), "use": "sig", "alg": ALGORITHM}]}

    def read(self, token: str) -> dict[str, Any] | None:
        """The claims of a token this key signed, whatever its age; None for any other string."""
        try:
            return dict(jwt.decode(token, self.private, algorithms=[ALGORITHM]).claims)
        except (JoseError, ValueError):
            return None


def _new_key() -> str:
    key = ECKey.generate_key("P-256", auto_kid=True)
    return json.dumps(key.as_dict(private=True))
