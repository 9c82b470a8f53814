"""The identity service in its own process, used as browsers and clients use it."""

from __future__ import annotations

import base64
import hashlib
import re
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import jwt
import pytest

from tests.conftest import Program, free_port, start_program, wait_for_port
from tests.upstreams.world import (
    CLIENT_ID,
    CLIENT_SECRET,
    REDIRECT_URI,
    Flow,
    form_of,
    redirected,
    sign_in,
    variables,
)
from tests.waiting import IN_ANY_TIME_AND_TIMED


@dataclass
class Running:
    url: str
    port: int
    folder: Path
    program: Program | None = None
    access_token_seconds: int = 600
    code_seconds: int = 60

    def start(self) -> Running:
        settings = {
            "PORT": str(self.port),
            "DATA_DIR": str(self.folder),
            "IDENTITY_URL": self.url,
            "BFF_POST_LOGOUT_REDIRECT_URIS": "http://localhost:8000/, http://localhost:8000/bye",
            "ACCESS_TOKEN_SECONDS": str(self.access_token_seconds),
            "CODE_SECONDS": str(self.code_seconds),
        }
        self.program = start_program(
            [sys.executable, "-m", "upstreams.identity"],
            log=self.folder / "log",
            env=variables(settings),
        )
        wait_for_port(self.port, process=self.program.process)
        return self


def a_running(folder: Path, **settings: int) -> Running:
    port = free_port()
    return Running(f"http://127.0.0.1:{port}", port, folder, **settings).start()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = a_running(tmp_path_factory.mktemp("identity"))
    yield running
    if running.program is not None:
        running.program.kill()


@pytest.fixture
def identity(running: Running) -> str:
    return running.url


@pytest.fixture
def browser() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False, timeout=10) as client:
        yield client


def verified(identity: str, token: str, audience: str) -> dict[str, Any]:
    about = httpx.get(f"{identity}/.well-known/openid-configuration", trust_env=False).json()
    keys = jwt.PyJWKSet.from_dict(httpx.get(about["jwks_uri"], trust_env=False).json())
    key = keys[jwt.get_unverified_header(token)["kid"]]
    claims: dict[str, Any] = jwt.decode(
        token, key.key, algorithms=["ES256"], audience=audience, issuer=about["issuer"]
    )
    return claims


def refresh(browser: httpx.Client, identity: str, token: str) -> httpx.Response:
    return browser.post(
        f"{identity}/token",
        data={"grant_type": "refresh_token", "refresh_token": token},
        auth=(CLIENT_ID, CLIENT_SECRET),
    )


def test_the_code_flow_gives_tokens_that_verify_with_the_published_keys(
    identity: str, browser: httpx.Client
) -> None:
    flow = Flow.start(identity)
    answer = flow.choose(browser, flow.ask(browser).text, "ada")
    back = redirected(answer)
    assert answer.headers["Location"].startswith(REDIRECT_URI + "?")
    assert back["state"] == flow.params["state"]
    assert back["iss"] == identity

    granted = flow.redeem(browser, back["code"])
    assert granted.headers["Cache-Control"] == "no-store"
    tokens = granted.json()
    assert tokens["token_type"] == "Bearer"
    assert tokens["expires_in"] == 600

    assert jwt.get_unverified_header(tokens["access_token"])["typ"] == "at+jwt"
    access = verified(identity, tokens["access_token"], "shop")
    assert access["sub"] == "ada"
    assert access["client_id"] == CLIENT_ID
    assert access["name"] == "Ada Lovelace"
    assert access["exp"] - access["iat"] == 600
    assert access["jti"]
    assert "shop" in access["scope"].split()

    claims = verified(identity, tokens["id_token"], CLIENT_ID)
    assert claims["sub"] == "ada"
    assert claims["nonce"] == flow.params["nonce"]
    assert claims["name"] == "Ada Lovelace"
    assert claims["sid"]
    assert abs(claims["auth_time"] - time.time()) < 30
    half = hashlib.sha256(tokens["access_token"].encode()).digest()[:16]
    assert claims["at_hash"] == base64.urlsafe_b64encode(half).rstrip(b"=").decode()


