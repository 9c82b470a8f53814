"""Every route of a gateway that uses everything, requested by every kind of caller."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from bff import Gateway, Principal, Reply
from bff.edge.app.build import App
from bff.edge.settings import Settings

from ..unit.edge.access.issuing import ISSUER, claims, sign
from .gateway import Cart, Job, Thing, Who, serving, shelf
from .matrix import CALLERS, SIGN_IN, UNSAFE, Example, asked, declared, expected, routes, wrongs
from .oidc_provider import CLIENT, SECRET, OidcProvider
from .scripted import KEY, Asked, upstream
from .served import listening, served
from .test_signin import Browser
from .upstream import http

HERE = Path(__file__).parent
HOOK = "a-secret-of-many-letters"


def everything(settings: Settings | None = None) -> Gateway:
    """Each kind of declared requirement, once."""
    gateway = Gateway("everything", scopes=("shop",), deadline=2, settings=settings)
    job = gateway.saga("job", Job)
    gateway.value("level/{sku}", Thing, public=True)
    gateway.value("mine/{owner}", Thing)
    gateway.site(HERE / "upstream.py", paths=("/", "/page/{id}"), folders={"/assets": HERE})

    @gateway.view("/api/public", public=True)
    async def public() -> Thing:
        return Thing(name="public")

    @gateway.view("/api/greeting", public=True)
    async def greeting(who: Principal | None) -> Who:
        return Who(id=who.id if who else None)

    @gateway.view("/api/private")
    async def private() -> Thing:
        return Thing(name="private")

    @gateway.view("/api/anybody", scopes=())
    async def anybody() -> Thing:
        return Thing(name="any signed-in person")

    @gateway.view("/api/me")
    async def me(who: Principal) -> Who:
        return Who(id=who.id)

    @gateway.view("/api/audit", scopes=("shop", "audit"))
    async def audit() -> Thing:
        return Thing(name="audit")

    @gateway.view("/api/staff/{id}", roles=("staff", "admin"))
    async def staff(id: str) -> Thing:
        return Thing(name=id)

    @gateway.command("/api/things")
    async def make() -> Thing:
        return Thing(name="made")

    @gateway.command("/api/staff/{id}", scopes=("audit",), roles=("staff",))
    async def manage(id: str) -> Thing:
        return Thing(name=id)

    @gateway.command("/api/staff/{id}", method="PUT", roles=("staff",))
    async def replace_staff(id: str) -> Thing:
        return Thing(name=id)

    @gateway.command("/api/staff/{id}", method="PATCH", scopes=("audit",))
    async def change_staff(id: str) -> Thing:
        return Thing(name=id)

    @gateway.command("/api/staff/{id}", method="DELETE", scopes=("audit",), roles=("staff",))
    async def remove_staff(id: str) -> Reply[Thing]:
        return Reply(Thing(name=id))

    gateway.forward(
        "/api/files/{path:path}", shelf, "/files/{path}", methods=("GET", *UNSAFE), roles=("staff",)
    )
    gateway.forward("/api/pictures/{name}", shelf, "/pictures/{name}", public=True)

    @gateway.command("/api/jobs", starts=job)
    async def begin(cart: Cart) -> Job:
        return await shelf.begin(cart)

    return gateway


@dataclass
class Bench:
    gateway: Gateway
    client: httpx.AsyncClient
    site: str
    provider: OidcProvider

    @property
    def runtime(self) -> App:
        assert self.gateway.runtime is not None
        return self.gateway.runtime

    def token(self, subject: str = "ada", **changes: Any) -> dict[str, str]:
        now = int(time.time())
        good: dict[str, Any] = {"sub": subject, "iat": now, "exp": now + 300, "jti": uuid.uuid4().hex}
        good |= {"scope": "shop audit", "roles": ["staff"], **changes}
        return {"authorization": f"Bearer {sign(KEY, claims(**good))}"}

    async def session(self) -> Browser:
        browser = Browser(self.client, self.site)
        assert (await browser.sign_in()).status_code == 200
        return browser

    async def callers(self) -> dict[str, Mapping[str, str]]:
        """The headers of each caller."""
        now = int(time.time())
        session, ended = await self.session(), await self.session()
        cookie = {"cookie": f"__Host-bff={ended.jar['__Host-bff']}", "x-bff": "1"}
        await ended.post("/bff/logout")
        return {
            "nobody": {},
            "expired": self.token(iat=now - 600, exp=now - 300),
            "wrong audience": self.token(aud="bank"),
            "wrong scope": self.token(scope="openid audits shopping"),
            "wrong role": self.token(roles=["guest"]),
            "other user": self.token("grace"),
            "right user": self.token(),
            "right user's session": {"cookie": f"__Host-bff={session.jar['__Host-bff']}", "x-bff": "1"},
            "ended session": cookie,
        }


@pytest.fixture
async def bench(redis_url: str) -> AsyncIterator[Bench]:
    async with AsyncExitStack() as stack:
        # Sockets that are closed at the very end are noticed in the next turns of the loop.
        stack.push_async_callback(asyncio.sleep, 0.05)
        sock, provider_sock = listening(), listening()
        site = f"http://127.0.0.1:{sock.getsockname()[1]}"
        provider = OidcProvider(f"{site}/bff/callback")
        provider.issuer = f"http://127.0.0.1:{provider_sock.getsockname()[1]}"
        provider.bend = lambda found: found | {"roles": ["staff"]}
        provider.scope = "openid shop audit"
        scripted = await stack.enter_async_context(upstream())
        await stack.enter_async_context(served(provider.app, provider_sock))
        scripted.answers |= {"/jobs": begun, "/files/a/b": http(204, b""), "/pictures/a": http(204, b"")}
        place = f"http://127.0.0.1:{scripted.port}"
        settings = Settings.model_validate(
            {
                "public_url": site,
                "redis": {"url": redis_url},
                "upstreams": {"shelf": {"url": place}},
                "issuers": [{"issuer": ISSUER, "audience": "shop", "jwks_uri": f"{place}/keys"}],
                "oidc": {
                    "issuer": provider.issuer,
                    "client_id": CLIENT,
                    "client_secret": SECRET,
                    "scopes": ["openid", "shop", "audit"],
                },
                "webhooks": {"cms": {"secret": HOOK}},
                "events": {"shop": {"secret": HOOK}},
                "limits": {"default": "10000/minute", "login": "10000/minute"},
                "admission": {"lag": 5},
            }
        )
        gateway = everything(settings)
        await stack.enter_async_context(serving(gateway, sock))
        stack.push_async_callback(gateway.stop)
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=site, trust_env=False))
        yield Bench(gateway, client, site, provider)


async def begun(request: Asked, writer: asyncio.StreamWriter) -> None:
    """Each person's job has its own name."""
    job = {"id": f"job-of-{request.headers['bff-owner'].rpartition('|')[2]}", "type": "job", "version": 1}
    job |= {"status": "RUNNING", "at": "2026-01-01T00:00:00Z"}
    writer.write(http(202, json.dumps(job).encode()))


