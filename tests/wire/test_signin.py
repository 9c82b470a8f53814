"""A whole sign-in over real sockets: a browser, the gateway's endpoints, a provider, Redis."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bff.edge.access import csrf
from bff.edge.access.authenticate import Authenticator
from bff.edge.access.fetcher import Fetcher
from bff.edge.access.jwt import TokenVerifier
from bff.edge.access.login_state import FLOWS, PREFIX, LoginStates
from bff.edge.access.provider import Provider
from bff.edge.access.providers import ProviderEntry, Providers
from bff.edge.access.session import COOKIE, Sessions
from bff.edge.access.session_cookies import session_cookies
from bff.edge.access.session_record import SessionKey
from bff.edge.access.token_revocation import TokenRevocations
from bff.edge.endpoints.account import Account
from bff.edge.endpoints.guard import Guard
from bff.edge.endpoints.sign_in import SignIn
from bff.edge.endpoints.sign_out import SignOut
from bff.edge.problem import Problem
from bff.edge.rate_limits import RateLimiter
from bff.edge.settings import IssuerSettings, OidcSettings, SessionSettings
from bff.edge.settings.gateway import LimitSettings
from bff.stores.rates import RateStore
from bff.stores.redis.client import RedisClient
from bff.stores.sessions import SessionStore
from tests.unit.edge.access.issuing import sign

from ..waiting import GUARD
from .oidc_provider import CLIENT, SECRET, OidcProvider, readable
from .served import listening, served


class Browser:
    """A browser for these tests: cookies of one host by the rules of RFC 6265bis; it follows no redirects."""

    def __init__(self, client: httpx.AsyncClient, site: str) -> None:
        self.client = client
        self.site = site
        self.jar: dict[str, str] = {}
        self.rules: dict[str, str] = {}

    async def ask(self, method: str, url: str, *, cross_site: bool = False, **options: Any) -> httpx.Response:
        headers = dict(options.pop("headers", {}))
        jar = {n: v for n, v in self.jar.items() if not (cross_site and "SameSite=Strict" in self.rules[n])}
        if jar:
            headers["cookie"] = "; ".join(f"{name}={value}" for name, value in jar.items())
        answer = await self.client.request(method, url, headers=headers, **options)
        for line in answer.headers.get_list("set-cookie"):
            pair, _, rules = line.partition(";")
            name, _, value = pair.partition("=")
            if "Max-Age=0" in rules:
                self.jar.pop(name, None)
            else:
                self.jar[name], self.rules[name] = value, rules
        return answer

    async def get(self, path: str, **options: Any) -> httpx.Response:
        return await self.ask("GET", self.site + path, **options)

    async def post(self, path: str, **options: Any) -> httpx.Response:
        return await self.ask("POST", self.site + path, headers={"x-bff": "1"}, **options)

    async def begin(self, path: str = "/bff/login") -> str:
        """Go to the provider and back; returns the address of the callback, which is not requested yet."""
        to_provider = await self.get(path)
        assert to_provider.status_code == 303
        back = await self.client.get(to_provider.headers["location"])
        assert back.status_code == 303, back.text
        return str(back.headers["location"])

    async def sign_in(self, path: str = "/bff/login") -> httpx.Response:
        return await self.ask("GET", await self.begin(path), cross_site=True)


class House:
    """One gateway's sign-in endpoints, its provider, and the sessions that it ended."""

    def __init__(self, provider: OidcProvider, site: str, browser: Callable[[], Browser]) -> None:
        self.provider = provider
        self.site = site
        self.browser = browser
        self.ended: list[str] = []

    async def on_end(self, session: str) -> None:
        self.ended.append(session)


