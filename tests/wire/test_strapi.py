"""A real Strapi 5 behind the gateway: its API token comes from the settings, its answers are cached, and its webhook
reports what editors change, so that it is on the screen and on the live stream at once.

Everything is done through Strapi's own HTTP interfaces, as its admin panel does it.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from ..conftest import ROOT, Program, Valkey, free_port, start_program, wait_for_port
from ..postgres import PostgresServer
from ..unit.edge.access.issuing import ISSUER
from ..waiting import GUARD, until
from .gateway import bearer
from .scripted import upstream

PACKAGE = ROOT / "tests" / "wire" / "strapi"
SECRET = "the-token-of-this-webhook-1"
EVENTS = ["entry.publish", "entry.unpublish", "entry.delete"]
GONE = "(gone)"
MODEL = "/content-manager/collection-types/api::article.article"

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


class Strapi:
    """A Strapi with an administrator. api: a client of its admin's interfaces; token: of its API, for reading; webhook:
    the id of the one to the gateway."""

    def __init__(self, folder: Path, database: str, api: httpx.AsyncClient, port: int) -> None:
        self.api = api
        self.port = port
        self.token = ""
        self.webhook = ""
        self._folder = folder
        self._database = database
        self._program: Program | None = None

    async def start(self) -> None:
        application = self._folder / "application"
        application.mkdir(exist_ok=True)
        self._program = start_program(
            ["node", str(PACKAGE / "server.mjs")],
            log=self._folder / "strapi.log",
            env={
                "FOLDER": str(application),
                "PORT": str(self.port),
                "DATABASE": self._database,
                "SEED": "the same at each start",
                # In production Strapi refuses webhooks to this machine.
                "NODE_ENV": "test",
                "STRAPI_TELEMETRY_DISABLED": "true",
            },
        )
        await asyncio.to_thread(wait_for_port, self.port, process=self._program.process)

    def kill(self) -> None:
        if self._program is not None:
            self._program.kill()

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        answer = await self.api.request(method, path, json=body)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    async def prepare(self, gateway: str) -> None:
        """As a person sets it up: an administrator, an API token that may read, and a webhook to the gateway."""
        ada = {"firstname": "Ada", "lastname": "L", "email": "ada@magazine.test", "password": "Passw0rd!"}
        registered = await self.ask("POST", "/admin/register-admin", ada)
        self.api.headers["authorization"] = f"Bearer {registered['data']['token']}"
        made = await self.ask(
            "POST", "/admin/api-tokens", {"name": "gateway", "type": "read-only", "lifespan": None}
        )
        self.token = made["data"]["accessKey"]
        hook = {
            "name": "gateway",
            "url": f"{gateway}/bff/changes/cms",
            "headers": {"Authorization": f"Bearer {SECRET}"},
            "events": EVENTS,
        }
        self.webhook = (await self.ask("POST", "/admin/webhooks", hook))["data"]["id"]

    async def draft(self, title: str, **fields: Any) -> str:
        """A new article that is not published; returns its document id."""
        made = await self.ask("POST", MODEL, {"title": title, **fields})
        return str(made["data"]["documentId"])

    async def publish(self, id: str, title: str) -> None:
        await self.ask("POST", f"{MODEL}/{id}/actions/publish", {"title": title})


@dataclass
class Magazine:
    """A gateway in front of a Strapi. issuer: the port of the issuer's keys."""

    strapi: Strapi
    client: httpx.AsyncClient
    folder: Path
    redis_url: str
    issuer: int

    async def title(self, id: str) -> str:
        answer = await self.client.get(f"/api/articles/{id}")
        assert answer.status_code == 200, answer.text
        return str(answer.json()["data"]["title"])

    async def is_cached(self, id: str) -> bool:
        answer = await self.client.get(f"/api/articles/{id}")
        return 'desc="hit"' in answer.headers.get("server-timing", "")

    def reports(self) -> int:
        """How many reports of changes the gateway has received."""
        return (self.folder / "gateway.log").read_text().count("POST /bff/changes/cms 204")

    async def titles(self) -> list[str]:
        answer = await self.client.get("/api/articles")
        assert answer.status_code == 200, answer.text
        return [one["title"] for one in answer.json()["data"]]


@asynccontextmanager
async def running_strapi(folder: Path, database: str) -> AsyncIterator[Strapi]:
    if not (PACKAGE / "node_modules" / "@strapi" / "strapi").exists():
        raise RuntimeError(
            "Strapi is not installed: `make test-slow` installs it (npm ci in tests/wire/strapi)"
        )
    port = free_port()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=GUARD) as api:
        strapi = Strapi(folder, database, api, port)
        try:
            await strapi.start()
            yield strapi
        finally:
            strapi.kill()


