"""The development sign-in in its own process, used as browsers, gateways and services use it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import pytest

from bff.cli.dev.sign_in.faults import FAULTS
from bff.cli.dev.sign_in.people import DEFAULT, read_people
from tests.conftest import ROOT, Program, free_port, wait_for_port
from tests.sign_in_flow import (
    CLIENT_ID,
    CLIENT_SECRET,
    PUBLIC_URL,
    REDIRECT_URI,
    Flow,
    form_of,
    redirected,
    sign_in,
    start_sign_in,
)
from tests.waiting import IN_ANY_TIME_AND_TIMED, eventually

PEOPLE = """
scopes = ["openid", "profile", "shop", "pay"]

[[people]]
sub = "ada"
name = "Ada Lovelace"
note = "Has everything."
roles = ["customer", "tester"]
claims = { email = "ada@example.org", address = { country = "GB" } }

[[people]]
sub = "grace"
name = "Grace Hopper"
scopes = ["shop"]

[[clients]]
id = "orders"
scopes = ["saga"]
secret_env = "ORDERS_SECRET"

[[clients]]
id = "operator"
scopes = ["operator", "read"]
secret_env = "ORDERS_SECRET"
"""


@dataclass
class Running:
    url: str
    port: int
    folder: Path
    options: dict[str, str]
    program: Program | None = None

    def start(self) -> Running:
        self.program = start_sign_in(
            self.port,
            self.folder,
            log=self.folder / "log",
            people=self.folder / "people.toml",
            env={"ORDERS_SECRET": CLIENT_SECRET},
            **{"audience": "shop", "access_seconds": "600", **self.options},
        )
        wait_for_port(self.port, process=self.program.process)
        return self


def a_running(folder: Path, people: str = PEOPLE, **options: str) -> Running:
    port = free_port()
    (folder / "people.toml").write_text(people)
    return Running(f"http://127.0.0.1:{port}", port, folder, options).start()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = a_running(tmp_path_factory.mktemp("sign-in"))
    yield running
    if running.program is not None:
        running.program.kill()


@pytest.fixture
def provider(running: Running) -> Iterator[str]:
    yield running.url
    httpx.delete(f"{running.url}/faults", trust_env=False)


@pytest.fixture
def browser() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False, timeout=60) as client:
        yield client


def verified(provider: str, token: str, audience: str) -> dict[str, Any]:
    about = httpx.get(f"{provider}/.well-known/openid-configuration", trust_env=False).json()
    keys = jwt.PyJWKSet.from_dict(httpx.get(about["jwks_uri"], trust_env=False).json())
    key = keys[jwt.get_unverified_header(token)["kid"]]
    claims: dict[str, Any] = jwt.decode(
        token, key.key, algorithms=["ES256"], audience=audience, issuer=about["issuer"]
    )
    return claims


def refresh(browser: httpx.Client, provider: str, token: str) -> httpx.Response:
    return browser.post(
        f"{provider}/token",
        data={"grant_type": "refresh_token", "refresh_token": token},
        auth=(CLIENT_ID, CLIENT_SECRET),
    )


def test_the_code_flow_gives_tokens_that_verify_with_the_published_keys(
    provider: str, browser: httpx.Client
) -> None:
    flow = Flow.start(provider)
    answer = flow.choose(browser, flow.ask(browser).text, "ada")
    back = redirected(answer)
    assert answer.headers["Location"].startswith(REDIRECT_URI + "?")
    assert back["state"] == flow.params["state"]
    assert back["iss"] == provider

    granted = flow.redeem(browser, back["code"])
    assert granted.headers["Cache-Control"] == "no-store"
    tokens = granted.json()
    assert tokens["token_type"] == "Bearer"
    assert tokens["expires_in"] == 600

    assert jwt.get_unverified_header(tokens["access_token"])["typ"] == "at+jwt"
    access = verified(provider, tokens["access_token"], "shop")
    assert access["sub"] == "ada"
    assert access["client_id"] == CLIENT_ID
    assert access["name"] == "Ada Lovelace"
    assert access["exp"] - access["iat"] == 600
    assert access["jti"]
    assert "shop" in access["scope"].split()

    claims = verified(provider, tokens["id_token"], CLIENT_ID)
    assert claims["sub"] == "ada"
    assert claims["nonce"] == flow.params["nonce"]
    assert claims["name"] == "Ada Lovelace"
    assert claims["sid"]
    assert abs(claims["auth_time"] - time.time()) < 30
    half = hashlib.sha256(tokens["access_token"].encode()).digest()[:16]
    assert claims["at_hash"] == base64.urlsafe_b64encode(half).rstrip(b"=").decode()


def test_discovery_names_real_endpoints_and_publishes_only_public_keys(provider: str) -> None:
    about = httpx.get(f"{provider}/.well-known/openid-configuration", trust_env=False).json()
    assert about["issuer"] == provider
    assert about["code_challenge_methods_supported"] == ["S256"]
    assert about["authorization_response_iss_parameter_supported"] is True
    keys = httpx.get(about["jwks_uri"], trust_env=False).json()["keys"]
    assert [(key["kty"], key["crv"], key["alg"], key["use"]) for key in keys] == [
        ("EC", "P-256", "ES256", "sig")
    ]
    assert "d" not in keys[0]


def test_the_page_names_the_people_runs_no_script_and_cannot_be_framed(
    provider: str, browser: httpx.Client
) -> None:
    answer = Flow.start(provider).ask(browser)
    for name in ("Ada Lovelace", "Grace Hopper"):
        assert name in answer.text
    assert re.findall(r'name="person" value="(\w+)"', answer.text) == ["ada", "grace"]
    assert "<script" not in answer.text
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "form-action 'self' http://localhost:8000" in policy
    assert "HttpOnly" in answer.headers["Set-Cookie"]
    assert browser.get(f"{provider}/pages.css").headers["Content-Type"].startswith("text/css")


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
    provider: str, browser: httpx.Client, changes: dict[str, str | None], error: str
) -> None:
    flow = Flow.start(provider, **changes)
    back = redirected(flow.ask(browser))
    assert back["error"] == error
    assert back["state"] == flow.params["state"]
    assert back["iss"] == provider
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
    provider: str, browser: httpx.Client, changes: dict[str, str | None]
) -> None:
    answer = Flow.start(provider, **changes).ask(browser)
    assert answer.status_code == 400
    assert answer.headers["Content-Type"].startswith("text/html")
    assert "Location" not in answer.headers
    assert "evil" not in answer.text


def test_a_form_from_another_site_is_refused(provider: str, browser: httpx.Client) -> None:
    flow = Flow.start(provider)
    page = flow.ask(browser).text
    assert flow.choose(browser, page, "ada", csrf="1.aa").status_code == 403
    other = Flow.start(provider)
    action, _ = form_of(other.ask(browser).text)
    _, csrf = form_of(page)
    swapped = browser.post(f"{provider}{action}", data={"csrf": csrf, "person": "ada"})
    assert swapped.status_code == 403
    with httpx.Client(trust_env=False) as another_browser:
        assert flow.choose(another_browser, page, "ada").status_code == 403
    assert flow.choose(browser, page, "nobody").status_code == 400
    assert flow.choose(browser, page, "grace").status_code == 302


def test_cancel_redirects_with_access_denied(provider: str, browser: httpx.Client) -> None:
    flow = Flow.start(provider)
    back = redirected(flow.choose(browser, flow.ask(browser).text, ""))
    assert back["error"] == "access_denied"
    assert back["state"] == flow.params["state"]
    assert back["iss"] == provider


def test_a_code_works_once_and_its_replay_revokes_its_tokens(provider: str, browser: httpx.Client) -> None:
    flow = Flow.start(provider)
    code = flow.code(browser, "ada")
    tokens = flow.redeem(browser, code).json()
    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert browser.get(f"{provider}/userinfo", headers=bearer).json() == {
        "sub": "ada",
        "name": "Ada Lovelace",
        "roles": ["customer", "tester"],
        "email": "ada@example.org",
        "address": {"country": "GB"},
    }

    again = flow.redeem(browser, code)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
    assert refresh(browser, provider, tokens["refresh_token"]).json()["error"] == "invalid_grant"
    assert browser.get(f"{provider}/userinfo", headers=bearer).status_code == 401


def test_a_code_redeemed_many_times_at_once_gives_tokens_at_most_once(
    provider: str, browser: httpx.Client
) -> None:
    flow = Flow.start(provider)
    code = flow.code(browser, "ada")
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: flow.redeem(browser, code).status_code, range(8)))
    assert sorted(answers) == [200] + [400] * 7


def test_a_code_needs_its_verifier_its_address_and_its_client(provider: str, browser: httpx.Client) -> None:
    flow = Flow.start(provider)
    code = flow.code(browser, "ada")
    assert flow.redeem(browser, code, code_verifier=None).json()["error"] == "invalid_request"
    assert flow.redeem(browser, code, code_verifier="x" * 43).json()["error"] == "invalid_grant"
    assert flow.redeem(browser, code, redirect_uri=REDIRECT_URI + "x").json()["error"] == "invalid_grant"
    form = {"grant_type": "authorization_code", "code": code, "code_verifier": flow.verifier}
    form["redirect_uri"] = REDIRECT_URI
    for auth in (("orders", CLIENT_SECRET), (CLIENT_ID, "wrong"), ("nobody", CLIENT_SECRET)):
        answer = browser.post(f"{provider}/token", data=form, auth=auth)
        assert answer.status_code in (400, 401), auth
        assert "access_token" not in answer.json()
    assert flow.redeem(browser, code).status_code == 200


def test_refresh_tokens_rotate_and_a_reused_one_revokes_all(provider: str, browser: httpx.Client) -> None:
    first = sign_in(provider, "grace")
    answer = refresh(browser, provider, first["refresh_token"])
    second = answer.json()
    assert answer.status_code == 200
    assert second["refresh_token"] != first["refresh_token"]
    assert verified(provider, second["access_token"], "shop")["sub"] == "grace"
    before = verified(provider, first["id_token"], CLIENT_ID)
    after = verified(provider, second["id_token"], CLIENT_ID)
    assert (after["sid"], after["auth_time"]) == (before["sid"], before["auth_time"])

    assert refresh(browser, provider, first["refresh_token"]).json()["error"] == "invalid_grant"
    assert refresh(browser, provider, second["refresh_token"]).json()["error"] == "invalid_grant"


def test_a_service_gets_a_token_of_its_own_with_the_saga_scope_only(
    provider: str, browser: httpx.Client
) -> None:
    form = {"grant_type": "client_credentials", "scope": "saga"}
    tokens = browser.post(f"{provider}/token", data=form, auth=("orders", CLIENT_SECRET)).json()
    claims = verified(provider, tokens["access_token"], "shop")
    assert (claims["sub"], claims["client_id"], claims["scope"]) == ("orders", "orders", "saga")
    assert "refresh_token" not in tokens
    assert "id_token" not in tokens
    for auth, scope in ((("orders", CLIENT_SECRET), "shop"), ((CLIENT_ID, CLIENT_SECRET), "openid")):
        form = {"grant_type": "client_credentials", "scope": scope}
        assert browser.post(f"{provider}/token", data=form, auth=auth).status_code == 400


def test_the_operator_gets_a_token_with_the_operator_scope_only(provider: str, browser: httpx.Client) -> None:
    form = {"grant_type": "client_credentials", "scope": "operator"}
    tokens = browser.post(f"{provider}/token", data=form, auth=("operator", CLIENT_SECRET)).json()
    claims = verified(provider, tokens["access_token"], "shop")
    assert (claims["sub"], claims["client_id"], claims["scope"]) == ("operator", "operator", "operator")
    for client, scope in (("operator", "saga"), ("operator", "shop"), ("orders", "operator")):
        form = {"grant_type": "client_credentials", "scope": scope}
        answer = browser.post(f"{provider}/token", data=form, auth=(client, CLIENT_SECRET))
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_scope")


def test_there_is_no_password_grant(provider: str, browser: httpx.Client) -> None:
    form = {"grant_type": "password", "username": "ada", "password": "x"}
    answer = browser.post(f"{provider}/token", data=form, auth=(CLIENT_ID, CLIENT_SECRET))
    assert answer.json()["error"] == "unsupported_grant_type"


def test_logout_returns_to_a_registered_address_only_and_ends_the_tokens(
    provider: str, browser: httpx.Client
) -> None:
    tokens = sign_in(provider, "ada")
    params = {"id_token_hint": tokens["id_token"], "post_logout_redirect_uri": f"{PUBLIC_URL}/"}
    answer = browser.get(f"{provider}/logout", params={**params, "state": "s"})
    assert answer.headers["Location"] == f"{PUBLIC_URL}/?state=s"
    assert refresh(browser, provider, tokens["refresh_token"]).json()["error"] == "invalid_grant"

    named = {"client_id": CLIENT_ID, "post_logout_redirect_uri": "http://localhost:8000/"}
    assert browser.post(f"{provider}/logout", data=named).headers["Location"] == "http://localhost:8000/"

    params["post_logout_redirect_uri"] = "https://evil.example/"
    answer = browser.get(f"{provider}/logout", params=params)
    assert (answer.status_code, "signed out" in answer.text) == (200, True)
    answer = browser.get(f"{provider}/logout", params={"id_token_hint": "forged.to.ken", **named})
    assert answer.status_code == 400
    assert "Location" not in answer.headers


def test_unknown_addresses_and_large_bodies_are_refused(provider: str, browser: httpx.Client) -> None:
    for answer, status in (
        (browser.get(f"{provider}/nowhere"), 404),
        (browser.get(f"{provider}/token"), 405),
        (browser.post(f"{provider}/token", json={}), 415),
        (browser.post(f"{provider}/token", data={"x": "y" * 20_000}), 413),
        (Flow.start(provider, extra="x" * 5_000).ask(browser), 400),
    ):
        assert answer.status_code == status
    twice = "grant_type=client_credentials&grant_type=client_credentials"
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert browser.post(f"{provider}/token", content=twice, headers=form).json()["error"] == "invalid_request"
    broken = {"Authorization": "Basic %%%\u00ff".encode("latin-1"), **form}
    answer = browser.post(f"{provider}/token", content="grant_type=client_credentials", headers=broken)
    assert answer.status_code == 401


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
    running = a_running(tmp_path, code_seconds="1")
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


# ---- what it has beyond the code flow --------------------------------------------------------------------------------


def posted(
    browser: httpx.Client, url: str, auth: tuple[str, str] = (CLIENT_ID, CLIENT_SECRET), **form: str
) -> Any:
    answer = browser.post(url, data=form, auth=auth)
    assert answer.status_code in (200, 201), answer.text
    return answer.json() if answer.content else None


def test_a_person_is_granted_only_scopes_that_they_have_and_tokens_have_their_roles_and_claims(
    provider: str, browser: httpx.Client
) -> None:
    def granted(person: str) -> dict[str, Any]:
        flow = Flow.start(provider, scope="openid shop pay")
        tokens: dict[str, Any] = flow.redeem(browser, flow.code(browser, person)).json()
        return tokens

    ada, grace = granted("ada"), granted("grace")
    assert (ada["scope"], grace["scope"]) == ("openid shop pay", "openid shop")
    access, about = (
        verified(provider, ada["access_token"], "shop"),
        verified(provider, ada["id_token"], CLIENT_ID),
    )
    assert access["roles"] == about["roles"] == ["customer", "tester"]
    assert about["address"] == {"country": "GB"}
    assert verified(provider, grace["access_token"], "shop")["scope"] == "openid shop"
    assert "roles" not in verified(provider, grace["access_token"], "shop")


def test_a_pushed_request_is_used_once_and_its_parameters_are_not_in_the_address(
    provider: str, browser: httpx.Client
) -> None:
    flow = Flow.start(provider)
    pushed = posted(browser, f"{provider}/par", **flow.params)
    asked = Flow(provider, flow.verifier, {"client_id": CLIENT_ID, "request_uri": pushed["request_uri"]})
    page = asked.ask(browser).text
    back = redirected(asked.choose(browser, page, "ada"))
    assert back["state"] == flow.params["state"]
    assert flow.redeem(browser, back["code"]).status_code == 200
    assert asked.choose(browser, page, "ada").status_code == 400
    assert asked.ask(browser).status_code == 400
    for changes in ({"redirect_uri": "https://evil.example/"}, {"code_challenge": ""}, {"request_uri": "x"}):
        answer = browser.post(f"{provider}/par", data=flow.params | changes, auth=(CLIENT_ID, CLIENT_SECRET))
        assert answer.status_code == 400, changes
    assert browser.post(f"{provider}/par", data=flow.params).status_code == 401


def test_introspection_tells_live_tokens_from_ended_ones_and_revocation_ends_them(
    provider: str, browser: httpx.Client
) -> None:
    tokens = sign_in(provider, "ada")

    def says(token: str) -> Any:
        return posted(browser, f"{provider}/introspect", token=token)

    live = says(tokens["access_token"])
    assert (live["active"], live["sub"], live["aud"]) == (True, "ada", "shop")
    assert says(tokens["refresh_token"])["active"] is True
    for other in ("", "x", "a.1.b", tokens["id_token"], tokens["refresh_token"] + "x"):
        assert says(other) == {"active": False}
    assert browser.post(f"{provider}/introspect", data={"token": tokens["access_token"]}).status_code == 401

    # Another client's request revokes nothing.
    posted(browser, f"{provider}/revoke", ("orders", CLIENT_SECRET), token=tokens["refresh_token"])
    assert says(tokens["access_token"])["active"] is True
    posted(browser, f"{provider}/revoke", token="unknown")
    posted(browser, f"{provider}/revoke", token=tokens["refresh_token"])
    assert says(tokens["access_token"]) == says(tokens["refresh_token"]) == {"active": False}
    assert refresh(browser, provider, tokens["refresh_token"]).json()["error"] == "invalid_grant"


def test_a_refresh_token_redeemed_many_times_at_once_works_at_most_once(
    provider: str, browser: httpx.Client
) -> None:
    token = sign_in(provider, "ada")["refresh_token"]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: refresh(browser, provider, token).status_code, range(8)))
    assert sorted(answers) == [200] + [400] * 7


def test_acr_and_login_hint_are_honoured(provider: str, browser: httpx.Client) -> None:
    flow = Flow.start(provider, acr_values="mfa pwd", login_hint="grace", max_age="0")
    page = flow.ask(browser).text
    assert re.findall(r'value="(\w+)"[^>]* autofocus', page) == ["grace"]
    tokens = flow.redeem(browser, redirected(flow.choose(browser, page, "grace"))["code"]).json()
    assert verified(provider, tokens["id_token"], CLIENT_ID)["acr"] == "mfa"


@pytest.fixture
def told() -> Iterator[tuple[str, list[str]]]:
    """The address of a gateway's back-channel logout, and the logout tokens that it got."""
    got: list[str] = []

    class Takes(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            got.append(parse_qs(body)["logout_token"][0])
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Takes)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/bff/backchannel-logout", got
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_logout_here_and_a_click_on_the_page_tell_the_gateway(
    tmp_path: Path, browser: httpx.Client, told: tuple[str, list[str]]
) -> None:
    url, got = told
    running = a_running(tmp_path, logout_url=url)
    assert running.program is not None
    try:
        first, second = sign_in(running.url, "ada"), sign_in(running.url, "grace")
        browser.get(f"{running.url}/logout", params={"id_token_hint": first["id_token"]})
        eventually(lambda: len(got) == 1)
        page = browser.get(f"{running.url}/").text
        assert "Grace Hopper out" in page and "Ada Lovelace out" not in page
        sid = re.findall(r'name="sid" value="([^"]+)"', page)[0]
        _, csrf = form_of(page)
        with httpx.Client(trust_env=False) as stranger:
            assert stranger.post(f"{running.url}/end", data={"csrf": csrf, "sid": sid}).status_code == 403
        assert browser.post(f"{running.url}/end", data={"csrf": csrf, "sid": sid}).status_code == 303
        eventually(lambda: len(got) == 2)
        for token, tokens, sub in zip(got, (first, second), ("ada", "grace"), strict=True):
            assert jwt.get_unverified_header(token)["typ"] == "logout+jwt"
            claims = verified(running.url, token, CLIENT_ID)
            assert claims["sub"] == sub and "nonce" not in claims
            assert claims["sid"] == verified(running.url, tokens["id_token"], CLIENT_ID)["sid"]
            assert claims["events"] == {"http://schemas.openid.net/event/backchannel-logout": {}}
        assert refresh(browser, running.url, second["refresh_token"]).json()["error"] == "invalid_grant"
    finally:
        running.program.kill()


