"""The development sign-in as a process, and the code flow at it, step by step, as a browser and a client run it."""

from __future__ import annotations

import base64
import hashlib
import html
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx

from tests.conftest import Program, start_module

CLIENT_ID = "bff"
CLIENT_SECRET = "demo-only-secret"
PUBLIC_URL = "http://localhost:8000"
REDIRECT_URI = f"{PUBLIC_URL}/bff/callback"


def start_sign_in(
    port: int,
    folder: Path,
    *,
    log: Path,
    public_url: str = PUBLIC_URL,
    people: Path | None = None,
    env: Mapping[str, str] | None = None,
    **options: str,
) -> Program:
    """Start it with its state in the folder. options: further ones of its command line."""
    given = {"port": str(port), "issuer": f"http://127.0.0.1:{port}", "public_url": public_url}
    given |= {"state": str(folder / "sign-in.db"), **({"people": str(people)} if people else {}), **options}
    arguments = [word for name, value in given.items() for word in (f"--{name.replace('_', '-')}", value)]
    secret = {"SIGN_IN_CLIENT_SECRET": CLIENT_SECRET}
    return start_module("bff.cli.dev.sign_in", *arguments, log=log, env={**secret, **(env or {})})


@dataclass(frozen=True)
class Flow:
    """One pass through the provider's pages, step by step."""

    provider: str
    verifier: str
    params: dict[str, str]

    @classmethod
    def start(cls, provider: str, **changes: str | None) -> Flow:
        """The parameters of a valid request; a change to None leaves a parameter out."""
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
        return cls(provider, verifier, {name: value for name, value in params.items() if value is not None})

    @property
    def url(self) -> str:
        return f"{self.provider}/authorize?{urlencode(self.params)}"

    def ask(self, browser: httpx.Client) -> httpx.Response:
        return browser.get(self.url)

    def choose(self, browser: httpx.Client, page: str, person: str, **changes: str) -> httpx.Response:
        """Press a button of the page."""
        action, csrf = form_of(page)
        return browser.post(f"{self.provider}{action}", data={"csrf": csrf, "person": person, **changes})

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
        return browser.post(f"{self.provider}/token", data=sent, auth=(CLIENT_ID, CLIENT_SECRET))


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


def sign_in(provider: str, person: str, public_url: str = PUBLIC_URL) -> dict[str, Any]:
    """The token endpoint's answer after a whole code flow."""
    with httpx.Client(trust_env=False, timeout=60) as browser:
        flow = Flow.start(provider, redirect_uri=f"{public_url}/bff/callback")
        answer = flow.redeem(browser, flow.code(browser, person))
        answer.raise_for_status()
        tokens: dict[str, Any] = answer.json()
        return tokens
