"""Sign-in at a certified OpenID provider that we did not write (npm `oidc-provider`), through `bff serve`, by the
settings of docs/how-to/providers/oidc-provider.md alone."""

from __future__ import annotations

import asyncio
import html
import json
import re
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from ..conftest import ROOT, Valkey, free_port, start_program, wait_for_port
from ..waiting import GUARD
from .documented import documented
from .scripted import Scripted, upstream
from .test_signin import Browser

PACKAGE = ROOT / "tests" / "wire" / "oidc"
LIFE = 3
"""Seconds for which an access token is valid. It is refreshed when a third of that is left."""


@dataclass
class House:
    site: str
    issuer: str
    upstream: Scripted
    client: httpx.AsyncClient
    log: Path

    @asynccontextmanager
    async def person(self, sub: str) -> AsyncIterator[Person]:
        async with httpx.AsyncClient(trust_env=False, timeout=GUARD) as provider:
            yield Person(self, sub, Browser(self.client, self.site), provider)


@dataclass
class Person:
    """A person with a browser: `here` holds the gateway's cookies, `there` the provider's."""

    house: House
    sub: str
    here: Browser
    there: httpx.AsyncClient

    async def sign_in(self, path: str = "/bff/login?return=/orders") -> httpx.Response:
        to_provider = await self.here.get(path)
        assert to_provider.status_code == 303, to_provider.text
        answer = await self.there.get(to_provider.headers["location"])
        for _ in range(12):
            if answer.is_redirect:
                location = str(httpx.URL(self.house.issuer).join(answer.headers["location"]))
                if location.startswith(f"{self.house.site}/bff/callback"):
                    return await self.here.ask("GET", location, cross_site=True)
                answer = await self.there.get(location)
                continue
            assert answer.status_code == 200, answer.text
            answer = await self._press(answer.text, login=self.sub, password="any")
        raise AssertionError("the provider did not send the browser back")

    async def _press(self, page: str, **typed: str) -> httpx.Response:
        """Press the only button of a page's form."""
        action = re.search(r'<form[^>]* action="([^"]+)"', page)
        assert action is not None, page
        fields = dict(re.findall(r'<input[^>]*name="([^"]+)"[^>]*value="([^"]*)"', page)) | typed
        place = str(httpx.URL(self.house.issuer).join(html.unescape(action[1])))
        return await self.there.post(place, data=fields)

    async def token(self) -> str:
        """The access token that a service receives now."""
        answer = await self.here.get("/api/required/ok")
        assert answer.status_code == 200, answer.text
        return self.house.upstream.last.headers["authorization"].removeprefix("Bearer ")

    async def leave_provider(self, address: str) -> httpx.Response:
        """The provider's end-session page, confirmed."""
        asking = await self.there.get(address)
        assert asking.status_code == 200, asking.text
        return await self._press(asking.text, logout="yes")