def test_people_are_read_again_when_the_file_changes_and_a_mistake_changes_nothing(
    tmp_path: Path, browser: httpx.Client
) -> None:
    running = a_running(tmp_path)
    assert running.program is not None

    def names() -> list[str]:
        return re.findall(r'name="person" value="(\w+)"', Flow.start(running.url).ask(browser).text)

    try:
        file = tmp_path / "people.toml"
        file.write_text(PEOPLE.replace('"grace"', '"linus"'))
        assert names() == ["ada", "linus"]
        file.write_text("people = 7")
        assert names() == ["ada", "linus"]
        assert "people.toml: people: " in (tmp_path / "log").read_text()
    finally:
        running.program.kill()


# ---- faults ----------------------------------------------------------------------------------------------------------


def plan(browser: httpx.Client, provider: str, *faults: str, **more: Any) -> None:
    browser.put(f"{provider}/faults", json={"faults": faults, **more}).raise_for_status()


def test_faults_of_answers_strike_programs_as_often_as_planned_and_never_pages(
    provider: str, browser: httpx.Client
) -> None:
    plan(browser, provider, "error", times=2)
    assert [browser.get(f"{provider}/jwks.json").status_code for _ in range(3)] == [500, 500, 200]
    plan(browser, provider, "error")
    assert Flow.start(provider).ask(browser).status_code == 200
    assert browser.get(f"{provider}/readyz").status_code == 200
    assert browser.post(f"{provider}/token").status_code == 500
    plan(browser, provider, "slow", seconds=0.2)
    assert browser.get(f"{provider}/jwks.json").elapsed.total_seconds() >= 0.2
    assert browser.delete(f"{provider}/faults").json()["faults"] == []
    assert browser.get(f"{provider}/jwks.json").status_code == 200