@pytest.fixture
async def house(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    # A request waits for a refresh however long it takes on a busy machine.
    monkeypatch.setattr("bff.edge.access.refresh.REQUEST_WAIT", GUARD)
    async with house_at(redis_url) as house:
        yield house


async def plain(_: Request, problem: Exception) -> Response:
    assert isinstance(problem, Problem)
    document = problem.document(correlation_id="c", trace_id="t")
    return JSONResponse(document, problem.status, problem.response_headers())


@asynccontextmanager
async def house_at(redis_url: str, *, host: str = "127.0.0.1") -> AsyncIterator[House]:
    """A House whose site has this host; its provider is at 127.0.0.1."""
    sock, provider_sock = listening(), listening()
    site = f"http://{host}:{sock.getsockname()[1]}"
    provider = OidcProvider(f"{site}/bff/callback")
    provider.issuer = f"http://127.0.0.1:{provider_sock.getsockname()[1]}"
    async with RedisClient(redis_url, timeout=10) as link, httpx.AsyncClient() as client:
        house = House(provider, site, lambda: Browser(client, site))
        fetch = Fetcher(timeout=GUARD)
        trusted = IssuerSettings(issuer=provider.issuer, audience="shop")
        verifier = TokenVerifier([trusted], fetch)
        settings = OidcSettings(issuer=provider.issuer, client_id=CLIENT, client_secret=SECRET)
        oidc = Provider(settings, fetch, redirect_uri=provider.redirect_uri)
        store = SessionStore(link)
        sessions = Sessions(store, SessionSettings(), renew=oidc.renew, on_end=house.on_end)
        cookies = session_cookies(site, {"": ()})
        authenticator = Authenticator(verifier, sessions, cookies=cookies)
        limits = RateLimiter(LimitSettings(default="1000000/minute"), RateStore(link))
        guard = Guard(authenticator, limits, site)
        entry = ProviderEntry("", "Here", oidc, LoginStates(SECRET), COOKIE, PREFIX)
        providers, revocations = Providers([entry], cookies), TokenRevocations()
        endpoints = [
            SignIn(guard, providers, sessions, store),
            SignOut(guard, providers, sessions, store, revocations),
            Account(guard, providers, sessions, store),
        ]

        async def token(request: Request) -> Response:
            principal = await authenticator(request.scope)
            csrf.check(request.scope, principal, site)
            return JSONResponse(principal and {"token": principal.token, "session": principal.session})

        routes = [
            *(route for one in endpoints for route in one.routes()),
            Route("/token", token, methods=["GET", "POST"]),
        ]
        app = Starlette(routes=routes, exception_handlers={Problem: plain})
        async with served(app, sock), served(provider.app, provider_sock):
            yield house
            await revocations.close()
            await sessions.close()
            await verifier.close()
            await oidc.close()
            await fetch.close()


def problem_of(answer: httpx.Response, status: int, code: str) -> str:
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert COOKIE not in {line.partition("=")[0] for line in answer.headers.get_list("set-cookie")}
    return str(answer.json()["detail"])


async def test_a_browser_signs_in_and_signs_out(house: House) -> None:
    browser = house.browser()
    problem_of(await browser.get("/bff/user"), 401, "unauthenticated")
    nobody = await browser.get("/bff/user?anonymous=1")
    assert (nobody.status_code, nobody.json()) == (200, None)
    assert nobody.headers["cache-control"] == "no-store"
    for odd in ("anonymous=0", "anonymous=", "anonymous=1&anonymous=1"):
        problem_of(await browser.get(f"/bff/user?{odd}"), 400, "invalid-request")
    landed = await browser.sign_in("/bff/login?return=/orders%3Ftab%3D1%26x%3D%22%3E")
    assert landed.status_code == 200
    assert 'content="0;url=/orders?tab=1&amp;x=&quot;&gt;"' in landed.text
    assert landed.headers["cache-control"] == "no-store"
    assert set(browser.jar) == {COOKIE}
    rules = browser.rules[COOKIE]
    assert all(rule in rules for rule in ("Path=/", "Secure", "HttpOnly", "SameSite=Strict"))
    assert "Domain" not in rules

    user = (await browser.get("/bff/user")).json()
    assert {key: user[key] for key in ("sub", "name", "email")} == {
        "sub": "ada",
        "name": "Ada",
        "email": "ada@shop.test",
    }
    assert 28_000 < user["expires_in"] <= 28_800
    assert (await browser.get("/bff/user?anonymous=1")).json().keys() == user.keys()
    assert not {"nonce", "sid", "aud", "exp"} & set(user)
    assert (await browser.get("/token")).json()["token"] == "access-0"

    cookie = browser.jar[COOKIE]
    left = await browser.get((await browser.post("/bff/logout")).json()["redirect"])
    assert left.status_code == 303
    left = left.headers["location"]
    query = {name: values[0] for name, values in parse_qs(urlsplit(left).query).items()}
    assert left.startswith(f"{house.provider.issuer}/logout?")
    assert query["post_logout_redirect_uri"] == f"{house.site}/"
    assert readable(query["id_token_hint"])["sub"] == "ada"
    assert browser.jar == {}
    browser.jar, browser.rules = {COOKIE: cookie}, {COOKIE: ""}
    problem_of(await browser.get("/bff/user"), 401, "unauthenticated")
    key = SessionKey.read(cookie)
    assert key is not None and house.ended == [key.id]
    assert (await browser.post("/bff/logout")).json() == {"redirect": "/"}


async def test_the_login_cookie_is_sent_across_sites_and_removed_after_the_sign_in(house: House) -> None:
    browser = house.browser()
    answer = await browser.get("/bff/login")
    (line,) = answer.headers.get_list("set-cookie")
    assert re.match(
        r"__Host-bff-login-[0-9a-f]{16}=[A-Za-z0-9_-]+; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=600$",
        line,
    )
    query = parse_qs(urlsplit(answer.headers["location"]).query)
    assert query["code_challenge_method"] == ["S256"] and "code_verifier" not in query
    assert query["scope"] == ["openid profile"]


async def test_two_tabs_sign_in_at_once(house: House) -> None:
    browser = house.browser()
    first, second = await browser.begin("/bff/login?return=/a"), await browser.begin("/bff/login?return=/b")
    assert len(browser.jar) == 2
    assert "url=/b" in (await browser.ask("GET", second, cross_site=True)).text
    assert "url=/a" in (await browser.ask("GET", first, cross_site=True)).text
    assert set(browser.jar) == {COOKIE}
    assert (await browser.get("/bff/user")).status_code == 200


async def test_a_browser_has_at_most_twelve_cookies_of_abandoned_sign_ins(house: House) -> None:
    browser = house.browser()
    for _ in range(20):
        callback = await browser.begin()
    assert len(browser.jar) == FLOWS == 12
    assert sum(len(name) + len(value) + 3 for name, value in browser.jar.items()) < 6_000
    assert (await browser.ask("GET", callback)).status_code == 200


async def test_every_sign_in_starts_a_new_session_and_ends_the_old_one(house: House) -> None:
    browser = house.browser()
    await browser.sign_in()
    old = browser.jar[COOKIE]
    callback = await browser.begin()
    await browser.ask("GET", callback)
    assert browser.jar[COOKIE] != old
    new, browser.jar[COOKIE] = browser.jar[COOKIE], old
    problem_of(await browser.get("/bff/user"), 401, "unauthenticated")
    browser.jar[COOKIE] = new
    assert (await browser.get("/bff/user")).status_code == 200


async def test_a_session_cookie_set_before_the_sign_in_is_replaced_by_it(house: House) -> None:
    browser = house.browser()
    planted = SessionKey.new().value
    browser.jar, browser.rules = {COOKIE: planted}, {COOKIE: ""}
    await browser.ask("GET", await browser.begin())
    assert browser.jar[COOKIE] != planted


async def test_a_replayed_callback_is_refused(house: House) -> None:
    browser = house.browser()
    callback = await browser.begin()
    login = dict(browser.jar)
    assert (await browser.ask("GET", callback)).status_code == 200
    assert "begun in another browser" in problem_of(await browser.ask("GET", callback), 400, "sign-in-failed")
    thief = house.browser()
    thief.jar, thief.rules = login, dict.fromkeys(login, "")
    assert "already over" in problem_of(await thief.ask("GET", callback), 400, "sign-in-failed")


async def test_a_callback_brought_to_another_browser_is_refused(house: House) -> None:
    callback = await house.browser().begin()
    victim = house.browser()
    problem_of(await victim.ask("GET", callback), 400, "sign-in-failed")
    await victim.begin()
    problem_of(await victim.ask("GET", callback), 400, "sign-in-failed")
    assert house.provider.codes, "the code was not sent to the provider"


@pytest.mark.parametrize(
    "bend",
    [
        lambda url: url.replace("state=", "state=0"),
        lambda url: re.sub(r"state=[^&]+", "state=", url),
        lambda url: re.sub(r"&state=[^&]+", "", url),
        lambda url: url + "&state=again",
        lambda url: url + "&code=second",
        lambda url: re.sub(r"(state=[0-9a-f]{16}\.)[^&]{43}", r"\g<1>" + "a" * 43, url),
        lambda url: re.sub(r"code=[^&]+", "code=", url),
        lambda url: re.sub(r"code=[^&]+", "code=made-up", url),
        lambda url: re.sub(r"code=[^&]+", "error=access_denied", url),
        lambda url: re.sub(r"code=[^&]+", "error=<script>", url),
        lambda url: re.sub(r"&iss=[^&]+", "", url),
        lambda url: re.sub(r"&iss=[^&]+", "&iss=https://evil.test", url),
        lambda url: url + "/",
    ],
)
async def test_an_altered_callback_is_refused_with_a_link_to_start_again(
    house: House, bend: Callable[[str], str]
) -> None:
    browser = house.browser()
    callback = await browser.begin("/bff/login?return=/orders")
    detail = problem_of(await browser.ask("GET", bend(callback)), 400, "sign-in-failed")
    assert "Start again at /bff/login" in detail and "script" not in detail


@pytest.mark.parametrize(
    "changes",
    [
        {"nonce": "another"},
        {"nonce": None},
        {"nonce": ["x"]},
        {"nonce": "\ud800"},
        {"aud": "shop"},
        {"aud": [CLIENT, "other"]},
        {"azp": "other"},
        {"iss": "https://evil.test"},
        {"exp": 1},
        {"exp": "2099"},
        {"iat": 1},
        {"iat": 4_000_000_000},
        {"sub": ""},
        {"sub": None},
    ],
    ids=str,
)
async def test_an_invalid_id_token_signs_nobody_in(house: House, changes: dict[str, Any]) -> None:
    house.provider.bend = lambda claims: claims | changes
    problem_of(await house.browser().sign_in(), 502, "sign-in-failed")


async def test_an_id_token_by_another_key_or_of_another_kind_signs_nobody_in(house: House) -> None:
    from tests.unit.edge.access.issuing import ec_key

    browser = house.browser()
    house.provider.signs_with = ec_key()
    assert "signature" in problem_of(await browser.sign_in(), 502, "sign-in-failed")
    house.provider.signs_with = house.provider.key
    original = house.provider.id_token
    house.provider.id_token = lambda **claims: sign(  # type: ignore[method-assign]
        house.provider.key, readable(original(**claims)), kid="p1", typ="at+jwt"
    )
    assert "another kind" in problem_of(await browser.sign_in(), 502, "sign-in-failed")


@pytest.mark.parametrize(
    "path",
    [
        "//evil.test",
        "https://evil.test",
        "/\\evil.test",
        "/%09/evil.test",
        "%0d%0aSet-Cookie:x",
        "javascript:alert(1)",
    ],
)
async def test_an_open_redirect_is_refused_before_the_sign_in_begins(house: House, path: str) -> None:
    answer = await house.browser().get(f"/bff/login?return={path}")
    problem_of(answer, 400, "invalid-request")
    assert not answer.headers.get_list("set-cookie")


async def test_a_failing_provider_is_503_and_the_sign_in_can_be_retried(house: House) -> None:
    browser = house.browser()
    house.provider.token_status = 500
    answer = await browser.sign_in()
    problem_of(answer, 503, "unavailable")
    assert answer.headers["retry-after"]
    (name,) = browser.jar
    assert name.startswith("__Host-bff-login-"), "the same address may be tried again"


async def test_a_discovery_document_of_another_issuer_is_refused(house: House) -> None:
    house.provider.extra = {"issuer": "https://evil.test"}
    problem_of(await house.browser().get("/bff/login"), 503, "unavailable")


async def test_signing_out_works_with_a_provider_without_an_end_session_endpoint(house: House) -> None:
    house.provider.extra = {"end_session_endpoint": None}
    browser = house.browser()
    await browser.sign_in()
    assert (await browser.post("/bff/logout")).json() == {"redirect": "/"}
    problem_of(await browser.get("/bff/user"), 401, "unauthenticated")


async def test_only_the_sites_own_page_can_sign_out(house: House) -> None:
    browser = house.browser()
    await browser.sign_in()
    for headers in (
        {},
        {"x-bff": "1", "origin": "https://evil.test"},
        {"x-bff": "1", "sec-fetch-site": "cross-site"},
    ):
        answer = await browser.ask("POST", f"{house.site}/bff/logout", headers=headers)
        problem_of(answer, 403, "csrf")
    assert (await browser.get("/bff/user")).status_code == 200
    assert house.ended == []


async def test_fifty_requests_with_an_old_token_redeem_one_refresh_token(house: House) -> None:
    house.provider.life = 1
    browser = house.browser()
    await browser.sign_in()
    house.provider.life = 300
    await asyncio.sleep(0.7)
    answers = await asyncio.gather(*(browser.get("/token") for _ in range(50)))
    assert {answer.json()["token"] for answer in answers} == {"access-1"}
    assert len(house.provider.redeemed) == 1


async def test_a_refused_refresh_signs_the_browser_out(house: House) -> None:
    house.provider.life = 1
    browser = house.browser()
    await browser.sign_in()
    house.provider.refresh.clear()
    await asyncio.sleep(0.7)
    problem_of(await browser.get("/bff/user"), 401, "unauthenticated")
    assert len(house.ended) == 1


Tell = Callable[[str], Awaitable[httpx.Response]]


@pytest.fixture
def tell(house: House) -> Tell:
    async def tell(token: str) -> httpx.Response:
        client = house.browser().client
        return await client.post(f"{house.site}/bff/backchannel-logout", data={"logout_token": token})

    return tell


async def test_a_back_channel_logout_ends_the_session(house: House, tell: Tell) -> None:
    browser, other = house.browser(), house.browser()
    await browser.sign_in()
    house.provider.sid = "provider-session-2"
    await other.sign_in()
    answer = await tell(house.provider.logout_token(sid="provider-session-1"))
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    problem_of(await browser.get("/bff/user"), 401, "unauthenticated")
    assert (await other.get("/bff/user")).status_code == 200
    assert len(house.ended) == 1
    by_person = house.provider.logout_token(sid=..., sub="ada")
    assert (await tell(by_person)).status_code == 200
    problem_of(await other.get("/bff/user"), 401, "unauthenticated")
    await other.sign_in()
    assert "before" in problem_of(await tell(by_person), 400, "invalid-request")
    assert (await other.get("/bff/user")).status_code == 200, (
        "a replayed logout ends no session that began afterwards"
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"events": ...},
        {"events": {}},
        {"events": ["http://schemas.openid.net/event/backchannel-logout"]},
        {"nonce": "n"},
        {"aud": "shop"},
        {"iss": "https://evil.test"},
        {"exp": 1},
        {"exp": ...},
        {"jti": ...},
        {"sid": ...},
        {"sid": 7},
        {"typ": "at+jwt"},
    ],
    ids=str,
)
async def test_an_invalid_logout_token_ends_nothing(
    house: House, tell: Tell, changes: dict[str, Any]
) -> None:
    browser = house.browser()
    await browser.sign_in()
    problem_of(await tell(house.provider.logout_token(**changes)), 400, "invalid-request")
    assert (await browser.get("/bff/user")).status_code == 200