EXAMPLES = {
    "/api/staff/{id}": Example("/api/staff/7"),
    "/api/files/{path:path}": Example("/api/files/a/b", good=(204,)),
    "/api/pictures/{name}": Example("/api/pictures/a", good=(204,)),
    "/api/jobs": Example("/api/jobs", good=(202,), json={"lines": []}),
    "/bff/sagas/{type}/{id}": Example("/bff/sagas/job/job-of-ada", other=404),
    "/bff/changes/{source}": Example("/bff/changes/cms", json={}),
    "/bff/events/{source}": Example("/bff/events/shop", json={}),
    "/page/{id}": Example("/page/7"),
    "/assets": Example("/assets/upstream.py"),
    "/bff/login": Example("/bff/login", good=(303,)),
    **{f"{path}/{{provider}}": Example(f"{path}/oidc") for path in SIGN_IN},
    "/bff/sessions/{id}": Example("/bff/sessions/none"),
}


async def test_every_route_answers_each_caller_as_declared(bench: Bench) -> None:
    callers = await bench.callers()
    assert tuple(callers) == CALLERS
    once = {"idempotency-key": f'"{uuid.uuid4()}"'}
    for who in ("right user", "right user's session"):
        headers = {**callers[who], **once}
        assert (await bench.client.post("/api/jobs", json={"lines": []}, headers=headers)).status_code == 202
    asks, wrong = await wrongs(bench.runtime, bench.client, callers, EXAMPLES)
    assert not wrong, "\n".join(wrong)
    print(f"\n{asks} answers as declared")


FORGED: list[dict[str, str]] = [
    {},
    {"x-bff": "0"},
    {"x-bff": "1", "origin": "https://evil.test"},
    {"x-bff": "1", "sec-fetch-site": "cross-site"},
    {"x-bff": "1", "sec-fetch-site": "same-site"},
    {"content-type": "multipart/form-data; boundary=x"},
    {"content-type": "text/plain"},
]


