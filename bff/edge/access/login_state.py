"""The state of a sign-in under way, kept by the browser: one short-lived encrypted cookie for each flow.

Guarantees that two tabs can sign in at once, that nothing is stored before anyone has proved who they are, and that the
cookie can be neither read nor made without this gateway's client secret. It is Lax, not Strict: the browser has to send
it on the cross-site way back from the provider. The session cookie is Strict and is not sent there, so the sessions
that a sign-in replaces are named in here.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from dataclasses import asdict, dataclass, field, replace

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

PREFIX = "__Host-bff-login-"
LIFETIME = 600
"""Seconds a sign-in may take."""
COOKIE_BYTES = 4000
"""Bytes of name and value of a flow's cookie at most: browsers silently drop one of more than 4,096 bytes."""
MAX_REPLACED = 4
"""Sessions one sign-in may end: the one it began in, and those of tabs that finished before it."""
FLOWS = 5
"""Sign-ins one browser may have under way; the oldest is dropped, so abandoned ones never fill its headers."""

_STATE = re.compile(r"([0-9a-f]{16})\.[A-Za-z0-9_-]{43}", re.ASCII)
_FLOW = re.compile("[0-9a-f]{16}", re.ASCII)
_NONCE = 12


@dataclass(frozen=True, slots=True)
class LoginState:
    """began: Unix seconds; return_to: a path of this site; verifier: of PKCE (RFC 7636); replaces: hashed ids of the
    sessions that end when this sign-in succeeds."""

    state: str
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)
    return_to: str
    began: float
    replaces: tuple[str, ...] = ()

    @classmethod
    def new(cls, return_to: str, now: float, replaces: tuple[str, ...] = ()) -> LoginState:
        return cls(
            state=f"{secrets.token_hex(8)}.{secrets.token_urlsafe(32)}",
            nonce=secrets.token_urlsafe(32),
            verifier=secrets.token_urlsafe(48),
            return_to=return_to,
            began=now,
            replaces=replaces[-MAX_REPLACED:],
        )

    @property
    def expires(self) -> float:
        """Unix seconds until which the callback is accepted."""
        return self.began + LIFETIME


def is_cookie_name(name: str, prefix: str = PREFIX) -> bool:
    """Whether this could be the cookie of a flow. prefix: what their names begin with."""
    return name.startswith(prefix) and bool(_FLOW.fullmatch(name.removeprefix(prefix)))


def cookie_name(state: str, prefix: str = PREFIX) -> str | None:
    """The name of the cookie of the flow with this `state`; None when no flow of this gateway has it."""
    found = _STATE.fullmatch(state)
    return prefix + found[1] if found else None


class LoginStates:
    """Seals and opens the cookies. secret: the client's, the same on every gateway that may get the callback."""

    def __init__(self, secret: str) -> None:
        self._cipher = AESGCM(hashlib.sha256(b"bff login state:" + secret.encode()).digest())

    def seal(self, login: LoginState) -> str:
        nonce = secrets.token_bytes(_NONCE)
        return (
            nonce + self._cipher.encrypt(nonce, json.dumps(asdict(login), ensure_ascii=False).encode(), None)
        ).hex()

    def open(self, sealed: str | None, state: str, now: float) -> LoginState | None:
        """None unless this cookie was sealed here, for exactly this `state`, at most `LIFETIME` seconds ago."""
        login = self._open(sealed, now)
        if login is None or not hmac.compare_digest(login.state.encode(), state.encode()):
            return None
        return login

    def replacing(self, sealed: str, session: str, now: float) -> tuple[str, LoginState] | None:
        """The cookie of another flow, sealed again so that its sign-in also ends this session (a hashed id); None when
        it cannot be opened."""
        login = self._open(sealed, now)
        if login is None:
            return None
        login = replace(login, replaces=(*login.replaces, session)[-MAX_REPLACED:])
        return self.seal(login), login

    def _open(self, sealed: str | None, now: float) -> LoginState | None:
        if sealed is None or len(sealed) > 8192:
            return None
        try:
            raw = bytes.fromhex(sealed)
            tree = json.loads(self._cipher.decrypt(raw[:_NONCE], raw[_NONCE:], None))
            login = LoginState(**tree | {"replaces": tuple(tree.get("replaces", ()))})
        except (InvalidTag, ValueError, TypeError):
            return None
        # Another gateway may have made it, whose clock is a little ahead.
        return login if -60 <= now - login.began <= LIFETIME else None


def safe_return(path: str) -> str | None:
    """A path of this site to go back to, or None: it names no other host in any spelling that browsers understand."""
    if not path.startswith("/") or path.startswith("//") or "\\" in path:
        return None
    # Half of a UTF-16 surrogate pair counts like any other letter here, and is refused below.
    if len(path.encode(errors="surrogatepass")) > 1024:
        return None
    # Browsers drop tabs and line ends from addresses: "/\t/evil.example" would become "//evil.example".
    if any(
        ord(letter) <= 0x20 or 0x7F <= ord(letter) <= 0x9F or 0xD800 <= ord(letter) <= 0xDFFF
        for letter in path
    ):
        return None
    # Some readers resolve dot segments before they look for a host, as in "/.//evil.example".
    if any(part in (".", "..") for part in re.split(r"[/?#]", path.lower().replace("%2e", "."))):
        return None
    return path