async def test_a_back_channel_logout_without_a_form_or_a_token_is_refused(house: House, tell: Tell) -> None:
    problem_of(await tell(house.provider.id_token()), 400, "invalid-request")
    problem_of(await tell(""), 400, "invalid-request")
    url, client = f"{house.site}/bff/backchannel-logout", house.browser().client
    problem_of(await client.post(url, json={"logout_token": "x"}), 400, "invalid-request")
    problem_of(await client.post(url, data={"logout_token": ["x", "y"]}), 400, "invalid-request")
    problem_of(await client.post(url, data={"logout_token": "x" * 20_000}), 413, "body-too-large")


async def test_a_bearer_token_is_preferred_to_the_cookie_and_an_invalid_one_is_refused(house: House) -> None:
    browser = house.browser()
    await browser.sign_in()
    now = readable(house.provider.id_token())["iat"]
    claims = {"iss": house.provider.issuer, "sub": "api", "aud": "shop", "iat": now, "exp": now + 60}
    good = sign(house.provider.key, claims, kid="p1")

    async def ask(*authorization: str, method: str = "GET") -> httpx.Response:
        pairs = [("authorization", value) for value in authorization]
        pairs.append(("cookie", f"{COOKIE}={browser.jar[COOKIE]}"))
        return await browser.client.request(method, f"{house.site}/token", headers=pairs)

    assert (await ask()).json()["token"] == "access-0"
    assert (await ask(f"Bearer {good}")).json() == {"token": good, "session": None}
    assert (await ask(f"bearer {good}", method="POST")).json()["token"] == good
    for bad in ([f"Bearer {good}x"], ["Bearer"], ["Basic YTpi"], [good], [f"Bearer {good}"] * 2, [""]):
        problem_of(await ask(*bad), 401, "invalid-token")
    problem_of(await ask(method="POST"), 403, "csrf")