def test_a_stalled_request_goes_on_when_the_fault_ends(provider: str, browser: httpx.Client) -> None:
    plan(browser, provider, "stalled")
    answers: list[httpx.Response] = []
    asking = threading.Thread(
        target=lambda: answers.append(httpx.get(f"{provider}/jwks.json", trust_env=False, timeout=60))
    )
    asking.start()
    eventually(lambda: browser.get(f"{provider}/faults").json()["held"] == 1)
    assert answers == []
    browser.delete(f"{provider}/faults")
    asking.join(60)
    assert [answer.status_code for answer in answers] == [200]


@pytest.mark.parametrize(
    ("fault", "check"),
    [
        ("expired", lambda provider, token: jwt.decode(token, options=UNVERIFIED)["exp"] < time.time()),
        ("wrong-key", lambda provider, token: not _verifies(provider, token)),
        ("huge-groups", lambda provider, token: 40_000 < len(token) < 64_000 and _verifies(provider, token)),
    ],
)
def test_faults_of_tokens_change_what_is_issued(
    provider: str, browser: httpx.Client, fault: str, check: Callable[[str, str], bool]
) -> None:
    plan(browser, provider, fault)
    struck = sign_in(provider, "ada")
    browser.delete(f"{provider}/faults")
    good = sign_in(provider, "ada")
    for kind in ("access_token", "id_token"):
        assert check(provider, struck[kind])
        assert not check(provider, good[kind])