def test_discovery_names_real_endpoints_and_publishes_only_public_keys(identity: str) -> None:
    about = httpx.get(f"{identity}/.well-known/openid-configuration", trust_env=False).json()
    assert about["issuer"] == identity
    assert about["code_challenge_methods_supported"] == ["S256"]
    assert about["authorization_response_iss_parameter_supported"] is True
    keys = httpx.get(about["jwks_uri"], trust_env=False).json()["keys"]
    assert [(key["kty"], key["crv"], key["alg"], key["use"]) for key in keys] == [
        ("EC", "P-256", "ES256", "sig")
    ]
    assert "d" not in keys[0]


def test_the_page_names_the_three_people_runs_no_script_and_cannot_be_framed(
    identity: str, browser: httpx.Client
) -> None:
    answer = Flow.start(identity).ask(browser)
    for name in ("Ada Lovelace", "Grace Hopper", "Bruno Bad-Card"):
        assert name in answer.text
    assert re.findall(r'name="person" value="(\w+)"', answer.text) == ["ada", "grace", "bruno"]
    assert "<script" not in answer.text
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "form-action 'self' http://localhost:8000" in policy
    assert "HttpOnly" in answer.headers["Set-Cookie"]
    assert browser.get(f"{identity}/page.css").headers["Content-Type"].startswith("text/css")


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_challenge": None, "code_challenge_method": None}, "invalid_request"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"scope": "openid saga"}, "invalid_scope"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"prompt": "none"}, "login_required"),
    ],
)
def test_a_bad_request_of_a_known_client_is_redirected_with_error_state_and_iss(
    identity: str, browser: httpx.Client, changes: dict[str, str | None], error: str
) -> None:
    flow = Flow.start(identity, **changes)
    back = redirected(flow.ask(browser))
    assert back["error"] == error
    assert back["state"] == flow.params["state"]
    assert back["iss"] == identity
    assert "code" not in back


@pytest.mark.parametrize(
    "changes",
    [
        {"redirect_uri": "https://evil.example/callback"},
        {"redirect_uri": REDIRECT_URI + "/../evil"},
        {"redirect_uri": REDIRECT_URI + '?x="'},
        {"redirect_uri": None},
        {"client_id": "nobody"},
        {"client_id": None},
        {"client_id": 'no"body\u00e9'},
        {"client_id": "orders"},
        {"response_type": 'to"ken', "redirect_uri": "https://evil.example/"},
    ],
)
def test_an_unknown_client_or_address_gets_a_page_and_no_redirect(
    identity: str, browser: httpx.Client, changes: dict[str, str | None]
) -> None:
    answer = Flow.start(identity, **changes).ask(browser)
    assert answer.status_code == 400
    assert answer.headers["Content-Type"].startswith("text/html")
    assert "Location" not in answer.headers
    assert "evil" not in answer.text


def test_a_form_from_another_site_is_refused(identity: str, browser: httpx.Client) -> None:
    flow = Flow.start(identity)
    page = flow.ask(browser).text
    assert flow.choose(browser, page, "ada", csrf="1.aa").status_code == 403
    other = Flow.start(identity)
    action, _ = form_of(other.ask(browser).text)
    _, csrf = form_of(page)
    swapped = browser.post(f"{identity}{action}", data={"csrf": csrf, "person": "ada"})
    assert swapped.status_code == 403
    with httpx.Client(trust_env=False) as another_browser:
        assert flow.choose(another_browser, page, "ada").status_code == 403
    assert flow.choose(browser, page, "nobody").status_code == 400
    assert flow.choose(browser, page, "grace").status_code == 302


def test_cancel_redirects_with_access_denied(identity: str, browser: httpx.Client) -> None:
    flow = Flow.start(identity)
    back = redirected(flow.choose(browser, flow.ask(browser).text, ""))
    assert back["error"] == "access_denied"
    assert back["state"] == flow.params["state"]
    assert back["iss"] == identity


