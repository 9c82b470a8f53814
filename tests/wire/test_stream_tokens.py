"""Work for a person after their request has ended: it uses a token that is valid then, or is not done."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from bff import Call, Gateway, Principal, SagaStatus, Upstream
from bff.edge.access.session import COOKIE
from bff.edge.access.session_record import SessionKey
from bff.edge.app.build import App
from bff.edge.settings import Settings
from bff.live.control import CONTROL
from bff.stores.keys import redis_key
from bff.stores.revocations import RevocationStore

from ..unit.edge.access.issuing import ISSUER
from ..waiting import until
from .gateway import serving, token
from .oidc_provider import CLIENT, SECRET, OidcProvider
from .scripted import Asked, Scripted, upstream
from .served import listening, served
from .test_signin import Browser
from .upstream import http

AT = "2026-01-01T00:00:00Z"


class Jobs(Upstream, team="Jobs", contact="#jobs"):
    def of(self, owner: str) -> Call[list[SagaStatus]]:
        return self.get("/of", list[SagaStatus])


jobs = Jobs()


def declare() -> Gateway:
    gateway = Gateway("late", upstreams=(jobs,))
    gateway.saga("job", SagaStatus, restore=jobs.of)

    gateway.site(Path(__file__), paths=("/page",))

    @gateway.view("/api/mine")
    async def mine(who: Principal) -> str:
        return who.subject

    return gateway


class Bench:
    """A gateway with a saga to restore, its provider, and a service that accepts valid tokens only."""

    def __init__(self, site: str, provider: OidcProvider, service: Scripted, runtime: App) -> None:
        self.site = site
        self.provider = provider
        self.service = service
        self.runtime = runtime
        self.taken: set[str] = set()
        self.tried: list[str] = []
        service.answers["/of"] = self._answer

    async def _answer(self, asked: Asked, writer: asyncio.StreamWriter) -> None:
        given = asked.headers.get("authorization", "").removeprefix("Bearer ")
        self.tried.append(given)
        if given in self.taken:
            row = {"id": "j1", "type": "job", "status": "RUNNING", "version": 1, "at": AT}
            writer.write(http(200, json.dumps([row]).encode()))
        else:
            writer.write(http(401, b"{}"))


@asynccontextmanager
async def bench(redis_url: str) -> AsyncIterator[Bench]:
    sock, provider_sock = listening(), listening()
    site = f"http://127.0.0.1:{sock.getsockname()[1]}"
    provider = OidcProvider(f"{site}/bff/callback")
    provider.issuer = f"http://127.0.0.1:{provider_sock.getsockname()[1]}"
    gateway = declare()
    async with upstream() as service, served(provider.app, provider_sock):
        settings: dict[str, Any] = {
            "public_url": site,
            "redis": {"url": redis_url, "timeout": 10},
            "admission": {"lag": 10, "standing": 10},
            "upstreams": {
                "jobs": {"url": f"http://127.0.0.1:{service.port}", "breaker": {"failures": 1000}},
            },
            "issuers": [
                {"issuer": ISSUER, "audience": "shop", "jwks_uri": f"http://127.0.0.1:{service.port}/keys"}
            ],
            "oidc": {"issuer": provider.issuer, "client_id": CLIENT, "client_secret": SECRET},
        }
        runtime = await gateway.start(Settings.model_validate(settings))
        try:
            async with serving(gateway, sock, lifespan="off"):
                yield Bench(site, provider, service, runtime)
        finally:
            await gateway.stop()


async def events(lines: AsyncIterator[str]) -> AsyncIterator[tuple[str, Any]]:
    name = ""
    async for line in lines:
        if line.startswith("event:"):
            name = line[6:].strip()
        elif line.startswith("data:"):
            yield name, json.loads(line[5:])


async def up_to(last: str, told: AsyncIterator[tuple[str, Any]]) -> AsyncIterator[tuple[str, Any]]:
    async for name, data in told:
        yield name, data
        if name == last:
            return


async def test_a_journal_is_restored_with_a_token_that_is_valid_at_that_time(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bff.live.restore.LONGEST", 0.2)
    async with bench(redis_url) as here, httpx.AsyncClient(timeout=60) as client:
        here.provider.life = 2
        browser = Browser(client, here.site)
        await browser.sign_in()
        here.provider.life = 300
        cookie = {"cookie": f"{COOKIE}={browser.jar[COOKIE]}"}
        async with client.stream("GET", f"{here.site}/bff/live", headers=cookie) as stream:
            # The token from the time of connecting is not valid any more; the session has another one.
            here.taken = {"access-1"}
            told = [one async for one in up_to("snapshot", events(stream.aiter_lines()))]
        assert {name for name, _ in told[:-1]} <= {"beat"}
        assert [row["id"] for row in told[-1][1]["sagas"]] == ["j1"]
        assert here.tried[0] == "access-0" and here.tried[-1] == "access-1"
        assert len(here.provider.redeemed) == 1


async def test_a_stream_whose_session_expired_is_ended_and_not_restored(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bff.live.restore.LONGEST", 0.2)
    async with bench(redis_url) as here, httpx.AsyncClient(timeout=60) as client:
        browser = Browser(client, here.site)
        await browser.sign_in()
        cookie = {"cookie": f"{COOKIE}={browser.jar[COOKIE]}"}
        async with client.stream("GET", f"{here.site}/bff/live", headers=cookie) as stream:
            await until(lambda: len(here.tried) >= 1)
            key = SessionKey.read(browser.jar[COOKIE])
            assert key is not None
            # As at its idle end, which is not announced.
            await here.runtime.stores.redis.call("DEL", redis_key(f"session:{key.id}", "record"))
            got = [one async for one in events(stream.aiter_lines())]
        assert got[-1][0] == "bye" and got[-1][1]["reason"] == "logout"


async def test_restoring_a_journal_does_not_count_as_use_of_its_session(redis_url: str) -> None:
    async with bench(redis_url) as here, httpx.AsyncClient(timeout=60) as client:
        browser = Browser(client, here.site)
        await browser.sign_in()
        key = SessionKey.read(browser.jar[COOKIE])
        assert key is not None and here.runtime.identity.sessions is not None
        principal = await here.runtime.identity.sessions.principal(browser.jar[COOKIE])
        assert principal is not None
        record = redis_key(f"session:{key.id}", "record")
        await here.runtime.stores.redis.call("PEXPIRE", record, 100_000)
        assert (await here.runtime.identity.current(principal)).token == "access-0"
        assert await here.runtime.stores.redis.call("PTTL", record) <= 100_000
        await here.runtime.identity.sessions.principal(browser.jar[COOKIE])
        assert await here.runtime.stores.redis.call("PTTL", record) > 3_000_000


async def test_a_token_that_a_service_rejects_is_refreshed_once(redis_url: str) -> None:
    async with bench(redis_url) as here, httpx.AsyncClient(timeout=60) as client:
        browser = Browser(client, here.site)
        await browser.sign_in()
        sessions = here.runtime.identity.sessions
        assert sessions is not None
        principal = await sessions.principal(browser.jar[COOKIE])
        assert principal is not None and principal.token == "access-0"
        found = await asyncio.gather(*(sessions.current(principal, refused="access-0") for _ in range(20)))
        assert {one and one.token for one in found} == {"access-1"}
        assert len(here.provider.redeemed) == 1
        # A second refresh is not requested at once, whatever services answer.
        again = await sessions.current(principal, refused="access-1")
        assert again is not None and again.token == "access-1"
        assert len(here.provider.redeemed) == 1


# ---- between authentication and admission


async def bye_of(here: Bench, client: httpx.AsyncClient, headers: dict[str, str]) -> str:
    async with client.stream("GET", f"{here.site}/bff/live", headers=headers) as stream:
        assert stream.status_code == 200
        async for name, data in events(stream.aiter_lines()):
            if name == "bye":
                return str(data["reason"])
    return "none"


class Held:
    """Delays requests between authentication and the limit, as a slow Redis does."""

    def __init__(self, here: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        self.there, self.go = asyncio.Event(), asyncio.Event()
        spend = here.runtime.limits.spend

        async def held(*args: Any, **options: Any) -> dict[str, str]:
            self.there.set()
            await self.go.wait()
            return await spend(*args, **options)

        monkeypatch.setattr(here.runtime.limits, "spend", held)


@pytest.mark.parametrize("what", ["token", "subject"])
async def test_a_token_revoked_before_its_stream_is_admitted_opens_no_stream(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    async with bench(redis_url) as here, httpx.AsyncClient(timeout=60) as client:
        here.taken = {mine := token("ada", jti="the-one")}
        held = Held(here, monkeypatch)
        headers = {"authorization": f"Bearer {mine}"}
        opening = asyncio.ensure_future(bye_of(here, client, headers))
        await held.there.wait()
        store = RevocationStore(here.runtime.stores.redis)
        if what == "token":
            await store.revoke_token(ISSUER, "the-one", keep=600)
        else:
            await store.revoke_subject(ISSUER, "ada", keep=600)
        await until(
            lambda: bool(
                here.runtime.identity.revocations._tokens or here.runtime.identity.revocations._subjects
            )
        )
        held.go.set()
        async with asyncio.timeout(60):
            assert await opening == "logout"


@pytest.mark.parametrize("how", ["here", "elsewhere", "person"])
async def test_a_session_that_ends_before_its_stream_is_admitted_opens_no_stream(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    async with bench(redis_url) as here, httpx.AsyncClient(timeout=60) as client:
        browser = Browser(client, here.site)
        await browser.sign_in()
        cookie = {"cookie": f"{COOKIE}={browser.jar[COOKIE]}"}
        key = SessionKey.read(browser.jar[COOKIE])
        sessions = here.runtime.identity.sessions
        assert key is not None and sessions is not None
        held = Held(here, monkeypatch)
        opening = asyncio.ensure_future(bye_of(here, client, cookie))
        await held.there.wait()
        if how == "here":
            await sessions.end(browser.jar[COOKIE])
        elif how == "elsewhere":
            message = json.dumps({"end": "session", "session": key.id})
            await here.runtime.stores.redis.call("PUBLISH", CONTROL, message)
            await until(lambda: key.id in sessions._ended)
        else:
            store = RevocationStore(here.runtime.stores.redis)
            await store.revoke_subject(here.provider.issuer, "ada", keep=600)
            await until(lambda: bool(here.runtime.identity.revocations._subjects))
        held.go.set()
        async with asyncio.timeout(60):
            assert await opening == "logout"


async def test_revoking_a_person_ends_open_streams_and_sessions_without_an_index(
    redis_url: str,
) -> None:
    async with bench(redis_url) as here, httpx.AsyncClient(timeout=60) as client:
        browser = Browser(client, here.site)
        await browser.sign_in()
        cookie = {"cookie": f"{COOKIE}={browser.jar[COOKIE]}"}
        here.taken = {"access-0"}
        async with client.stream("GET", f"{here.site}/bff/live", headers=cookie) as stream:
            lines = events(stream.aiter_lines())
            assert [one async for one in up_to("snapshot", lines)]
            for index in await here.runtime.stores.redis.call("KEYS", redis_key("sub:*", "sessions")):
                await here.runtime.stores.redis.call("DEL", index)
            await RevocationStore(here.runtime.stores.redis).revoke_subject(
                here.provider.issuer, "ada", keep=600
            )
            left = [one async for one in lines]
        assert left[-1][0] == "bye" and left[-1][1]["reason"] == "logout"
        assert (await browser.get("/bff/user")).status_code == 401
        # Another sign-in is another session, although the person is the same.
        await browser.sign_in()
        assert (await browser.get("/bff/user")).status_code == 200