UNVERIFIED = {"verify_signature": False}


def _verifies(provider: str, token: str) -> bool:
    keys = jwt.PyJWKSet.from_dict(httpx.get(f"{provider}/jwks.json", trust_env=False).json())
    key = keys[jwt.get_unverified_header(token)["kid"]].key
    try:
        jwt.decode(token, key, algorithms=["ES256"], options={"verify_aud": False})
    except jwt.InvalidSignatureError:
        return False
    return True


def test_revoked_refuses_refreshes_and_reports_tokens_as_revoked_until_it_is_switched_off(
    provider: str, browser: httpx.Client
) -> None:
    tokens = sign_in(provider, "ada")
    plan(browser, provider, "revoked")
    assert refresh(browser, provider, tokens["refresh_token"]).json()["error"] == "invalid_grant"
    assert posted(browser, f"{provider}/introspect", token=tokens["access_token"]) == {"active": False}
    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert browser.get(f"{provider}/userinfo", headers=bearer).status_code == 401
    browser.delete(f"{provider}/faults")
    assert refresh(browser, provider, tokens["refresh_token"]).status_code == 200


def test_the_page_switches_a_fault_on_and_off_and_warns_who_signs_in(
    provider: str, browser: httpx.Client
) -> None:
    def pressed() -> list[str]:
        page = browser.get(f"{provider}/").text
        return re.findall(r'value="([\w-]+)" role="switch" aria-checked="true"', page)

    def press(fault: str) -> None:
        csrf = re.findall(r'name="csrf" value="([^"]+)"', browser.get(f"{provider}/").text)[0]
        answer = browser.post(f"{provider}/switch", data={"csrf": csrf, "fault": fault})
        assert answer.status_code == 303

    assert pressed() == []
    press("slow")
    press("expired")
    assert pressed() == ["expired", "slow"]
    warning = re.search(r'role="status">(.*?)</p>', Flow.start(provider).ask(browser).text)
    assert warning is not None and "expired" in warning[1] and "slow" in warning[1]
    press("slow")
    assert pressed() == ["expired"]