def test_a_code_works_once_and_its_replay_revokes_its_tokens(identity: str, browser: httpx.Client) -> None:
    flow = Flow.start(identity)
    code = flow.code(browser, "ada")
    tokens = flow.redeem(browser, code).json()
    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert browser.get(f"{identity}/userinfo", headers=bearer).json() == {
        "sub": "ada",
        "name": "Ada Lovelace",
    }

    again = flow.redeem(browser, code)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
    assert refresh(browser, identity, tokens["refresh_token"]).json()["error"] == "invalid_grant"
    assert browser.get(f"{identity}/userinfo", headers=bearer).status_code == 401


def test_a_code_redeemed_many_times_at_once_gives_tokens_at_most_once(
    identity: str, browser: httpx.Client
) -> None:
    flow = Flow.start(identity)
    code = flow.code(browser, "ada")
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: flow.redeem(browser, code).status_code, range(8)))
    assert sorted(answers) == [200] + [400] * 7


def test_a_code_needs_its_verifier_its_address_and_its_client(identity: str, browser: httpx.Client) -> None:
    flow = Flow.start(identity)
    code = flow.code(browser, "ada")
    assert flow.redeem(browser, code, code_verifier=None).json()["error"] == "invalid_request"
    assert flow.redeem(browser, code, code_verifier="x" * 43).json()["error"] == "invalid_grant"
    assert flow.redeem(browser, code, redirect_uri=REDIRECT_URI + "x").json()["error"] == "invalid_grant"
    form = {"grant_type": "authorization_code", "code": code, "code_verifier": flow.verifier}
    form["redirect_uri"] = REDIRECT_URI
    for auth in (("orders", CLIENT_SECRET), (CLIENT_ID, "wrong"), ("nobody", CLIENT_SECRET)):
        answer = browser.post(f"{identity}/token", data=form, auth=auth)
        assert answer.status_code in (400, 401), auth
        assert "access_token" not in answer.json()
    assert flow.redeem(browser, code).status_code == 200


def test_refresh_tokens_rotate_and_a_reused_one_revokes_all(identity: str, browser: httpx.Client) -> None:
    first = sign_in(identity, "grace")
    answer = refresh(browser, identity, first["refresh_token"])
    second = answer.json()
    assert answer.status_code == 200
    assert second["refresh_token"] != first["refresh_token"]
    assert verified(identity, second["access_token"], "shop")["sub"] == "grace"
    before = verified(identity, first["id_token"], CLIENT_ID)
    after = verified(identity, second["id_token"], CLIENT_ID)
    assert (after["sid"], after["auth_time"]) == (before["sid"], before["auth_time"])

    assert refresh(browser, identity, first["refresh_token"]).json()["error"] == "invalid_grant"
    assert refresh(browser, identity, second["refresh_token"]).json()["error"] == "invalid_grant"


def test_a_service_gets_a_token_of_its_own_with_the_saga_scope_only(
    identity: str, browser: httpx.Client
) -> None:
    form = {"grant_type": "client_credentials", "scope": "saga"}
    tokens = browser.post(f"{identity}/token", data=form, auth=("orders", CLIENT_SECRET)).json()
    claims = verified(identity, tokens["access_token"], "shop")
    assert (claims["sub"], claims["client_id"], claims["scope"]) == ("orders", "orders", "saga")
    assert "refresh_token" not in tokens
    assert "id_token" not in tokens
    for auth, scope in ((("orders", CLIENT_SECRET), "shop"), ((CLIENT_ID, CLIENT_SECRET), "openid")):
        form = {"grant_type": "client_credentials", "scope": scope}
        assert browser.post(f"{identity}/token", data=form, auth=auth).status_code == 400


def test_the_operator_gets_a_token_with_the_operator_scope_only(identity: str, browser: httpx.Client) -> None:
    form = {"grant_type": "client_credentials", "scope": "operator"}
    tokens = browser.post(f"{identity}/token", data=form, auth=("operator", CLIENT_SECRET)).json()
    claims = verified(identity, tokens["access_token"], "shop")
    assert (claims["sub"], claims["client_id"], claims["scope"]) == ("operator", "operator", "operator")
    for client, scope in (("operator", "saga"), ("operator", "shop"), ("orders", "operator")):
        form = {"grant_type": "client_credentials", "scope": scope}
        answer = browser.post(f"{identity}/token", data=form, auth=(client, CLIENT_SECRET))
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_scope")


