"""A failure that a person, not a program, gets: the answer is an HTML page.

Input: navigations that accept HTML to an unknown address, to a private view without a session, to a stale or cancelled
sign-in, while the gateway is overloaded or Redis is away; hostile texts in every place that could reach the page.
Right: the same status as a program gets, `no-store`, `Vary: Accept, Sec-Fetch-Mode`, nothing unescaped, links only to
paths of this site. A cross-site navigation without the Strict cookie is first sent to the same address once more.
Source: Fetch Metadata (sections 2.3, 2.4), RFC 6265bis section 5.2 (SameSite and cross-site navigations), RFC 9110
sections 12.5.1 and 12.5.5.
"""

from __future__ import annotations

import html
import re
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from bff import DeclarationError, Gateway, Problem, ProblemPage
from bff.edge.access.login_state import LoginState, LoginStates, cookie_name
from bff.edge.access.session import COOKIE
from bff.edge.page import content_policy, permissions_policy

from .kit import client

ISSUER = "http://127.0.0.1:1"
OIDC = {"issuer": ISSUER, "client_id": "bff", "client_secret": "hush-hush-hush"}
PERSON = {
    "accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "sec-fetch-mode": "navigate",
    "sec-fetch-dest": "document",
    "sec-fetch-site": "none",
}
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"


class Thing(BaseModel):
    name: str


def declared(**more: Any) -> Gateway:
    gateway = Gateway("people", **more)

    @gateway.view("/orders")
    async def orders() -> Thing:
        return Thing(name="orders")

    @gateway.view("/broken", public=True)
    async def broken() -> Thing:
        raise RuntimeError(HOSTILE)

    @gateway.view("/no", public=True)
    async def no() -> Thing:
        raise Problem(403, HOSTILE, HOSTILE, title=HOSTILE)

    return gateway


def page_of(answer: httpx.Response, status: int, *texts: str) -> str:
    assert answer.status_code == status
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    assert "Accept, Sec-Fetch-Mode" in answer.headers["vary"]
    assert "script" not in answer.headers["content-security-policy"]
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "x-correlation-id" in answer.headers
    for text in texts:
        assert text in answer.text
    assert "<script" not in answer.text and "<img" not in answer.text
    return answer.text


def links(page: str) -> list[str]:
    found = [html.unescape(one) for one in re.findall(r'href="([^"]*)"', page)]
    assert all(one.startswith("/") and not one.startswith("//") for one in found), found
    return found


async def test_a_failed_navigation_gets_a_page_with_the_status_of_the_problem(redis_url: str) -> None:
    async with client(declared(), redis_url, oidc=OIDC) as http:
        nothing = page_of(await http.get("/nothing", headers=PERSON), 404, "Page not found")
        assert links(nothing) == ["/"]
        private = await http.get("/orders?tab=%3Cb%3E&a='", headers=PERSON)
        text = page_of(private, 401, "Please sign in")
        assert links(text) == ["/bff/login?return=/orders%3Ftab%3D%253Cb%253E%26a%3D%27", "/"]
        page_of(await http.get("/broken", headers=PERSON), 500, "Something went wrong", "Reference ")
        assert "alert" not in (await http.get("/broken", headers=PERSON)).text
        own = await http.get("/no", headers=PERSON)
        assert own.status_code == 403
        page_of(await http.get("/bff/login?return=//evil.test", headers=PERSON), 400)
        stale = await http.get("/bff/callback?code=a&state=b", headers=PERSON)
        assert links(page_of(stale, 400, "Sign-in failed")) == ["/bff/login?return=/", "/"]
        page_of(await http.get("/..%2f..//evil.test", headers=PERSON), 404)
        head = await http.head("/nothing", headers=PERSON)
        assert (head.status_code, head.text, head.headers["content-type"]) == (
            404,
            "",
            "text/html; charset=utf-8",
        )
        assert (await http.post("/orders", headers=PERSON)).headers["content-type"].startswith("text/html")