async def test_every_declared_route_that_writes_refuses_what_another_site_could_send(bench: Bench) -> None:
    session = (await bench.callers())["right user's session"]["cookie"]
    asked_for = 0
    for method, path in routes(bench.runtime):
        if method not in UNSAFE or declared(bench.gateway, method, path) is None:
            continue
        for forged in FORGED:
            headers = {"cookie": session, "idempotency-key": f'"{uuid.uuid4()}"', **forged}
            url = EXAMPLES.get(path, Example(path)).url
            answer = await bench.client.request(method, url, headers=headers, content=b"x")
            assert (answer.status_code, answer.json()["code"]) == (403, "csrf"), (method, path, forged)
            asked_for += 1
    assert asked_for >= 10 * len(FORGED)


WITHOUT_LIMIT = {
    *("/livez", "/readyz", "/openapi.json", "/asyncapi.json", "/bff/events.schema.json"),
    *("/docs", "/docs/problems", "/docs/style.css"),
    *("/", "/page/{id}", "/assets"),
}
"""Health, fixed documents and the page's files."""


async def test_every_route_but_health_and_documents_spends_a_limit(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits, counted = bench.runtime.limits, set()
    buckets = limits.buckets

    def record(route: str, *args: Any, **more: Any) -> Any:
        counted.add(route.rpartition(" ")[2])
        return buckets(route, *args, **more)

    monkeypatch.setattr(limits, "buckets", record)
    paths = list(routes(bench.runtime))
    for method, path in paths:
        await asked(bench.client, method, EXAMPLES.get(path, Example(path)), bench.token())
    assert {path for _, path in paths} - counted == WITHOUT_LIMIT


async def test_no_person_gets_anything_of_another(bench: Bench) -> None:
    callers = await bench.callers()
    ada, grace = callers["right user"], callers["other user"]
    mine = {"value": f"mine/{Principal(ISSUER, 'ada', '', 0).pseudonym}"}
    for url in ("/bff/live", "/bff/live/snapshot"):
        assert (await asked(bench.client, "GET", Example(url, query=mine), ada))[0] == 200
        assert (await asked(bench.client, "GET", Example(url, query=mine), grace))[0] == 403
    # The same key of two people, or of two clients of one person, is two commands.
    key = {"idempotency-key": '"the-same"'}
    replays = []
    for who in (ada, grace, bench.token(client_id="another"), ada):
        answer = await bench.client.post("/api/things", headers={**who, **key})
        assert answer.status_code == 200
        replays.append(answer.headers.get("idempotency-replayed"))
    assert replays == [None, None, None, "true"]


async def test_a_replay_without_the_scope_is_refused(bench: Bench) -> None:
    key = {"idempotency-key": '"kept"'}
    assert (await bench.client.post("/api/things", headers=bench.token() | key)).status_code == 200
    answer = await bench.client.post("/api/things", headers=bench.token(scope="openid") | key)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert answer.headers["www-authenticate"] == 'Bearer error="insufficient_scope", scope="shop"'
    assert "scope shop" in answer.json()["detail"]


async def test_a_session_writes_and_streams_only_from_a_page_of_its_site(bench: Bench) -> None:
    session = (await bench.callers())["right user's session"]
    cookie = {"cookie": session["cookie"]}

    async def write(**headers: str) -> int:
        given = cookie | {name.replace("_", "-"): value for name, value in headers.items()}
        given["idempotency-key"] = f'"{uuid.uuid4()}"'
        return (await bench.client.post("/api/things", headers=given)).status_code

    own = {"x_bff": "1", "sec_fetch_site": "same-origin", "origin": bench.site}
    assert await write(**own) == 200
    for change in ({"x_bff": "0"}, {"sec_fetch_site": "same-site"}, {"origin": "https://evil.test"}):
        assert await write(**{**own, **change}) == 403
    assert await write(sec_fetch_site="same-origin", origin=bench.site) == 403

    for url in ("/bff/live", "/bff/live/snapshot", "/bff/sagas/job/none"):
        for site, fine in (
            ("same-origin", True),
            ("none", True),
            ("same-site", False),
            ("cross-site", False),
        ):
            status, _ = await asked(bench.client, "GET", Example(url), cookie | {"sec-fetch-site": site})
            assert (status != 403) == fine, (url, site)
        status, _ = await asked(
            bench.client, "GET", Example(url), bench.token() | {"sec-fetch-site": "cross-site"}
        )
        assert status != 403


async def test_a_new_route_has_no_expectation(bench: Bench) -> None:
    assert expected(bench.gateway, "GET", "/bff/new", Example("/bff/new")) is None
    assert len({path for _, path in routes(bench.runtime)}) >= 25
    example = replace(Example("/x"), other=404)
    declared_views = expected(bench.gateway, "GET", "/api/me", example)
    assert declared_views is not None and declared_views["other user"] == {404}
