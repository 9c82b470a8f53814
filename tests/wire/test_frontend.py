"""A frontend server that renders pages: the Node programs of docs/how-to/render-on-the-server.md in front of a gateway,
with people who have signed in; and what attackers get with a cookie or a secret alone."""

from __future__ import annotations

import asyncio
import html
import json
import logging
import re
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from bff import Call, Gateway, Principal, Reply, SetCookie, Upstream
from bff.edge.access.session import COOKIE
from bff.edge.settings import Settings

from ..conftest import ROOT, start_program
from ..waiting import GUARD
from .oidc_provider import CLIENT, SECRET, OidcProvider
from .own_connection import behind_own_connection
from .scripted import Scripted, upstream
from .served import listening, served
from .test_signin import Browser

GUIDE = ROOT / "docs" / "how-to" / "render-on-the-server.md"
OLD, NEW = "old-secret-" + "o" * 32, "new-secret-" + "n" * 32
PERSON = {"x-forwarded-for": "192.0.2.7"}
PAGE = {"sec-fetch-site": "same-origin", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
LONG = "long " * 1000


class Thing(BaseModel):
    name: str


class Shelf(Upstream, team="Shelf", contact="#shelf"):
    def thing(self) -> Call[Thing]:
        return self.get("/things/ok", Thing)

    def slow(self) -> Call[Thing]:
        return self.get("/things/silent", Thing)


shelf = Shelf()


class Wish(BaseModel):
    name: str


def declare() -> Gateway:
    gateway = Gateway("pages", deadline=GUARD)

    @gateway.view("/api/me")
    async def me(who: Principal) -> Thing:
        return Thing(name=f"{who.subject} {(await shelf.thing()).name} {LONG}")

    @gateway.view("/api/news", public=True, limit="2/hour")
    async def news() -> Thing:
        return Thing(name="<news>")

    @gateway.view("/api/visit", public=True)
    async def visit() -> Reply[Thing]:
        return Reply(Thing(name="seen"), cookies=(SetCookie("visited", "1"),))

    @gateway.view("/api/slow", deadline=0.2)
    async def slow() -> Thing:
        return await shelf.slow()

    gateway.forward("/api/files/{name}", shelf, "/things/{name}")

    @gateway.command("/api/me")
    async def wish(wish: Wish, who: Principal) -> Thing:
        return Thing(name=f"{who.subject} wishes {wish.name}")

    return gateway


@dataclass
class House:
    """A gateway with a provider and a service. site: where browsers and frontend servers reach it."""

    site: str
    provider: OidcProvider
    service: Scripted
    client: httpx.AsyncClient

    async def person(self) -> dict[str, str]:
        """The Cookie header of somebody who has signed in."""
        browser = Browser(self.client, self.site)
        await browser.sign_in()
        return {"cookie": f"{COOKIE}={browser.jar[COOKIE]}"}

    async def get(self, path: str, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.get(self.site + path, headers=named)

    async def write(self, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        named |= {"idempotency-key": str(uuid.uuid4()), "content-type": "application/json"}
        return await self.client.post(f"{self.site}/api/me", content=b'{"name":"x"}', headers=named)


@asynccontextmanager
async def house(
    redis_url: str, *, networks: list[str] | None = None, declared: Callable[[], Gateway] = declare
) -> AsyncIterator[House]:
    sock, provider_sock = listening(), listening()
    site = f"http://127.0.0.1:{sock.getsockname()[1]}"
    provider = OidcProvider(f"{site}/bff/callback")
    provider.issuer = f"http://127.0.0.1:{provider_sock.getsockname()[1]}"
    async with upstream() as service, served(provider.app, provider_sock):
        settings: dict[str, Any] = {
            "public_url": site,
            "redis": {"url": redis_url, "timeout": 10},
            "admission": {"lag": 10, "standing": 10},
            "upstreams": {"shelf": {"url": f"http://127.0.0.1:{service.port}", "timeout": GUARD}},
            "oidc": {"issuer": provider.issuer, "client_id": CLIENT, "client_secret": SECRET},
            "http": {
                "frontends": {"web": {"secrets": [NEW, OLD], "networks": networks or ["127.0.0.0/8"]}},
            },
        }
        gateway = declared()
        runtime = await gateway.start(Settings.model_validate(settings))
        # On a busy machine the limit must not be counted locally.
        runtime.limits._store._wait = GUARD
        try:
            async with (
                behind_own_connection(gateway, runtime, sock),
                httpx.AsyncClient(trust_env=False, timeout=GUARD) as client,
            ):
                yield House(site, provider, service, client)
        finally:
            await gateway.stop()


@asynccontextmanager
async def frontend(house: House, folder: Path, secret: str = NEW) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the guide's server."""
    programs = re.findall(r"^```js\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    for name, program in zip(("gateway.mjs", "server.mjs"), programs, strict=False):
        (folder / name).write_text(program, encoding="utf-8")
    node = start_program(
        ["node", str(folder / "server.mjs")],
        log=folder / "frontend.log",
        env={"GATEWAY": house.site, "FRONTEND_SECRET": secret, "PORT": "0"},
    )
    try:
        async with asyncio.timeout(GUARD):
            while not (port := re.match(r"(\d+)\n", node.log.read_text())):
                await asyncio.sleep(0.02)
        url = f"http://127.0.0.1:{port[1]}"
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=GUARD) as client:
            yield client
    finally:
        node.kill()


def shown(page: httpx.Response) -> Any:
    """The screen, or the problem, that a page shows."""
    found = re.search(r"<pre>(.*?)</pre>", page.text, re.DOTALL)
    assert found is not None, page.text
    return json.loads(html.unescape(found[1]))


def key_of(page: httpx.Response) -> str:
    found = re.search(r'name="key" value="([^"]+)"', page.text)
    assert found is not None, page.text
    return found[1]


async def test_a_page_shows_the_screens_of_the_person_whose_request_it_answers(
    redis_url: str, tmp_path: Path
) -> None:
    async with house(redis_url) as here, frontend(here, tmp_path) as pages:
        ada = await here.person()
        here.provider.subject = "bruno"
        bruno = await here.person()
        for cookie, name in ((ada, "ada"), (bruno, "bruno"), (ada, "ada")):
            page = await pages.get("/me", headers=cookie | PAGE | PERSON)
            assert page.status_code == 200, page.text
            assert shown(page)["name"].startswith(f"{name} ok ")
            assert page.headers["cache-control"] == "private, no-store"
        nobody = await pages.get("/me", headers=PAGE | PERSON)
        assert (nobody.status_code, nobody.headers["location"]) == (303, "/bff/login?return=%2Fme")
        assert "<pre>" not in nobody.text


async def test_a_form_of_the_page_sends_one_command_however_often_it_is_sent(
    redis_url: str, tmp_path: Path
) -> None:
    async with house(redis_url) as here, frontend(here, tmp_path) as pages:
        cookie = await here.person()
        page = await pages.get("/me", headers=cookie | PAGE)
        form = {"name": "tea", "key": key_of(page)}
        own = cookie | PAGE | {"origin": here.site}
        first, again = [await pages.post("/me", data=form, headers=own) for _ in range(2)]
        assert (first.status_code, shown(first)) == (200, {"name": "ada wishes tea"})
        assert shown(again) == shown(first)
        changed = await pages.post("/me", data=form | {"name": "coffee"}, headers=own)
        assert shown(changed)["code"] == "idempotency-mismatch"


@pytest.mark.parametrize(
    "sent",
    [
        {"origin": "https://evil.test", "sec-fetch-site": "cross-site"},
        {"origin": "http://sibling.test", "sec-fetch-site": "same-site"},
        {"origin": "null"},
        {"sec-fetch-site": "none"},
        {},
    ],
    ids=str,
)
async def test_a_form_of_another_sites_page_is_refused_through_the_frontend_server_as_well(
    redis_url: str, tmp_path: Path, sent: dict[str, str]
) -> None:
    async with house(redis_url) as here, frontend(here, tmp_path) as pages:
        form = {"name": "money", "key": str(uuid.uuid4())}
        refused = await pages.post("/me", data=form, headers=await here.person() | sent)
        assert (refused.status_code, shown(refused)["code"]) == (403, "csrf")


async def test_visitors_have_the_limits_of_their_own_addresses(redis_url: str, tmp_path: Path) -> None:
    async with house(redis_url) as here, frontend(here, tmp_path) as pages:
        # What the browser itself wrote is before the address of the proxy in front of the server.
        visitors = ["192.0.2.1", "192.0.2.9, 192.0.2.2"]
        statuses = [
            [(await pages.get("/news", headers={"x-forwarded-for": one})).status_code for _ in range(3)]
            for one in visitors
        ]
        assert statuses == [[200, 200, 429]] * 2
        spoofed = await pages.get("/news", headers={"x-forwarded-for": "192.0.2.77, 192.0.2.2"})
        assert spoofed.status_code == 429
        page = await pages.get("/news", headers={"x-forwarded-for": "192.0.2.9"})
        assert (page.status_code, shown(page)) == (200, {"name": "<news>"})


async def test_the_trace_and_the_id_of_a_page_reach_the_services(redis_url: str, tmp_path: Path) -> None:
    async with house(redis_url) as here, frontend(here, tmp_path) as pages:
        id, trace = str(uuid.uuid4()), uuid.uuid4().hex
        ids = {"x-correlation-id": id, "traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
        await pages.get("/me", headers=await here.person() | ids)
        asked = here.service.last.headers
        assert asked["x-correlation-id"] == id and asked["traceparent"].split("-")[1] == trace
        assert not {"bff-frontend", "bff-client-address", "cookie"} & asked.keys()
        assert NEW not in str(asked)


async def test_cookies_of_a_screen_reach_the_browser(redis_url: str, tmp_path: Path) -> None:
    async with house(redis_url) as here, frontend(here, tmp_path) as pages:
        page = await pages.get("/visit")
        assert [line.partition(";")[0] for line in page.headers.get_list("set-cookie")] == ["visited=1"]


async def test_a_slow_service_is_a_page_that_names_the_problem(redis_url: str, tmp_path: Path) -> None:
    async with house(redis_url) as here, frontend(here, tmp_path) as pages:
        page = await pages.get("/slow", headers=await here.person())
        assert (page.status_code, shown(page)["code"]) == (504, "timeout")


async def test_a_secret_is_changed_without_an_interruption_and_an_unknown_one_shows_nothing(
    redis_url: str, tmp_path: Path
) -> None:
    async with house(redis_url) as here:
        cookie = await here.person()
        for number, (secret, status) in enumerate(((OLD, 200), (NEW, 200), ("x" * 40, 403))):
            folder = tmp_path / str(number)
            folder.mkdir()
            async with frontend(here, folder, secret) as pages:
                page = await pages.get("/me", headers=cookie)
                assert page.status_code == status
        assert shown(page)["code"] == "invalid-frontend"


# ---- without the server -----------------------------------------------------------------------------------------


async def test_a_stolen_cookie_without_the_identity_gets_what_it_got_before(redis_url: str) -> None:
    async with house(redis_url) as here:
        cookie = (await here.person())["cookie"]
        answer = await here.get("/api/me", cookie=cookie)
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "private, no-cache"
        assert "content-encoding" not in answer.headers
        assert (await here.write(cookie=cookie)).status_code == 403
        assert (await here.write(cookie=cookie, x_bff="1", sec_fetch_site="same-site")).status_code == 403
        # An address that it makes up does not count.
        statuses = [
            (await here.get("/api/news", bff_client_address=f"192.0.2.{number}")).status_code
            for number in range(3)
        ]
        assert statuses == [200, 200, 429]


async def test_the_identity_without_a_cookie_is_nobody(redis_url: str) -> None:
    async with house(redis_url) as here:
        read = await here.get("/api/me", bff_frontend=NEW)
        assert (read.status_code, read.json()["code"]) == (401, "unauthenticated")
        stream = await here.get("/bff/live", bff_frontend=NEW)
        assert stream.status_code == 401
        written = await here.write(bff_frontend=NEW, x_bff="1", origin=here.site)
        assert (written.status_code, written.json()["code"]) == (401, "unauthenticated")
        assert (await here.get("/bff/user?anonymous=1", bff_frontend=NEW)).json() is None


async def test_the_identity_changes_the_answers_to_a_cookie_in_two_ways_only(
    redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "bff.access")
    async with house(redis_url) as here:
        cookie = (await here.person())["cookie"]
        plain = await here.get("/api/me", cookie=cookie)
        known = await here.get("/api/me", cookie=cookie, bff_frontend=NEW)
        assert known.json() == plain.json()
        asked = [vars(one)["fields"] for one in caplog.records if one.name == "bff.access"][-2:]
        assert [one.get("frontend") for one in asked] == [None, "web"]
        assert NEW not in caplog.text
        assert known.headers["cache-control"] == "no-store"
        assert known.headers["content-encoding"] in ("gzip", "br", "zstd")
        # Not even with the identity does a write need less.
        assert (await here.write(cookie=cookie, bff_frontend=NEW)).status_code == 403
        assert (await here.write(cookie=cookie, bff_frontend=NEW, x_bff="1")).status_code == 403
        fine = await here.write(cookie=cookie, bff_frontend=NEW, x_bff="1", origin=here.site)
        assert fine.status_code == 200
        public = await here.get("/api/news", bff_frontend=NEW)
        assert public.headers["cache-control"] != "no-store"


async def test_the_secret_from_another_network_or_from_a_browser_is_refused(redis_url: str) -> None:
    async with house(redis_url, networks=["10.0.0.0/8"]) as here:
        cookie = (await here.person())["cookie"]
        refused = await here.get("/api/me", cookie=cookie, bff_frontend=NEW)
        assert (refused.status_code, refused.json()["code"]) == (403, "invalid-frontend")
        # What the client says about its address does not help.
        for header in ("x_forwarded_for", "bff_client_address", "forwarded"):
            again = await here.get("/api/me", cookie=cookie, bff_frontend=NEW, **{header: "10.1.1.1"})
            assert again.status_code == 403
    async with house(redis_url) as here:
        cookie = (await here.person())["cookie"]
        browser = await here.get("/api/me", cookie=cookie, bff_frontend=NEW, sec_fetch_dest="empty")
        assert (browser.status_code, browser.json()["code"]) == (403, "invalid-frontend")
        assert NEW not in browser.text
