"""Sign-in with a real Keycloak and a real browser, and its tokens for API clients, by the settings of
docs/how-to/providers/keycloak.md alone."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from bff.edge.settings import load
from bff.policies.tokens import Reason

from ..conftest import Valkey, free_port, start_program, wait_for_port
from ..keycloak import PASSWORD, Keycloak, running
from ..programs import program
from ..unit.edge.access.proving import Prover
from ..waiting import GUARD, until
from .altered_tokens import altered
from .documented import documented
from .gateway import running as gateway_running
from .guarded import declare_guarded
from .logout_receiver import receiver
from .scripted import Scripted, upstream
from .served import listening, served

REALM = Path(__file__).parent / "keycloak" / "realm.json"
SCOPES = REALM.with_name("scopes.json")
SECRET = "secret-of-the-client"
PATIENT = {"token_timeout": 60, "discovery_timeout": 30}
"""Settings with which a busy machine does not make Keycloak late."""

# One Keycloak for all tests, because it takes a minute to start.
pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


@dataclass
class Desk:
    """The gateway of the page, with a real Keycloak and an upstream."""

    site: str
    keycloak: Keycloak
    upstream: Scripted
    browser: Browser
    client: httpx.AsyncClient
    logout_tokens: list[str]

    @property
    def issuer(self) -> str:
        return self.keycloak.issuer("desk")

    @asynccontextmanager
    async def person(self) -> AsyncIterator[Person]:
        context = await self.browser.new_context()
        context.set_default_timeout(GUARD * 1000)
        try:
            yield Person(self, context, await context.new_page())
        finally:
            await context.close()

    async def tokens(
        self,
        client: str = "desk-cli",
        *,
        person: str | None = None,
        scope: str = "",
        prover: Prover | None = None,
    ) -> dict[str, Any]:
        """What the token endpoint answers to an API client: for itself, or for a person with their password."""
        url = f"{self.issuer}/protocol/openid-connect/token"
        form = {"grant_type": "client_credentials"}
        if person is not None:
            form = {"grant_type": "password", "username": person, "password": PASSWORD}
        if scope:
            form["scope"] = scope
        headers = {} if prover is None else {"dpop": prover.proof("", "POST", url, time.time(), ath=...)}
        answer = await self.client.post(url, data=form, auth=(client, SECRET), headers=headers)
        assert answer.status_code == 200, answer.text
        assert answer.json()["token_type"] == ("Bearer" if prover is None else "DPoP")
        return dict(answer.json())

    async def access_token(self, client: str = "desk-cli", **options: Any) -> str:
        return str((await self.tokens(client, **options))["access_token"])

    async def ask(self, path: str, token: str, **headers: str) -> httpx.Response:
        return await self.client.get(
            self.site + path, headers={"authorization": f"Bearer {token}", **headers}
        )

    async def reason(self, token: str) -> str:
        """Why a token is refused; the problem and the challenge agree."""
        answer = await self.ask("/api/rights", token)
        assert (answer.status_code, answer.json()["code"]) == (401, "invalid-token"), answer.text
        [reason] = [one for one in Reason if one.code == answer.json()["reason"]]
        assert f'error_description="{reason.text}"' in answer.headers["www-authenticate"]
        return reason.code

    async def sign_out_at_keycloak(self, username: str) -> None:
        """As an administrator does it."""

        def end() -> None:
            with self.keycloak.admin() as admin:
                found = admin.get("/admin/realms/desk/users", params={"username": username, "exact": "true"})
                admin.post(f"/admin/realms/desk/users/{found.json()[0]['id']}/logout").raise_for_status()

        await asyncio.to_thread(end)


@dataclass
class Person:
    """A person at a browser."""

    desk: Desk
    context: BrowserContext
    page: Page

    async def sign_in(self, username: str) -> None:
        await self.page.goto(f"{self.desk.site}/bff/login?return=/page/1")
        await self.page.fill("input[name=username]", username)
        await self.page.fill("input[name=password]", PASSWORD)
        await self.page.click("[type=submit]")
        await self.page.wait_for_url(f"{self.desk.site}/page/1")

    async def fetch(self, path: str, method: str = "GET") -> tuple[int, Any]:
        """The status and body of a request that the page sends."""
        script = """async ([path, method]) => {
            const answer = await fetch(path, {method, headers: {'X-BFF': '1'}});
            return [answer.status, await answer.json()];
        }"""
        status, body = await self.page.evaluate(script, [path, method])
        return status, body

    async def upstream_token(self) -> str:
        """The access token that a service receives now."""
        assert (await self.fetch("/api/required/ok"))[0] == 200
        return self.desk.upstream.last.headers["authorization"].removeprefix("Bearer ")

    async def cookie(self) -> dict[str, str]:
        found = await self.context.cookies(self.desk.site)
        return {"cookie": "; ".join(f"{one['name']}={one['value']}" for one in found)}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def desk(valkey_session: Valkey, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Desk]:
    port, folder = free_port(), tmp_path_factory.mktemp("keycloak")
    # Two sites for a browser: localhost and 127.0.0.1.
    site = f"http://localhost:{port}"
    logout_tokens: list[str] = []
    sock = listening()
    logouts = f"http://127.0.0.1:{sock.getsockname()[1]}/"
    starting = running(
        REALM, folder / "keycloak.log", {"SITE": site, "LOGOUTS": logouts, "CLIENT_SECRET": SECRET}
    )
    keycloak = await asyncio.to_thread(starting.__enter__)
    try:
        await asyncio.to_thread(keycloak.make_scopes, "desk", SCOPES)
        async with (
            upstream() as scripted,
            served(receiver(logout_tokens), sock),
            async_playwright() as playwright,
            httpx.AsyncClient(trust_env=False, timeout=GUARD) as client,
        ):
            gateway = start_program(
                [sys.executable, "-m", "bff", "serve", "tests.wire.guarded:served"],
                log=folder / "gateway.log",
                env={
                    **documented("keycloak", "Browser sign-in", desk=site, login=keycloak.url),
                    **documented("keycloak", "API clients", login=keycloak.url),
                    "BFF_PORT": str(port),
                    "BFF_ADMIN_PORT": str(free_port()),
                    "BFF_REDIS__URL": valkey_session.url,
                    "BFF_ADMISSION__LAG": "10",
                    "BFF_REDIS__TIMEOUT": "10",
                    "BFF_UPSTREAMS__SHELF__URL": f"http://127.0.0.1:{scripted.port}",
                    "BFF_LIVE__STREAM_KEYS": '["events:jobs:{p}"]',
                },
            )
            try:
                await asyncio.to_thread(wait_for_port, port, process=gateway.process)
                browser = await playwright.chromium.launch(
                    executable_path=program("chromium"), args=["--no-sandbox"]
                )
                yield Desk(site, keycloak, scripted, browser, client, logout_tokens)
                await browser.close()
            finally:
                gateway.kill()
    finally:
        await asyncio.to_thread(starting.__exit__, None, None, None)


async def by_session(person: Person) -> Mapping[str, str]:
    return await person.cookie()


# How a caller shows who they are: the headers of their request.
CREDENTIALS: dict[str, Callable[[Person], Awaitable[Mapping[str, str]]]] = {"browser session": by_session}


@pytest.mark.parametrize("credential", CREDENTIALS)
async def test_a_person_of_keycloak_is_known_by_name_mail_and_roles(desk: Desk, credential: str) -> None:
    async with desk.person() as ada, httpx.AsyncClient(trust_env=False, timeout=GUARD) as client:
        await ada.sign_in("ada")
        headers = await CREDENTIALS[credential](ada)
        user = (await client.get(f"{desk.site}/bff/user", headers=headers)).json()
        assert (user["iss"], user["name"], user["email"]) == (desk.issuer, "Ada Lovelace", "ada@example.org")
        assert user["roles"] == ["clerk"]


async def test_a_session_outlives_its_access_tokens_without_offline_access(desk: Desk) -> None:
    async with desk.person() as ada:
        await ada.sign_in("ada")
        seen, end = {await ada.upstream_token()}, time.monotonic() + GUARD
        while len(seen) < 3 and time.monotonic() < end:
            status, _ = await ada.fetch("/bff/user")
            assert status == 200
            seen.add(await ada.upstream_token())
            await asyncio.sleep(0.5)
        assert len(seen) == 3, "the access token was refreshed twice"


async def test_a_logout_here_ends_the_session_at_keycloak_and_comes_back(desk: Desk) -> None:
    async with desk.person() as ada:
        await ada.sign_in("ada")
        status, answer = await ada.fetch("/bff/logout", "POST")
        assert status == 200
        addresses: list[str] = []
        ada.page.on("request", lambda request: addresses.append(request.url))
        await ada.page.goto(desk.site + answer["redirect"])
        await ada.page.wait_for_url(f"{desk.site}/")
        [at_keycloak] = [one for one in addresses if "/protocol/openid-connect/logout" in one]
        assert {"id_token_hint", "client_id"} <= parse_qs(urlsplit(at_keycloak).query).keys()
        assert (await ada.fetch("/bff/user"))[0] == 401
        # Keycloak asks for the password again.
        await ada.page.goto(f"{desk.site}/bff/login")
        assert await ada.page.locator("input[name=password]").count() == 1


async def test_a_logout_by_an_administrator_ends_the_persons_streams_and_no_one_elses(desk: Desk) -> None:
    async with desk.person() as grace, desk.person() as ada:
        await grace.sign_in("grace")
        await ada.sign_in("ada")
        async with (
            httpx.AsyncClient(trust_env=False, timeout=GUARD) as client,
            client.stream("GET", f"{desk.site}/bff/live", headers=await grace.cookie()) as stream,
        ):
            lines = stream.aiter_lines()
            async with asyncio.timeout(GUARD):
                while not (await anext(lines)).startswith("event: snapshot"):
                    pass
            await desk.sign_out_at_keycloak("grace")
            async with asyncio.timeout(GUARD):
                left = "".join([line async for line in lines])
        assert '"reason":"logout"' in left.replace(" ", "")
        assert (await grace.fetch("/bff/user"))[0] == 401
        assert (await ada.fetch("/bff/user"))[0] == 200


async def test_roles_in_the_access_token_decide_for_a_browser_session(desk: Desk) -> None:
    async with desk.person() as ada, desk.person() as grace:
        await ada.sign_in("ada")
        await grace.sign_in("grace")
        # A role of the realm, and one of the client of the sign-in. The one of the API is that of another client.
        assert (await ada.fetch("/api/clerks"))[1]["roles"] == ["clerk", "editor"]
        assert (await ada.fetch("/api/editors"))[0] == 200
        assert (await ada.fetch("/api/auditors"))[0] == 403
        assert [(await grace.fetch(path))[0] for path in ("/api/clerks", "/api/editors")] == [403, 403]
        # Both have the scope that the sign-in asked for.
        assert [(await one.fetch("/api/notes"))[0] for one in (ada, grace)] == [200, 200]


async def test_the_access_tokens_of_a_client_and_of_a_person_open_a_guarded_screen(desk: Desk) -> None:
    for person in (None, "ada"):
        answer = await desk.ask("/api/notes", await desk.access_token(person=person, scope="desk.read"))
        assert answer.status_code == 200, answer.text
        rights = answer.json()
        assert rights["id"].startswith(f"{desk.issuer}|") and rights["client"] == "desk-cli"
        assert "desk.read" in rights["scopes"] and "auditor" in rights["roles"]


async def test_roles_of_the_realm_and_of_the_api_decide_for_a_token(desk: Desk) -> None:
    paths = ("/api/clerks", "/api/auditors", "/api/editors")

    async def statuses(person: str | None) -> list[int]:
        token = await desk.access_token(person=person)
        return [(await desk.ask(path, token)).status_code for path in paths]

    # `editor` is a role of another client, which the token lists, too.
    assert await statuses("ada") == [200, 200, 403]
    assert await statuses("grace") == [403, 403, 403]
    assert await statuses(None) == [403, 200, 403]


async def test_scopes_of_a_token_decide(desk: Desk) -> None:
    async def read_and_write(scope: str) -> tuple[int, int, str]:
        token = await desk.access_token(person="ada", scope=scope)
        headers = {"authorization": f"Bearer {token}", "idempotency-key": f'"{scope or "none"}"'}
        reply = await desk.client.post(f"{desk.site}/api/notes", json={"text": "x"}, headers=headers)
        return (
            (await desk.ask("/api/notes", token)).status_code,
            reply.status_code,
            reply.headers.get("www-authenticate", ""),
        )

    needed = 'Bearer error="insufficient_scope", scope="desk.read desk.write"'
    assert await read_and_write("") == (403, 403, needed)
    assert await read_and_write("desk.read") == (200, 403, needed)
    assert await read_and_write("desk.read desk.write") == (200, 200, "")


async def test_the_other_tokens_of_keycloak_are_refused_with_their_reasons(desk: Desk) -> None:
    ada = await desk.tokens(person="ada", scope="openid")
    assert await desk.reason(ada["id_token"]) == "audience"
    assert await desk.reason(ada["refresh_token"]) == "algorithm"
    loose = await desk.tokens("loose-cli", person="ada", scope="openid")
    assert await desk.reason(loose["id_token"]) == "no-mark", "its audience has the API"
    assert (await desk.ask("/api/rights", loose["access_token"])).status_code == 200
    for person in (None, "ada"):
        assert await desk.reason(await desk.access_token("bank-cli", person=person)) == "audience"
    await desk.sign_out_at_keycloak("ada")
    await until(lambda: bool(desk.logout_tokens))
    assert await desk.reason(desk.logout_tokens[-1]) == "type"


async def test_a_client_with_full_scope_gets_tokens_for_every_api_at_which_the_person_has_a_role(
    desk: Desk,
) -> None:
    async with desk.person() as ada, desk.person() as grace:
        await ada.sign_in("ada")
        await grace.sign_in("grace")
        # The sign-in's client has no scope for the API, but Ada has a role there.
        assert (await desk.ask("/api/auditors", await ada.upstream_token())).status_code == 200
        assert await desk.reason(await grace.upstream_token()) == "audience-unreadable"


async def test_a_token_of_another_realm_is_refused(desk: Desk) -> None:
    def of_master() -> str:
        with desk.keycloak.admin() as admin:
            return admin.headers["authorization"].removeprefix("Bearer ")

    assert await desk.reason(await asyncio.to_thread(of_master)) == "issuer"


async def test_a_token_is_refused_once_it_has_expired(desk: Desk) -> None:
    token = await desk.access_token("brief-cli")
    assert (await desk.ask("/api/rights", token)).status_code == 200

    async def is_refused() -> bool:
        # More requests in a minute than the gateway allows would be refused, too.
        await asyncio.sleep(0.25)
        return (await desk.ask("/api/rights", token)).status_code != 200

    await until(is_refused)
    assert await desk.reason(token) == "expired"


async def test_an_altered_token_is_refused(desk: Desk) -> None:
    for what, token, reason in altered(await desk.access_token(person="ada", scope="desk.read")):
        assert await desk.reason(token) == reason.code, what


async def test_a_lightweight_token_is_accepted_where_keycloak_is_asked_about_it(
    desk: Desk, redis_url: str
) -> None:
    token = await desk.access_token("light-cli", person="grace", scope="desk.read")
    assert await desk.reason(token) == "audience-unreadable"
    [settings] = load(documented("keycloak", "API clients", 1, login=desk.keycloak.url)).issuers
    assert settings.introspection is not None
    at_once = settings.introspection.model_copy(update={"believed": 0.0})
    settings = settings.model_copy(update={"introspection": at_once})
    loose = await desk.tokens("loose-cli", person="grace", scope="openid")
    async with gateway_running(
        redis_url, declared=declare_guarded, issuers=[settings], network=PATIENT
    ) as asking:

        async def ask(path: str, token: str) -> httpx.Response:
            return await asking.client.get(path, headers={"authorization": f"Bearer {token}"})

        rights = (await ask("/api/notes", token)).json()
        assert (rights["client"], rights["roles"]) == ("light-cli", ["guest"])
        assert (await ask("/api/clerks", token)).status_code == 403
        assert (await ask("/api/rights", loose["access_token"])).status_code == 200
        for other, reason in (("id_token", "no-mark"), ("refresh_token", "algorithm")):
            answer = await ask("/api/rights", loose[other])
            assert (answer.status_code, answer.json()["reason"]) == (401, reason)
        await desk.sign_out_at_keycloak("grace")
        ended = await ask("/api/rights", token)
        assert (ended.status_code, ended.json()["reason"]) == (401, "inactive")


async def test_a_bound_token_is_accepted_with_a_proof_and_not_without(desk: Desk) -> None:
    prover, url = Prover(), f"{desk.site}/api/notes"
    token = await desk.access_token(person="ada", scope="desk.read", prover=prover)

    async def proven(**claims: Any) -> httpx.Response:
        proof = prover.proof(token, "GET", url, time.time(), **claims)
        return await desk.client.get(url, headers={"authorization": f"DPoP {token}", "dpop": proof})

    first = await proven()
    assert (first.status_code, first.json()["code"]) == (401, "dpop-nonce")
    answer = await proven(nonce=first.headers["dpop-nonce"])
    assert answer.status_code == 200, answer.text
    assert await desk.reason(token) == "bound"