@pytest.mark.parametrize(
    ("headers", "is_page"),
    [
        ({}, False),
        ({"accept": "*/*"}, False),
        ({"accept": "application/json"}, False),
        ({"accept": "text/html"}, True),
        ({"accept": "TEXT/HTML;level=1"}, True),
        ({"accept": "text/html;q=0"}, False),
        ({"accept": "application/json, text/html;q=0.5"}, False),
        ({"accept": "text/html, application/json;q=0.5"}, True),
        ({"accept": "text/html, */*", "sec-fetch-mode": "cors"}, False),
        ({"accept": "text/html", "sec-fetch-mode": "no-cors"}, False),
        ({"accept": "*/*", "sec-fetch-mode": "navigate"}, False),
        ({"accept": "text/*", "sec-fetch-mode": "navigate"}, False),
        ({"accept": "," * 5_000 + "text/html"}, False),
        (PERSON, True),
    ],
)
async def test_only_a_navigation_that_accepts_html_gets_a_page(
    redis_url: str, headers: dict[str, str], is_page: bool
) -> None:
    async with client(declared(), redis_url) as http:
        answer = await http.get("/nothing", headers={"accept": "*/*"} | headers)
    media = answer.headers["content-type"]
    assert media == ("text/html; charset=utf-8" if is_page else "application/problem+json")
    assert answer.status_code == 404
    assert answer.headers["vary"] == "Accept, Sec-Fetch-Mode", (
        "the answer for programs depends on the same headers"
    )


async def test_a_navigation_from_another_site_without_the_cookie_is_reloaded_once(redis_url: str) -> None:
    from_mail = PERSON | {"sec-fetch-site": "cross-site"}
    async with client(declared(), redis_url, oidc=OIDC) as http:
        first = await http.get('/orders?a="b', headers=from_mail)
        assert first.status_code == 401
        assert 'http-equiv="refresh" content="0;url=/orders?a=' in first.text
        assert "<script" not in first.text and "%22b" in first.text
        assert "Please sign in" not in first.text
        # The reload is a navigation of this site. Without a cookie it gets the 401 page.
        again = await http.get("/orders", headers=PERSON | {"sec-fetch-site": "same-origin"})
        page_of(again, 401, "Please sign in")
        assert "http-equiv" not in again.text
        for changes in (
            {"cookie": f"{COOKIE}=" + "A" * 43},
            {"authorization": "Bearer x"},
            {"sec-fetch-site": "same-site"},
            {"sec-fetch-site": "none"},
        ):
            answer = await http.get("/orders", headers=from_mail | changes)
            assert "http-equiv" not in answer.text, changes
        assert "http-equiv" not in (await http.head("/orders", headers=from_mail)).text
        assert "http-equiv" not in (await http.post("/orders", headers=from_mail)).text
        assert "http-equiv" not in (await http.get("/nothing", headers=from_mail)).text
        script = from_mail | {"sec-fetch-mode": "cors", "accept": "application/json"}
        assert (await http.get("/orders", headers=script)).json()["code"] == "unauthenticated"
    async with client(declared(), redis_url, issuers=[{"issuer": ISSUER, "audience": "x"}]) as http:
        answer = await http.get("/orders", headers=from_mail)
        assert links(page_of(answer, 401)) == ["/"], "nobody can sign in here"
        assert "http-equiv" not in answer.text


async def test_a_cancelled_sign_in_shows_its_reason_and_no_text_of_the_provider(redis_url: str) -> None:
    login = LoginState.new("/orders?a=<b>", time.time())
    name = cookie_name(login.state)
    cookie = f"{name}={LoginStates(OIDC['client_secret']).seal(login)}"
    for error, title in (
        ("access_denied", "The sign-in was cancelled"),
        (HOSTILE, "Sign-in failed"),
    ):
        async with client(declared(), redis_url, oidc=OIDC) as http:
            query = {"state": login.state, "iss": ISSUER, "error": error, "error_description": HOSTILE}
            answer = await http.get("/bff/callback", params=query, headers=PERSON | {"cookie": cookie})
        text = page_of(answer, answer.status_code, title)
        assert 400 <= answer.status_code < 500
        assert "alert" not in text
        login = LoginState.new("/orders?a=<b>", time.time())
        cookie = f"{cookie_name(login.state)}={LoginStates(OIDC['client_secret']).seal(login)}"


