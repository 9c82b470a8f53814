"""Sign-in with a real Keycloak and a real browser, by the settings of docs/how-to/providers/keycloak.md alone."""

from __future__ import annotations

import asyncio
import re
import shlex
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

from ..conftest import ROOT, Valkey, free_port, start_program, wait_for_port
from ..keycloak import PASSWORD, Keycloak, running
from ..programs import program
from ..waiting import GUARD
from .scripted import Scripted, upstream

PAGE = ROOT / "docs" / "how-to" / "providers" / "keycloak.md"
REALM = Path(__file__).parent / "keycloak" / "realm.json"
SECRET = "secret-of-the-client"

# One Keycloak for all tests, because it takes a minute to start.
pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


def documented(site: str, keycloak: str) -> dict[str, str]:
    """The settings of the page, with these addresses in place of its examples."""
    [block] = re.findall(r"```sh\n(BFF_PUBLIC_URL.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    text = block.replace("https://desk.example.org", site).replace("https://login.example.org", keycloak)
    return dict(shlex.split(line)[0].split("=", 1) for line in text.splitlines())


@dataclass
class Desk:
    """The gateway of the page, with a real Keycloak and an upstream."""

    site: str
    keycloak: Keycloak
    upstream: Scripted
    browser: Browser

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
    starting = running(REALM, folder / "keycloak.log", {"SITE": site, "CLIENT_SECRET": SECRET})
    keycloak = await asyncio.to_thread(starting.__enter__)
    try:
        async with upstream() as scripted, async_playwright() as playwright:
            gateway = start_program(
                [sys.executable, "-m", "bff", "serve", "tests.wire.gateway:served"],
                log=folder / "gateway.log",
                env={
                    **documented(site, keycloak.url),
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
                yield Desk(site, keycloak, scripted, browser)
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
