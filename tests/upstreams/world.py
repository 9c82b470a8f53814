"""The demo's services as real processes for tests: own ports, own data, faults on, a real Valkey behind them.

`World` starts them all at once and lets a test kill, restart and disturb each; `sign_in` walks the code flow with
PKCE as a browser and a client would.
"""

from __future__ import annotations

import base64
import hashlib
import html
import re
import secrets
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx

CLIENT_ID = "bff"
CLIENT_SECRET = "demo-only-secret"
REDIRECT_URI = "http://localhost:8000/bff/callback"


@dataclass(frozen=True)
class Flow:
    """One walk through identity's front channel, step by step."""

    identity: str
    verifier: str
    params: dict[str, str]

    @classmethod
    def start(cls, identity: str, **changes: str | None) -> Flow:
        """The parameters of a good request; a change of None leaves a parameter out."""
        verifier = secrets.token_urlsafe(48)
        digest = hashlib.sha256(verifier.encode()).digest()
        params: dict[str, str | None] = {
            "response_type": "code",
            "client_id": CLIENT_ID,
            "redirect_uri": REDIRECT_URI,
            "scope": "openid profile offline_access shop",
            "state": secrets.token_urlsafe(8),
            "nonce": secrets.token_urlsafe(8),
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
            **changes,
        }
        return cls(identity, verifier, {name: value for name, value in params.items() if value is not None})

    @property
    def url(self) -> str:
        return f"{self.identity}/authorize?{urlencode(self.params)}"

    def ask(self, browser: httpx.Client) -> httpx.Response:
        return browser.get(self.url)

    def choose(self, browser: httpx.Client, page: str, person: str, **changes: str) -> httpx.Response:
        """Press a button of the page."""
        action, csrf = form_of(page)
        return browser.post(f"{self.identity}{action}", data={"csrf": csrf, "person": person, **changes})

    def code(self, browser: httpx.Client, person: str) -> str:
        answer = self.choose(browser, self.ask(browser).text, person)
        return redirected(answer)["code"]

    def redeem(self, browser: httpx.Client, code: str, **changes: str | None) -> httpx.Response:
        form: dict[str, str | None] = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.params["redirect_uri"],
            "code_verifier": self.verifier,
            **changes,
        }
        sent = {name: value for name, value in form.items() if value is not None}
        return browser.post(f"{self.identity}/token", data=sent, auth=(CLIENT_ID, CLIENT_SECRET))


def form_of(page: str) -> tuple[str, str]:
    """The form's address and its token."""
    action = re.search(r'<form method="post" action="([^"]+)"', page)
    csrf = re.search(r'name="csrf" value="([^"]+)"', page)
    if action is None or csrf is None:
        raise AssertionError(f"there is no form on this page: {page[:2000]}")
    return html.unescape(action[1]), html.unescape(csrf[1])


def redirected(answer: httpx.Response) -> dict[str, str]:
    """The parameters of the redirect back to the client."""
    if answer.status_code != 302:
        raise AssertionError(f"no redirect but {answer.status_code}: {answer.text[:2000]}")
    return {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["Location"]).query).items()}


def sign_in(identity: str, person: str) -> dict[str, Any]:
    """The token endpoint's answer after a whole code flow."""
    with httpx.Client(trust_env=False, timeout=10) as browser:
        flow = Flow.start(identity)
        answer = flow.redeem(browser, flow.code(browser, person))
        answer.raise_for_status()
        tokens: dict[str, Any] = answer.json()
        return tokens