def test_there_is_no_password_grant(identity: str, browser: httpx.Client) -> None:
    form = {"grant_type": "password", "username": "ada", "password": "x"}
    answer = browser.post(f"{identity}/token", data=form, auth=(CLIENT_ID, CLIENT_SECRET))
    assert answer.json()["error"] == "unsupported_grant_type"


def test_logout_returns_to_a_registered_address_only_and_ends_the_tokens(
    identity: str, browser: httpx.Client
) -> None:
    tokens = sign_in(identity, "ada")
    params = {"id_token_hint": tokens["id_token"], "post_logout_redirect_uri": "http://localhost:8000/bye"}
    answer = browser.get(f"{identity}/logout", params={**params, "state": "s"})
    assert answer.headers["Location"] == "http://localhost:8000/bye?state=s"
    assert refresh(browser, identity, tokens["refresh_token"]).json()["error"] == "invalid_grant"

    named = {"client_id": CLIENT_ID, "post_logout_redirect_uri": "http://localhost:8000/"}
    assert browser.post(f"{identity}/logout", data=named).headers["Location"] == "http://localhost:8000/"

    params["post_logout_redirect_uri"] = "https://evil.example/"
    answer = browser.get(f"{identity}/logout", params=params)
    assert (answer.status_code, "signed out" in answer.text) == (200, True)
    answer = browser.get(f"{identity}/logout", params={"id_token_hint": "forged.to.ken", **named})
    assert answer.status_code == 400
    assert "Location" not in answer.headers


def test_unknown_addresses_and_large_bodies_are_problems(identity: str, browser: httpx.Client) -> None:
    for answer, status in (
        (browser.get(f"{identity}/nowhere"), 404),
        (browser.get(f"{identity}/token"), 405),
        (browser.post(f"{identity}/token", json={}), 415),
        (browser.post(f"{identity}/token", data={"x": "y" * 20_000}), 413),
    ):
        assert answer.status_code == status
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert {"type", "title", "status", "detail", "code"} <= answer.json().keys()
        assert answer.headers["X-Correlation-ID"] in answer.json()["instance"]
    twice = "grant_type=client_credentials&grant_type=client_credentials"
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert browser.post(f"{identity}/token", content=twice, headers=form).json()["error"] == "invalid_request"
    broken = {"Authorization": "Basic %%%\u00ff".encode("latin-1"), **form}
    answer = browser.post(f"{identity}/token", content="grant_type=client_credentials", headers=broken)
    assert answer.status_code in (400, 401)


def test_the_key_and_open_sign_ins_survive_a_kill(tmp_path: Path, browser: httpx.Client) -> None:
    running = a_running(tmp_path)
    assert running.program is not None
    flow = Flow.start(running.url)
    tokens = sign_in(running.url, "ada")
    page = flow.ask(browser).text
    running.program.kill()
    running.start()
    try:
        assert verified(running.url, tokens["access_token"], "shop")["sub"] == "ada"
        assert refresh(browser, running.url, tokens["refresh_token"]).status_code == 200
        assert flow.choose(browser, page, "ada").status_code == 302
    finally:
        running.program.kill()


@IN_ANY_TIME_AND_TIMED
def test_a_code_expires_and_sigterm_ends_the_process_at_once(
    tmp_path: Path, browser: httpx.Client, timed: bool
) -> None:
    running = a_running(tmp_path, code_seconds=1)
    assert running.program is not None
    flow = Flow.start(running.url)
    code = flow.code(browser, "ada")
    end = time.monotonic() + 2.2
    while time.monotonic() < end:
        time.sleep(0.1)
    assert flow.redeem(browser, code).json()["error"] == "invalid_grant"
    # The browser's connection is still open; the process must not wait until it is closed.
    began = time.monotonic()
    running.program.stop()
    assert time.monotonic() - began < 2 or not timed
    assert urlsplit(running.url).port == running.port