async def test_two_session_cookies_are_refused_and_ours_is_removed(house: House) -> None:
    browser = house.browser()
    await browser.sign_in()
    value = browser.jar[COOKIE]
    for headers in (
        [("cookie", f"{COOKIE}={value}; {COOKIE}={value}")],
        [("cookie", f"{COOKIE}={value}"), ("cookie", f"{COOKIE}={SessionKey.new().value}")],
    ):
        answer = await browser.client.get(f"{house.site}/token", headers=headers)
        assert "Two cookies" in answer.json()["detail"]
        (line,) = answer.headers.get_list("set-cookie")
        assert line.startswith(f"{COOKIE}=;") and "Max-Age=0" in line and "Path=/; Secure" in line
    crumbs = [("cookie", f"a=b; {COOKIE}={value}"), ("cookie", "broken; c=d")]
    assert (await browser.client.get(f"{house.site}/token", headers=crumbs)).json() is not None


async def test_no_answer_to_the_page_holds_a_token(house: House) -> None:
    browser = house.browser()
    landed = await browser.sign_in()
    user = await browser.get("/bff/user")
    secrets = {*house.provider.refresh, "access-0"}
    for answer in (landed, user):
        everything = answer.text + json.dumps(answer.headers.multi_items())
        assert not any(secret in everything for secret in secrets)