async def test_an_overloaded_gateway_and_one_without_redis_answer_with_pages(redis_url: str) -> None:
    gateway = declared()
    async with client(gateway, "redis://127.0.0.1:1/0", oidc=OIDC) as http:
        away = await http.get("/orders", headers=PERSON | {"cookie": f"{COOKIE}=" + "A" * 43})
        text = page_of(away, 503, "This cannot be shown right now", "Try again")
        assert links(text) == ["/orders", "/"]
        assert int(away.headers["retry-after"]) >= 1
    async with client(gateway, redis_url) as http:
        runtime = gateway.runtime
        assert runtime is not None
        runtime.admission.in_flight = 10**6
        refused = await http.get("/nothing", headers=PERSON)
        page_of(refused, 503, "This cannot be shown right now", refused.headers["x-correlation-id"])
        assert (await http.get("/nothing")).json()["code"] == "unavailable"


async def test_a_page_function_of_the_team_gets_escaped_texts_and_paths_of_this_site(redis_url: str) -> None:
    seen: list[ProblemPage] = []

    def ours(page: ProblemPage) -> str:
        seen.append(page)
        return (
            f"<!doctype html><h1>{page.title}</h1><p>{page.detail} {page.code}</p><a href='{page.home}'>x</a>"
        )

    async with client(declared(pages=ours), redis_url, oidc=OIDC) as http:
        answer = await http.get("/no", headers=PERSON)
        assert (answer.status_code, answer.headers["cache-control"]) == (403, "no-store")
        assert "<script" not in answer.text and "<img" not in answer.text
        assert "&lt;script&gt;" in answer.text
        assert "default-src 'self'" in answer.headers["content-security-policy"]
        assert "unsafe" not in answer.headers["content-security-policy"]
        await http.get("/orders?<'\">", headers=PERSON)
        page = seen[-1]
        assert page.sign_in is not None and not re.search(r"[<>'\"]", page.sign_in)
        assert page.title.__html__() == page.title


async def test_the_plain_page_is_shown_if_the_teams_page_function_fails(redis_url: str) -> None:
    def ours(page: ProblemPage) -> str:
        raise RuntimeError("no template")

    async with client(declared(pages=ours), redis_url) as http:
        page_of(await http.get("/nothing", headers=PERSON), 404, "Page not found")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "index.html").write_text("<!doctype html><title>app</title>")
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "app.js").write_text("export {};")
    return tmp_path


async def test_the_fallback_serves_the_page_to_people_and_404_to_programs_and_assets(
    redis_url: str, site: Path
) -> None:
    gateway = declared()
    gateway.site(site / "index.html", folders={"/assets": site / "assets"}, fallback=True)

    @gateway.command("/cart")
    async def cart() -> Thing:
        return Thing(name="cart")

    async with client(gateway, redis_url) as http:
        for path in ("/", "/settings/profile", "/deep/er/still", "/cart", "/a%20b"):
            answer = await http.get(path, headers=PERSON)
            assert (answer.status_code, answer.text) == (200, "<!doctype html><title>app</title>"), path
        assert answer.headers["vary"] == "Accept, Sec-Fetch-Mode"
        assert answer.headers["cache-control"] == "no-cache"
        for path in ("/assets/gone.js", "/bff/nothing", "/docs/nothing", "/a//b", "/%2e%2e/x"):
            assert (await http.get(path, headers=PERSON)).status_code == 404, path
        for path in ("/settings/profile", "/api/nothing", "/app.js"):
            answer = await http.get(path, headers={"accept": "application/json", "sec-fetch-mode": "cors"})
            assert answer.status_code == 404, path
        assert (await http.get("/cart", headers={"accept": "*/*"})).status_code == 405
        assert (await http.post("/settings", headers=PERSON)).status_code == 404
        assert (await http.get("/orders", headers=PERSON)).status_code == 401, (
            "a view is not replaced by the fallback"
        )


async def test_the_fallback_answers_only_below_its_prefixes(redis_url: str, site: Path) -> None:
    gateway = declared()
    gateway.site(site / "index.html", paths=("/app",), fallback=("/app",))
    async with client(gateway, redis_url) as http:
        assert (await http.get("/app/x/y", headers=PERSON)).status_code == 200
        for path in ("/apple", "/x"):
            assert (await http.get(path, headers=PERSON)).status_code == 404