def test_a_plan_of_another_site_or_with_unknown_faults_is_refused(
    provider: str, browser: httpx.Client
) -> None:
    url = f"{provider}/faults"
    good = json.dumps({"faults": ["error"]})
    for headers, body, status in (
        ({"content-type": "application/json", "sec-fetch-site": "cross-site"}, good, 403),
        ({"content-type": "application/json", "sec-fetch-site": "same-site"}, good, 403),
        ({"content-type": "text/plain"}, good, 415),
        ({"content-type": "application/json"}, '{"faults": ["erorr"]}', 422),
        ({"content-type": "application/json"}, "{", 422),
    ):
        assert browser.put(url, content=body, headers=headers).status_code == status
    assert browser.delete(url, headers={"sec-fetch-site": "cross-site"}).status_code == 403
    assert browser.get(url).json()["faults"] == []
    assert "there is no fault 'erorr'" in browser.put(url, json={"faults": ["erorr"]}).json()["error"]


# ---- only this machine -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1", "127.0.0.1:1"])
def test_a_loopback_host_is_answered_on_any_port(provider: str, browser: httpx.Client, host: str) -> None:
    assert browser.get(f"{provider}/jwks.json", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "evil.localhost",
        "127.0.0.2",
        "[::1]",
        "localhost:x",
        "",
        "0",
    ],
)
@pytest.mark.parametrize("path", ["/", "/jwks.json", "/faults", "/readyz", "/nowhere"])
def test_any_other_host_is_answered_421(provider: str, browser: httpx.Client, host: str, path: str) -> None:
    answer = browser.get(f"{provider}{path}", headers={"host": host})
    assert (answer.status_code, len(answer.content) < 100) == (421, True)