@asynccontextmanager
async def running_gateway(
    folder: Path, redis_url: str, strapi: Strapi, issuer: int, port: int, token: str
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of `bff serve` with these settings. issuer: the port of the issuer's keys; token: of Strapi's API."""
    site = f"http://127.0.0.1:{port}"
    keys = f"http://127.0.0.1:{issuer}/keys"
    program = start_program(
        [sys.executable, "-m", "bff", "serve", "tests.wire.magazine:magazine"],
        log=folder / "gateway.log",
        env={
            "BFF_PORT": str(port),
            "BFF_ADMIN_PORT": str(free_port()),
            "BFF_PUBLIC_URL": site,
            "BFF_REDIS__URL": redis_url,
            "BFF_REDIS__TIMEOUT": "10",
            "BFF_ADMISSION__LAG": "10",
            "BFF_ISSUERS": json.dumps([{"issuer": ISSUER, "audience": "shop", "jwks_uri": keys}]),
            # A busy machine makes Strapi slow.
            "BFF_UPSTREAMS__CMS__TIMEOUT": "30",
            "BFF_UPSTREAMS__CMS__URL": f"http://127.0.0.1:{strapi.port}",
            "BFF_UPSTREAMS__CMS__IDENTITY": "none",
            "BFF_UPSTREAMS__CMS__HEADERS": json.dumps({"authorization": f"Bearer {token}"}),
            "BFF_WEBHOOKS__CMS__PROOF": "token",
            "BFF_WEBHOOKS__CMS__SECRET": SECRET,
            "BFF_WEBHOOKS__CMS__EVENTS": json.dumps(EVENTS),
        },
    )
    try:
        await asyncio.to_thread(wait_for_port, port, process=program.process)
        async with httpx.AsyncClient(base_url=site, trust_env=False, timeout=GUARD) as client:
            yield client
    finally:
        program.kill()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def magazine(
    valkey_session: Valkey, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Magazine]:
    """One Strapi and one gateway for all tests here: each takes seconds to start."""
    folder = tmp_path_factory.mktemp("strapi")
    cluster = Path(tempfile.mkdtemp(prefix="strapi-pg-"))
    postgres = PostgresServer(cluster)
    try:
        await asyncio.to_thread(postgres.make)
        postgres.add("strapi")
        async with running_strapi(folder, postgres.address("strapi")) as strapi, upstream() as issuer:
            port = free_port()
            site = f"http://127.0.0.1:{port}"
            await strapi.prepare(site)
            async with running_gateway(
                folder, valkey_session.url, strapi, issuer.port, port, strapi.token
            ) as client:
                yield Magazine(strapi, client, folder, valkey_session.url, issuer.port)
    finally:
        postgres.stop()
        shutil.rmtree(cluster, ignore_errors=True)


@asynccontextmanager
async def following(magazine: Magazine, id: str) -> AsyncIterator[dict[str, int]]:
    """A stream with this article. Yields the versions that it has sent, by title or GONE."""
    versions: dict[str, int] = {}

    async def follow() -> None:
        path = f"/bff/live?value=article/{id}"
        async with magazine.client.stream("GET", path, headers=bearer()) as answer:
            assert answer.status_code == 200
            async for line in answer.aiter_lines():
                if not line.startswith("data: "):
                    continue
                data = json.loads(line.removeprefix("data: "))
                for value in data.get("values", [data] if "version" in data else []):
                    title = GONE if value.get("gone") else value["data"]["data"]["title"]
                    versions[title] = value["version"]

    stream = asyncio.create_task(follow())
    try:
        yield versions
    finally:
        stream.cancel()
        await asyncio.wait([stream])


async def published(magazine: Magazine, title: str) -> str:
    """An article that is published and on the screen; returns its document id."""
    id = await magazine.strapi.draft(title)
    await magazine.strapi.publish(id, title)
    await until(lambda: shown(magazine, id, title))
    return id


async def shown(magazine: Magazine, id: str, title: str) -> bool:
    answer = await magazine.client.get(f"/api/articles/{id}")
    return answer.status_code == 200 and answer.json()["data"]["title"] == title


async def test_what_is_edited_and_published_is_on_the_screen_although_it_was_cached_for_an_hour(
    magazine: Magazine,
) -> None:
    id = await published(magazine, "Spring")
    assert "Spring" in await magazine.titles()
    # The report of the first publication may arrive after the first request.
    await until(lambda: magazine.is_cached(id))
    await magazine.strapi.publish(id, "Summer")
    await until(lambda: shown(magazine, id, "Summer"))
    titles = await magazine.titles()
    assert "Summer" in titles and "Spring" not in titles


async def test_a_draft_is_not_shown_and_saving_it_changes_nothing_on_the_screen(magazine: Magazine) -> None:
    secret = await magazine.strapi.draft("Not yet")
    id = await published(magazine, "Public")
    await magazine.strapi.ask("PUT", f"{MODEL}/{id}", {"title": "Being written"})
    assert (await magazine.client.get(f"/api/articles/{secret}")).status_code == 404
    assert await magazine.title(id) == "Public"
    titles = await magazine.titles()
    assert "Public" in titles and not {"Not yet", "Being written"} & set(titles)


async def test_an_article_that_is_withdrawn_leaves_the_screen(magazine: Magazine) -> None:
    id = await published(magazine, "Withdrawn")
    assert "Withdrawn" in await magazine.titles()
    await magazine.strapi.ask("POST", f"{MODEL}/{id}/actions/unpublish", {})

    async def gone() -> bool:
        return (await magazine.client.get(f"/api/articles/{id}")).status_code == 404

    await until(gone)
    assert "Withdrawn" not in await magazine.titles()


async def test_what_is_published_is_announced_on_an_open_stream(magazine: Magazine) -> None:
    id = await published(magazine, "Morning")
    async with following(magazine, id) as versions:
        await until(lambda: "Morning" in versions)
        await magazine.strapi.publish(id, "Evening")
        await until(lambda: "Evening" in versions)
        assert versions["Evening"] > versions["Morning"]


async def test_what_is_unpublished_is_gone_on_an_open_stream_and_comes_back(magazine: Magazine) -> None:
    id = await published(magazine, "Draft again")
    async with following(magazine, id) as versions:
        await until(lambda: "Draft again" in versions)
        await magazine.strapi.ask("POST", f"{MODEL}/{id}/actions/unpublish", {})
        await until(lambda: GONE in versions)
        assert versions[GONE] == versions["Draft again"]
        async with following(magazine, id) as late:
            await until(lambda: GONE in late)
            assert "Draft again" not in late
        await magazine.strapi.publish(id, "Once more")
        await until(lambda: "Once more" in versions)


async def test_what_is_deleted_is_gone_on_an_open_stream(magazine: Magazine) -> None:
    id = await published(magazine, "Mistake")
    async with following(magazine, id) as versions:
        await until(lambda: "Mistake" in versions)
        await magazine.strapi.ask("DELETE", f"{MODEL}/{id}")
        await until(lambda: GONE in versions)


async def test_what_is_deleted_while_nobody_follows_it_is_not_on_the_next_stream(magazine: Magazine) -> None:
    id = await published(magazine, "Unread")
    async with following(magazine, id) as versions:
        await until(lambda: "Unread" in versions)
    await magazine.strapi.ask("DELETE", f"{MODEL}/{id}")

    async def withdrawn() -> bool:
        return (await magazine.client.get(f"/api/articles/{id}")).status_code == 404

    await until(withdrawn)

    async def empty() -> bool:
        path = f"/bff/live/snapshot?value=article/{id}"
        answer = await magazine.client.get(path, headers=bearer())
        return answer.status_code == 200 and answer.json()["values"] == []

    await until(empty)


async def test_strapis_own_test_of_the_webhook_succeeds(magazine: Magazine) -> None:
    tried = await magazine.strapi.ask("POST", f"/admin/webhooks/{magazine.strapi.webhook}/trigger")
    assert tried["data"]["statusCode"] == 204


async def test_a_wrong_token_is_a_problem_that_names_who_owns_the_service(magazine: Magazine) -> None:
    async with running_gateway(
        magazine.folder, magazine.redis_url, magazine.strapi, magazine.issuer, free_port(), "wrong"
    ) as client:
        answer = await client.get("/api/uncached")
    assert answer.status_code == 502
    problem = answer.json()
    assert (problem["code"], problem["owner"]["team"], problem["owner"]["contact"]) == (
        "refused",
        "Editors",
        "#editors",
    )
    assert "wrong" not in answer.text and "Missing or invalid credentials" not in answer.text


async def test_while_strapi_is_away_the_cached_article_is_shown_and_afterwards_the_new_one(
    magazine: Magazine,
) -> None:
    reports = magazine.reports()
    id = await published(magazine, "Before")
    # What was asked for before the report of the publication is not cached.
    await until(lambda: magazine.reports() > reports)
    await until(lambda: magazine.is_cached(id))
    first = (await magazine.client.get("/api/front")).json()
    assert first["headline"]["state"] == "ready"
    magazine.strapi.kill()
    try:
        # Fresh for an hour: no request needs Strapi.
        assert await magazine.title(id) == "Before"
        # Not fresh: the part says how old it is.
        stale = (await magazine.client.get("/api/front")).json()
        assert stale["headline"]["state"] == "stale"
        assert stale["headline"]["data"] == first["headline"]["data"]
        required = await magazine.client.get("/api/uncached")
        assert required.status_code in (502, 503) and required.json()["owner"]["team"] == "Editors"
    finally:
        await magazine.strapi.start()
    await magazine.strapi.publish(id, "After")
    await until(lambda: shown(magazine, id, "After"))
