"""The state of a sign-in under way, stored in the browser: one short-lived encrypted cookie for each flow.

Guarantees that two tabs can sign in at once, that the gateway stores nothing for a person who has not signed in, and
that the cookie can be neither read nor made without this gateway's client secret. The cookie is SameSite=Lax, because
the browser has to send it with the cross-site redirect from the provider. The session cookie is Strict and is not sent
with that redirect, so this cookie also names the sessions that the sign-in replaces.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import re
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from .session_record import decrypt, encrypt

PREFIX = "__Host-bff-login-"
LIFETIME = 600
"""Seconds a sign-in may take."""
COOKIE_BYTES = 4000
"""Bytes of name and value of a flow's cookie at most: browsers silently drop one of more than 4,096 bytes."""
MAX_REPLACED = 4
"""Sessions one sign-in may end: the one it began in, and those of tabs that finished before it."""
FLOWS = 12
"""Sign-ins that one browser may have under way, in as many tabs; the oldest is dropped, so that they do not fill its
headers: in sum they are at most about 6 KB."""

_STATE = re.compile(r"([0-9a-f]{16})\.[A-Za-z0-9_-]{43}", re.ASCII)
_FLOW = re.compile("[0-9a-f]{16}", re.ASCII)


@dataclass(frozen=True, slots=True)
class LoginState:
    """began: Unix seconds; return_to: a path of this site; seed: random, of which nonce and verifier are made;
    replaces: hashed ids of the sessions that end when this sign-in succeeds; max_age, acr: what it has to fulfil, see
    `provider.Demands`."""

    state: str
    seed: str = field(repr=False)
    return_to: str
    began: float
    replaces: tuple[str, ...] = ()
    max_age: int | None = None
    acr: tuple[str, ...] = ()

    @classmethod
    def new(
        cls,
        return_to: str,
        now: float,
        replaces: tuple[str, ...] = (),
        *,
        max_age: int | None = None,
        acr: tuple[str, ...] = (),
    ) -> LoginState:
        return cls(
            state=f"{secrets.token_hex(8)}.{secrets.token_urlsafe(32)}",
            seed=secrets.token_urlsafe(32),
            return_to=return_to,
            began=now,
            replaces=replaces[-MAX_REPLACED:],
            max_age=max_age,
            acr=acr,
        )

    @property
    def nonce(self) -> str:
        """Binds the ID token to this sign-in."""
        return self._made("nonce")

    @property
    def verifier(self) -> str:
        """Of PKCE (RFC 7636)."""
        return self._made("verifier")

    def _made(self, purpose: str) -> str:
        made = hmac.digest(self.seed.encode(), f"bff login {purpose}".encode(), "sha256")
        return urlsafe_b64encode(made).rstrip(b"=").decode()


def is_cookie_name(name: str, prefix: str = PREFIX) -> bool:
    """Whether this could be the cookie of a flow. prefix: what their names begin with."""
    return name.startswith(prefix) and bool(_FLOW.fullmatch(name.removeprefix(prefix)))


def cookie_name(state: str, prefix: str = PREFIX) -> str | None:
    """The name of the cookie of the flow with this `state`; None when no flow of this gateway has it."""
    found = _STATE.fullmatch(state)
    return prefix + found[1] if found else None


class LoginStates:
    """Encrypts and decrypts the cookies. secret: the client secret, the same on all gateways, or what reads it. When it
    changes, sign-ins under way continue: cookies of the last one can still be opened."""

    def __init__(self, secret: str | Callable[[], str]) -> None:
        self._secret = secret
        self._keys: tuple[bytes, ...] = ()
        self._current_keys()

    def _current_keys(self) -> tuple[bytes, ...]:
        """The key that encrypts, and the one before it."""
        secret = self._secret if isinstance(self._secret, str) else self._secret()
        key = hashlib.sha256(b"bff login state:" + secret.encode()).digest()
        if self._keys[:1] != (key,):
            self._keys = (key, *self._keys[:1])
        return self._keys

    def seal(self, login: LoginState) -> str:
        facts = [login.state, login.seed, login.return_to, round(login.began, 3)]
        facts += [[_short(id) for id in login.replaces], login.max_age, login.acr]
        text = json.dumps(facts, ensure_ascii=False, separators=(",", ":"))
        return urlsafe_b64encode(encrypt(self._current_keys()[0], text.encode())).rstrip(b"=").decode()

    def open(self, sealed: str | None, state: str, now: float) -> LoginState | None:
        """None unless this cookie was sealed here, for exactly this `state`, at most `LIFETIME` seconds ago."""
        login = self._open(sealed, now)
        same = login is not None and hmac.compare_digest(login.state.encode(), state.encode())
        return login if same else None

    def replacing(self, sealed: str, session: str, now: float) -> tuple[str, int] | None:
        """The cookie of another flow, encrypted again so that its sign-in also ends this session (a hashed id), and the
        seconds that are left for it; None when it cannot be opened."""
        login = self._open(sealed, now)
        if login is None:
            return None
        login = replace(login, replaces=(*login.replaces, session)[-MAX_REPLACED:])
        return self.seal(login), max(1, int(login.began + LIFETIME - now))

    def _open(self, sealed: str | None, now: float) -> LoginState | None:
        if sealed is None or len(sealed) > 8192:
            return None
        login: LoginState | None = None
        try:
            content = urlsafe_b64decode(sealed + "=" * (-len(sealed) % 4))
            if urlsafe_b64encode(content).rstrip(b"=") != sealed.encode():
                return None
        except ValueError:
            return None
        for key in self._current_keys():
            with contextlib.suppress(ValueError, TypeError):
                state, seed, return_to, began, replaces, max_age, acr = json.loads(decrypt(key, content))
                ids = tuple(urlsafe_b64decode(f"{id}=").hex() for id in replaces)
                login = LoginState(state, seed, return_to, began, ids, max_age, tuple(acr))
                break
        if login is None:
            return None
        # Another gateway may have made it, whose clock is a little ahead.
        return login if -60 <= now - login.began <= LIFETIME else None


def _short(id: str) -> str:
    """A hashed id, which is 64 hex digits, in 43 characters."""
    return urlsafe_b64encode(bytes.fromhex(id)).rstrip(b"=").decode()


def safe_return(path: str) -> str | None:
    """The path, or None where a browser could understand it as an address of another host."""
    if not path.startswith("/") or path.startswith("//") or "\\" in path:
        return None
    # Half of a UTF-16 surrogate pair is counted here and refused below.
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