# One provider and one gateway for all tests, because each takes seconds to start.
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(valkey_session: Valkey, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    if not (PACKAGE / "node_modules" / "oidc-provider").exists():
        raise RuntimeError(
            "the provider is not installed: `make test` installs it (npm ci in tests/wire/oidc)"
        )
    port, folder = free_port(), tmp_path_factory.mktemp("foreign")
    site = f"http://127.0.0.1:{port}"
    settings = documented("oidc-provider", "Browser sign-in")
    node = start_program(
        ["node", str(PACKAGE / "provider.mjs")],
        log=folder / "provider.log",
        env={
            "SITE": site,
            "CLIENT": settings["BFF_OIDC__CLIENT_ID"],
            "SECRET": settings["BFF_OIDC__CLIENT_SECRET"],
            "LIFE": str(LIFE),
        },
    )
    try:
        async with asyncio.timeout(GUARD):
            while not (said := re.search(r"^(http://\S+)\n", node.log.read_text(), re.M)):
                await asyncio.sleep(0.05)
        issuer = said[1]
        async with upstream() as scripted, httpx.AsyncClient(trust_env=False, timeout=GUARD) as client:
            program = start_program(
                [sys.executable, "-m", "bff", "serve", "tests.wire.guarded:served_roles"],
                log=folder / "log",
                env={
                    "BFF_PORT": str(port),
                    "BFF_ADMIN_PORT": str(free_port()),
                    "BFF_PUBLIC_URL": site,
                    "BFF_REDIS__URL": valkey_session.url,
                    "BFF_ISSUERS": json.dumps([{"issuer": issuer, "audience": "shop"}]),
                    **documented("oidc-provider", "Browser sign-in", id=issuer),
                    "BFF_ADMISSION__LAG": "10",
                    "BFF_REDIS__TIMEOUT": "10",
                    "BFF_UPSTREAMS__SHELF__URL": f"http://127.0.0.1:{scripted.port}",
                    "BFF_LIVE__STREAM_KEYS": '["events:jobs:{p}"]',
                },
            )
            try:
                await asyncio.to_thread(wait_for_port, port, process=program.process)
                yield House(site, issuer, scripted, client, node.log)
            finally:
                program.kill()
    finally:
        node.kill()


async def test_a_person_signs_in_and_out_at_a_foreign_provider(house: House) -> None:
    async with house.person("ada") as ada:
        landed = await ada.sign_in()
        assert landed.status_code == 200 and "url=/orders" in landed.text, landed.text
        user = (await ada.here.get("/bff/user")).json()
        assert (user["iss"], user["sub"], user["name"]) == (house.issuer, "ada", "Person ada")
        assert user["roles"] == ["customer"]

        # A service gets a token of the provider, and an API client may use it here.
        first = await ada.token()
        bearer = {"authorization": f"Bearer {first}"}
        answer = await house.client.get(f"{house.site}/bff/user", headers=bearer)
        assert (answer.status_code, answer.json()["sub"]) == (200, "ada"), answer.text

        # It is refreshed in time, with refresh tokens that are valid once, while many requests run at once.
        seen, end = {first}, time.monotonic() + GUARD
        while len(seen) < 3 and time.monotonic() < end:
            answers = await asyncio.gather(*(ada.here.get("/bff/user") for _ in range(10)))
            assert {one.status_code for one in answers} == {200}
            seen.add(await ada.token())
            await asyncio.sleep(0.2)
        assert len(seen) >= 3

        # The logout here leads to the provider, which takes the ID token as a hint and sends the browser back.
        onward = await ada.here.get((await ada.here.post("/bff/logout")).json()["redirect"])
        redirect = onward.headers["location"]
        assert redirect.startswith(f"{house.issuer}/session/end?")
        assert (await ada.here.get("/bff/user")).status_code == 401
        back = await ada.leave_provider(redirect)
        assert back.headers["location"] == f"{house.site}/"


async def test_roles_decide_for_a_browser_session(house: House) -> None:
    async with house.person("grace") as grace, house.person("ada") as ada:
        await grace.sign_in()
        await ada.sign_in()
        assert (await grace.here.get("/api/clerks")).json()["roles"] == ["clerk"]
        refused = await ada.here.get("/api/clerks")
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
        assert "clerk" in refused.json()["detail"]


async def test_a_logout_at_the_provider_ends_the_stream_here(house: House) -> None:
    async with house.person("grace") as grace, house.person("ada") as ada:
        await grace.sign_in()
        await ada.sign_in()
        cookie = {"cookie": f"__Host-bff={grace.here.jar['__Host-bff']}"}
        async with house.client.stream("GET", f"{house.site}/bff/live", headers=cookie) as stream:
            lines = stream.aiter_lines()
            async with asyncio.timeout(GUARD):
                while not (await anext(lines)).startswith("event: snapshot"):
                    pass
            await grace.leave_provider(f"{house.issuer}/session/end")
            began = time.monotonic()
            async with asyncio.timeout(GUARD):
                left = [line async for line in lines]
        assert '"reason":"logout"' in "".join(left).replace(" ", ""), house.log.read_text()
        print(
            f"\nthe stream ended {(time.monotonic() - began) * 1000:.0f} ms after the provider had answered"
        )
        assert (await grace.here.get("/bff/user")).status_code == 401
        assert (await ada.here.get("/bff/user")).status_code == 200, (
            "her new session at the provider is a different one"
        )
