"""The keys that sign internal tokens: a file of Ed25519 keys, the first of which signs.

Guarantees that all of them are published, so that services know a key before and after it signs: they fetch the set
(RFC 7517) at /.well-known/jwks.json of the admin port. The file may change at any time; where the new content cannot be
used, the old keys stay in use. Other kinds of keys are refused.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from ..network import FileWatcher, fingerprint

MOST = 8
_PEM = re.compile(rb"-----BEGIN PRIVATE KEY-----.*?-----END PRIVATE KEY-----", re.S)


@dataclass(frozen=True, slots=True)
class Keys:
    """What the file held. kid: the signing key's id (RFC 7638 thumbprint); published: the JWK set as JSON."""

    kid: str
    key: Ed25519PrivateKey
    published: bytes


class SigningKeys:
    """path: PEM, PKCS #8, one to eight keys; look: seconds between two checks of the file, default 1; now: what the
    file holds, replaced as a whole when it changes. Raises ValueError that names the file and what is wrong with it."""

    def __init__(self, path: Path, *, look: float = 1.0) -> None:
        self._path = path
        self.watch = FileWatcher("internal tokens", [path], look, self._read, fingerprint([path]))
        self._read()

    def _read(self) -> None:
        keys = _keys(self._path)
        entries = [_entry(key) for key in keys]
        if len({entry["kid"] for entry in entries}) < len(entries):
            raise ValueError(f"{self._path} holds a key twice")
        published = json.dumps({"keys": entries}, separators=(",", ":")).encode()
        self.now = Keys(entries[0]["kid"], keys[0], published)


def rotate(path: Path) -> list[str]:
    """Rotate the keys in this file, which is made if there is none; returns the ids in their order.

    From now on the second key signs. The key that signed stays published, a new key is published before its use, and
    older ones are removed. So each key is published for one rotation before it signs and for one after. Leave at least
    a few minutes between two rotations, because services cache the keys for a short time. The file is replaced in one
    step and only its owner can read it. Raises ValueError and OSError.
    """
    made = Ed25519PrivateKey.generate()
    if path.exists():
        keys = _keys(path)
        keys = [keys[1], made, keys[0]] if len(keys) > 1 else [keys[0], made]
    else:
        keys = [made, Ed25519PrivateKey.generate()]
        path.parent.mkdir(parents=True, exist_ok=True)
    text = b"".join(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) for key in keys)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    beside.replace(path)
    return [_entry(key)["kid"] for key in keys]


def _keys(path: Path) -> list[Ed25519PrivateKey]:
    try:
        blocks = _PEM.findall(path.read_bytes())
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    if not 1 <= len(blocks) <= MOST:
        raise ValueError(
            f"{path} holds {len(blocks)} private keys in PEM, not 1 to {MOST}; `bff keys rotate {path}` makes them"
        )
    found: list[Ed25519PrivateKey] = []
    for block in blocks:
        try:
            key = load_pem_private_key(block, None)
        except ValueError:
            raise ValueError(f"{path}: a key in it cannot be read") from None
        if not isinstance(key, Ed25519PrivateKey):
            raise ValueError(f"{path} holds a key of another kind than Ed25519")
        found.append(key)
    return found


def _entry(key: Ed25519PrivateKey) -> dict[str, str]:
    """The public half as a JWK (RFC 8037)."""
    members = {"crv": "Ed25519", "kty": "OKP", "x": _b64(key.public_key().public_bytes_raw())}
    thumbprint = json.dumps(members, sort_keys=True, separators=(",", ":")).encode()
    return {**members, "kid": _b64(hashlib.sha256(thumbprint).digest()), "use": "sig", "alg": "EdDSA"}


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