async def test_a_site_adds_sources_and_features_to_its_policies(redis_url: str, site: Path) -> None:
    gateway = declared()
    gateway.site(
        site / "index.html",
        folders={"/assets": site / "assets"},
        csp={
            "connect-src": ("https://api.example.org",),
            "frame-ancestors": ("https://intranet.example.org",),
            "style-src": ("'unsafe-inline'",),
        },
        permissions={"geolocation": ("self", "https://maps.example.org"), "fullscreen": ("*",)},
    )
    async with client(gateway, redis_url) as http:
        for path in ("/", "/assets/app.js"):
            headers = (await http.get(path)).headers
            (policy,) = headers.get_list("content-security-policy")
            assert "connect-src 'self' https://api.example.org;" in policy
            assert "frame-ancestors https://intranet.example.org;" in policy
            assert policy.endswith("style-src 'self' 'unsafe-inline'")
            assert "default-src 'self';" in policy and "object-src 'none';" in policy
            (allowed,) = headers.get_list("permissions-policy")
            assert 'geolocation=(self "https://maps.example.org")' in allowed
            assert "camera=()" in allowed and allowed.endswith("fullscreen=*")
        # The policy for data stays strict.
        assert "api.example.org" not in (await http.get("/livez")).headers["content-security-policy"]


@pytest.mark.parametrize(
    "csp",
    [
        {"connect-src": ("https://a.test; script-src *",)},
        {"connect-src": ("https://a.test, x",)},
        {"connect-src": ("https://a.test\r\nx: y",)},
        {"connect-src": "https://a.test"},
        {"script-src": ("unsafe-inline",)},
        {"script-src": ("'self",)},
        {"script src": ("'self'",)},
        {"": ("'self'",)},
    ],
)
def test_an_invalid_policy_is_a_declaration_error(csp: Any) -> None:
    with pytest.raises(DeclarationError, match="csp"):
        content_policy(csp)
    for permissions in ({"geo location": ("self",)}, {"camera": ("https://a.test)",)}, {"camera": "self"}):
        with pytest.raises(DeclarationError, match="permissions"):
            permissions_policy(permissions)  # type: ignore[arg-type]  # what a user may write by mistake


def test_an_address_with_two_answers_is_a_declaration_error(site: Path) -> None:
    page = site / "index.html"

    def view_then_site(path: str, *paths: str, **more: Any) -> None:
        gateway = Gateway("two")

        async def view(id: str = "") -> Thing: ...

        async def view_of(id: str) -> Thing: ...

        gateway.view(path, public=True)(view_of if "{" in path else view)
        gateway.site(page, paths=paths, **more)

    def site_then_view(path: str, *paths: str, **more: Any) -> None:
        gateway = Gateway("two")
        gateway.site(page, paths=paths, **more)

        async def view(id: str = "") -> Thing: ...

        async def view_of(id: str) -> Thing: ...

        gateway.view(path, public=True)(view_of if "{" in path else view)

    for declare in (view_then_site, site_then_view):
        for path, paths in (("/", ("/",)), ("/orders", ("/", "/orders")), ("/o/{id}", ("/o/{key}",))):
            with pytest.raises(DeclarationError, match=r"site\(\) answers"):
                declare(path, *paths)
        for path in ("/assets", "/assets/x"):
            with pytest.raises(DeclarationError, match=r"site\(\) serves the folder at /assets"):
                declare(path, "/", folders={"/assets": site / "assets"})
        declare("/orders/{id}", "/", "/orders")
    gateway = Gateway("two")
    gateway.site(page)
    with pytest.raises(DeclarationError, match="declared twice"):
        gateway.site(page)
    for more in (
        {"paths": ("/a/{x}", "/a/{y}")},
        {"folders": {"/bff": site}},
        {"folders": {"/": site}},
        {"fallback": ("/bff",)},
        {"fallback": ("app",)},
    ):
        with pytest.raises(DeclarationError, match="site"):
            Gateway("two").site(page, **more)  # type: ignore[arg-type]  # one of several keywords
    assert not hasattr(gateway, "extra")
