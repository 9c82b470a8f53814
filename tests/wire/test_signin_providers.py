"""Several identity providers side by side: own redirect URIs, cookies and sessions, by choice and by host."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from bff import Gateway, Principal
from bff.edge.access.session_record import SessionKey

from ..waiting import until
from .oidc_provider import readable
from .signing_in import Place, signing_in
from .test_signin import Browser, problem_of

STAFF, PARTNERS = "__Host-bff~staff", "__Host-bff~partners"


def declare() -> Gateway:
    gateway = Gateway("several")

    @gateway.view("/api/me")
    async def me(who: Principal) -> str:
        return f"{who.issuer}|{who.subject}"

    @gateway.command("/api/do")
    async def do(who: Principal) -> str:
        return who.subject

    return gateway


@pytest.fixture
async def place(redis_url: str) -> AsyncIterator[Place]:
    providers = {
        "": {"title": "Customers & guests"},
        "partners": {},
        "staff": {"hosts": ["localhost:PORT"], "title": "Staff"},
    }
    async with signing_in(redis_url, declare(), providers) as place:
        for name, provider in place.providers.items():
            provider.subject = f"ada-{name or 'oidc'}"
            provider.extra["revocation_endpoint"] = f"{provider.issuer}/revoke"
        yield place


async def me(browser: Browser) -> httpx.Response:
    return await browser.get("/api/me")


async def test_a_person_chooses_between_the_providers_of_the_host(place: Place) -> None:
    page = await place.browser().get("/bff/login?return=/orders%3Fa%3D1&login_hint=%22x%22")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert page.headers["cache-control"] == "no-store" and "script-src" not in page.text
    query = "?return=/orders%3Fa%3D1&amp;login_hint=%22x%22"
    assert re.findall(r'<a href="([^"]*)">([^<]*)</a>', page.text) == [
        (f"/bff/login/oidc{query}", "Customers &amp; guests"),
        (f"/bff/login/partners{query}", "Partners"),
    ]
    at_staff = await place.browser("localhost").get("/bff/login")
    assert re.findall(r">([^<]*)</a>", at_staff.text) == ["Customers &amp; guests", "Partners", "Staff"]
    for path in ("/bff/login/staff", "/bff/login/nobody", "/bff/callback/staff", "/bff/callback/oidc"):
        problem_of(await place.browser().get(path), 404, "not-found")


async def test_each_provider_has_its_own_redirect_uri_cookies_and_session(place: Place) -> None:
    customer, partner, staff = place.browser(), place.browser(), place.browser("localhost")
    landed = await customer.sign_in("/bff/login/oidc?return=/a")
    assert landed.status_code == 200 and "url=/a" in landed.text and set(customer.jar) == {"__Host-bff"}
    assert (await partner.sign_in("/bff/login/partners")).status_code == 200
    assert set(partner.jar) == {PARTNERS}
    assert (await staff.sign_in("/bff/login/staff")).status_code == 200
    assert set(staff.jar) == {STAFF}
    for browser, name in ((customer, ""), (partner, "partners"), (staff, "staff")):
        provider = place.providers[name]
        assert (await me(browser)).json() == f"{provider.issuer}|{provider.subject}"


async def test_a_session_is_valid_with_the_cookie_of_its_provider_and_at_its_host_alone(place: Place) -> None:
    staff = place.browser("localhost")
    await staff.sign_in("/bff/login/staff")
    value = staff.jar[STAFF]
    for host, name in (("localhost", PARTNERS), ("localhost", "__Host-bff"), ("127.0.0.1", STAFF)):
        other = place.browser(host)
        other.jar, other.rules = {name: value}, {name: ""}
        problem_of(await me(other), 401, "unauthenticated")
    assert (await me(staff)).status_code == 200


async def test_the_answer_of_one_provider_is_not_accepted_as_anothers(place: Place) -> None:
    browser = place.browser()
    callback = await browser.begin("/bff/login/partners")
    problem_of(
        await browser.ask("GET", callback.replace("/callback/partners", "/callback")), 400, "sign-in-failed"
    )
    # The cookie and the state of one provider's sign-in, under the name that the other's would have.
    name = next(iter(browser.jar))
    moved = name.replace("~partners", "")
    browser.jar, browser.rules = {moved: browser.jar[name]}, {moved: ""}
    answer = await browser.ask("GET", callback.replace("/callback/partners", "/callback"))
    assert "begun in another browser" in problem_of(answer, 400, "sign-in-failed")
    other = place.browser()
    callback = await other.begin("/bff/login/partners")
    evil = re.sub("iss=[^&]+", f"iss={place.providers[''].issuer}", callback)
    assert "another identity provider" in problem_of(await other.ask("GET", evil), 400, "sign-in-failed")
    assert place.providers["partners"].codes, "the code was not redeemed"


async def test_a_person_who_signs_in_at_another_provider_leaves_the_first(place: Place) -> None:
    browser = place.browser()
    await browser.sign_in("/bff/login/oidc")
    first = browser.jar["__Host-bff"]
    await browser.sign_in("/bff/login/partners")
    assert set(browser.jar) == {PARTNERS}
    assert (await me(browser)).json().endswith("|ada-partners")
    browser.jar, browser.rules = {"__Host-bff": first}, {"__Host-bff": ""}
    problem_of(await me(browser), 401, "unauthenticated")


async def test_sessions_of_two_providers_in_one_request_are_refused_and_one_is_removed(place: Place) -> None:
    one, two = place.browser(), place.browser()
    await one.sign_in("/bff/login/oidc")
    await two.sign_in("/bff/login/partners")
    one.jar[PARTNERS], one.rules[PARTNERS] = two.jar[PARTNERS], ""
    answer = await me(one)
    assert answer.status_code == 401 and PARTNERS in answer.json()["detail"]
    assert (await me(one)).json().endswith("|ada-oidc")


async def test_a_write_has_to_come_from_the_host_that_it_goes_to(place: Place) -> None:
    staff = place.browser("localhost")
    await staff.sign_in("/bff/login/staff")
    own, public = f"http://localhost:{place.port}", place.site
    for origin, status in ((own, 200), (public, 403), ("http://evil.test", 403)):
        key = {"x-bff": "1", "origin": origin, "idempotency-key": '"k"'}
        answer = await staff.ask("POST", f"{own}/api/do", headers=key)
        assert answer.status_code == status, answer.text


async def test_a_logout_ends_the_session_at_its_provider_and_revokes_its_tokens_there(place: Place) -> None:
    staff = place.browser("localhost")
    await staff.sign_in("/bff/login/staff")
    provider, other = place.providers["staff"], place.providers[""]
    refresh = next(iter(provider.refresh))
    leave = (await staff.post("/bff/logout")).json()["redirect"]
    onward = (await staff.get(leave)).headers["location"]
    query = {name: values[0] for name, values in parse_qs(urlsplit(onward).query).items()}
    assert onward.startswith(f"{provider.issuer}/logout?")
    assert query["post_logout_redirect_uri"] == f"http://localhost:{place.port}/"
    assert readable(query["id_token_hint"])["sub"] == "ada-staff"
    assert staff.jar == {}
    await until(lambda: _is(len(provider.revoked) == 2))
    assert provider.revoked == [(refresh, "refresh_token"), ("access-0", "access_token")]
    assert other.revoked == []


async def _is(fact: bool) -> bool:
    return fact


async def test_a_provider_that_hangs_delays_no_logout(place: Place) -> None:
    browser = place.browser()
    await browser.sign_in("/bff/login/oidc")
    provider = place.providers[""]
    provider.hangs = asyncio.Event()
    try:
        async with asyncio.timeout(5):
            assert (await browser.post("/bff/logout")).status_code == 200
        problem_of(await me(browser), 401, "unauthenticated")
    finally:
        provider.hangs.set()


async def test_a_back_channel_logout_ends_the_sessions_of_its_own_provider(place: Place) -> None:
    customer, staff = place.browser(), place.browser("localhost")
    await customer.sign_in("/bff/login/oidc")
    await staff.sign_in("/bff/login/staff")
    provider, path = place.providers["staff"], f"{place.site}/bff/backchannel-logout"
    token = {"logout_token": provider.logout_token()}
    for wrong in ("", "/partners"):
        problem_of(await place.client.post(path + wrong, data=token), 400, "invalid-request")
    problem_of(await place.client.post(path + "/nobody", data=token), 404, "not-found")
    assert (await place.client.post(path + "/staff", data=token)).status_code == 200
    problem_of(await me(staff), 401, "unauthenticated")
    assert (await me(customer)).status_code == 200


async def test_sessions_are_refreshed_at_their_own_provider(place: Place) -> None:
    for provider in place.providers.values():
        provider.life = 1
    browsers = {"": place.browser(), "partners": place.browser()}
    for name, browser in browsers.items():
        await browser.sign_in(f"/bff/login/{name or 'oidc'}")
    for name, browser in browsers.items():
        provider = place.providers[name]
        await until(lambda browser=browser, provider=provider: _refreshed(browser, provider))
        assert (await me(browser)).status_code == 200
    assert place.providers["staff"].redeemed == []


async def _refreshed(browser: Browser, provider: object) -> bool:
    assert (await me(browser)).status_code == 200
    return bool(provider.redeemed)  # type: ignore[attr-defined]


async def test_the_health_page_names_each_provider(place: Place) -> None:
    found = (await place.client.get(f"{place.site}/readyz")).json()["dependencies"]
    assert found["provider"]["issuer"] == place.providers[""].issuer
    assert set(found["providers"]) == {"partners", "staff"}


async def test_fourteen_tabs_sign_in_at_once_and_twelve_of_them_succeed(place: Place) -> None:
    browser = place.browser()
    callbacks = [await browser.begin(f"/bff/login/partners?return=/tab/{number}") for number in range(14)]
    answers = [await browser.ask("GET", callback, cross_site=True) for callback in callbacks]
    assert [answer.status_code for answer in answers] == [400] * 2 + [200] * 12
    assert set(browser.jar) == {PARTNERS} and (await me(browser)).status_code == 200
    sessions = (await browser.get("/bff/sessions")).json()["sessions"]
    assert len(sessions) == 1, "each sign-in has replaced the one before"
    assert SessionKey.read(browser.jar[PARTNERS])