def test_it_listens_on_loopback_only(running: Running) -> None:
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.2:{running.port}/readyz", trust_env=False)


@pytest.mark.parametrize(
    ("options", "people", "told_why"),
    [
        ({"public_url": "https://shop.example.org"}, PEOPLE, "public URL is https://shop.example.org"),
        ({"public_url": "http://localhost.example.org"}, PEOPLE, "serves this machine only"),
        ({"public_url": "http://user@localhost:8000"}, PEOPLE, "serves this machine only"),
        ({"public_url": "http://10.0.0.1:8000"}, PEOPLE, "serves this machine only"),
        ({"issuer": "https://login.example.org"}, PEOPLE, "issuer is https://login.example.org"),
        ({"public_url": "http://localhost:8000/"}, PEOPLE, "without a slash at the end"),
        ({}, "people = []", "people.toml: people: "),
        ({}, "[[people]]\nsub = 'a'", "people.toml: people.0.name: Field required"),
        ({}, "[[people]]\nsub = 'a'\nname = 'A'\nrole = 'x'", "people.toml: people.0.role: Extra inputs"),
        ({}, "[[people]]\nsub = 'a'\nname = 'A'\nclaims = {iss = 'x'}", "iss is set by the provider"),
        ({}, PEOPLE.replace('"grace"', '"ada"'), "people: 'ada' is there twice"),
        ({}, PEOPLE.replace("ORDERS_SECRET", "NOT_SET"), "client orders: the variable NOT_SET is not set"),
        ({}, "[[people", "people.toml cannot be read"),
    ],
)
def test_what_is_not_on_this_machine_or_cannot_be_read_is_refused_at_the_start(
    tmp_path: Path, options: dict[str, str], people: str, told_why: str
) -> None:
    (tmp_path / "people.toml").write_text(people)
    program = start_sign_in(
        free_port(),
        tmp_path,
        log=tmp_path / "log",
        people=tmp_path / "people.toml",
        env={"ORDERS_SECRET": CLIENT_SECRET},
        **options,
    )
    assert program.process.wait(60) == 1
    text = (tmp_path / "log").read_text()
    assert told_why in text and "Traceback" not in text


def test_without_a_secret_it_does_not_start(tmp_path: Path) -> None:
    program = start_sign_in(
        free_port(), tmp_path, log=tmp_path / "log", env={"SIGN_IN_CLIENT_SECRET": "short"}
    )
    assert program.process.wait(60) == 1
    assert "SIGN_IN_CLIENT_SECRET must have" in (tmp_path / "log").read_text()


def test_the_state_can_be_read_by_its_owner_alone_and_holds_no_code(
    running: Running, browser: httpx.Client
) -> None:
    file = running.folder / "sign-in.db"
    assert file.stat().st_mode & 0o077 == 0
    code = Flow.start(running.url).code(browser, "ada")
    files = list(running.folder.glob("sign-in.db*"))
    assert not [one for one in files if code.encode() in one.read_bytes()]
    assert all(one.stat().st_mode & 0o077 == 0 for one in files)


# ---- its page in the documentation -----------------------------------------------------------------------------------

GUIDE = (ROOT / "docs" / "how-to" / "development-sign-in.md").read_text(encoding="utf-8")


def test_the_guides_people_can_be_used_and_its_table_lists_every_fault(tmp_path: Path) -> None:
    [example] = re.findall(r"```toml\n(.*?)```", GUIDE, re.S)
    (tmp_path / "people.toml").write_text(example)
    people = read_people(tmp_path / "people.toml", {"REPORTS_SECRET": "set"})
    assert [one.sub for one in people.people] == ["kim", "sam"]
    assert re.findall(r"^\| `([\w-]+)` \|", GUIDE, re.M) == list(FAULTS)
    for person in DEFAULT.people:
        assert person.name in GUIDE
