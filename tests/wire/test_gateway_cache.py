"""Cached answers as a browser sees them: ages and headers, stale parts, own changes, events and signed webhooks."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from bff import Call, DeclarationError, Gateway, Part, Upstream, optional, together
from bff.edge.endpoints.webhooks import sign
from bff.edge.settings import Settings, load
from bff.edge.settings.events import key_of
from bff.stores.redis.client import RedisClient

from ..waiting import GUARD, until
from .gateway import bearer, keyed, serving, settings_for
from .scripted import Asked, Gate, Scripted, upstream
from .upstream import http

SECRET = "whsec_" + "c2VjcmV0LW9mLXRoZS1jb250ZW50LXN5c3RlbQ=="


class Thing(BaseModel):
    name: str


class Shelf(Upstream, team="Shelf team", contact="#shelf", docs="https://docs.test/shelf"):
    def article(self, slug: str) -> Call[Thing]:
        return (
            self.get("/articles/{slug}", Thing, slug=slug)
            .fresh(30)
            .public()
            .tagged("article", f"article/{slug}")
        )

    def basket(self) -> Call[Thing]:
        return self.get("/basket", Thing).fresh(60).tagged("basket")

    def brief(self) -> Call[Thing]:
        return self.get("/brief", Thing).fresh(0.02, stale_if_error=600).public()

    def plain(self) -> Call[Thing]:
        return self.get("/plain", Thing).public()

    def fill(self, how: str) -> Call[Thing]:
        call = self.post("/fill/{how}", Thing, {}, how=how)
        return call.within(0.5) if how == "silent" else call


shelf = Shelf()


class Brief(BaseModel):
    a: Part[Thing]


class Twice(BaseModel):
    a: Thing
    b: Thing


def declare(settings: Settings) -> Gateway:
    gateway = Gateway("kept", deadline=GUARD, settings=settings)

    @gateway.view("/api/articles/{slug}", public=True)
    async def article(slug: str) -> Thing:
        return await shelf.article(slug)

    @gateway.view("/api/basket")
    async def basket() -> Thing:
        return await shelf.basket()

    @gateway.view("/api/brief", public=True)
    async def brief() -> Brief:
        return Brief(a=await optional(shelf.brief()))

    @gateway.view("/api/required", public=True)
    async def required() -> Thing:
        return await shelf.brief()

    @gateway.view("/api/twice", public=True)
    async def twice() -> Twice:
        a, b = await together(shelf.plain(), shelf.plain())
        a.name += " (mine)"
        return Twice(a=a, b=b)

    @gateway.command("/api/fill/{how}", invalidates=("basket", "article/{how}"))
    async def fill(how: str) -> Thing:
        return await shelf.fill(how)

    return gateway


@dataclass
class World:
    """Two gateways over one Redis and one upstream."""

    clients: list[httpx.AsyncClient]
    gateways: list[Gateway]
    upstream: Scripted
    redis_url: str

    def says(self, path: str, name: str, headers: str = "") -> None:
        body = json.dumps({"name": name}).encode()
        self.upstream.answers[path] = http(200, body, "content-type: application/json\r\n" + headers)

    def count(self, path: str) -> int:
        return sum(one.path == path for one in self.upstream.asked)

    async def until_invalidated(self, tag: str, since: int = 0) -> None:
        """Wait until both gateways know of a change of this tag."""
        await until(
            lambda: all(
                one.runtime is not None and one.runtime.calls.invalidations.tags.of(tag) > since
                for one in self.gateways
            )
        )


@asynccontextmanager
async def world(redis_url: str, **changes: Any) -> AsyncIterator[World]:
    async with upstream() as scripted:
        settings = settings_for(redis_url, scripted.port, GUARD, **changes)
        async with _one(settings) as (one, a), _one(settings) as (two, b):
            for gateway in (one, two):
                if gateway.runtime is not None:
                    await gateway.runtime.calls.invalidations.ready(GUARD)
            yield World([a, b], [one, two], scripted, redis_url)


@asynccontextmanager
async def _one(settings: Settings) -> AsyncIterator[tuple[Gateway, httpx.AsyncClient]]:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.bind(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{sock.getsockname()[1]}"
    gateway = declare(settings)
    async with (
        serving(gateway, sock),
        httpx.AsyncClient(base_url=url, trust_env=False, timeout=GUARD / 2) as client,
    ):
        try:
            yield gateway, client
        finally:
            await gateway.stop()


async def test_a_public_screen_may_be_cached_as_long_as_its_parts_are_fresh(redis_url: str) -> None:
    async with world(redis_url) as it:
        it.says("/articles/a", "one", "cache-control: max-age=20\r\nage: 5\r\n")
        first = await it.clients[0].get("/api/articles/a")
        again = await it.clients[0].get("/api/articles/a")
        assert first.json() == again.json() == {"name": "one"}
        for answer in (first, again):
            left = re.fullmatch(r"public, max-age=(\d+)", answer.headers["cache-control"])
            assert left and 1 <= int(left[1]) <= 15
        assert re.fullmatch(r'Shelf.article;dur=0.0;start=[\d.]+;desc="hit"', again.headers["server-timing"])
        assert it.count("/articles/a") == 1

        it.says("/articles/b", "secret", "cache-control: private\r\n")
        for _ in range(2):
            answer = await it.clients[0].get("/api/articles/b")
            assert answer.headers["cache-control"] == "private, no-cache"
        assert it.count("/articles/b") == 2


async def test_when_its_service_fails_an_optional_part_is_stale_and_has_its_age(redis_url: str) -> None:
    async with world(redis_url) as it:
        it.says("/brief", "old")
        assert (await it.clients[0].get("/api/brief")).json() == {
            "a": {"state": "ready", "data": {"name": "old"}}
        }
        for broken in (http(500, b"{}"), http(503, b"{}"), http(200, b"not json")):
            it.upstream.answers["/brief"] = broken
            await asyncio.sleep(0.03)
            answer = await it.clients[0].get("/api/brief")
            part = answer.json()["a"]
            assert (part["state"], part["data"]) == ("stale", {"name": "old"})
            assert 0.02 <= part["age"] < 30
            assert answer.headers["bff-complete"] == "true"
            assert answer.headers["cache-control"] == "public, max-age=0"
            required = await it.clients[0].get("/api/required")
            assert (required.status_code, required.json()) == (200, {"name": "old"})


async def test_a_part_that_the_service_reports_gone_is_not_served_any_more(redis_url: str) -> None:
    async with world(redis_url) as it:
        it.says("/brief", "old")
        await it.clients[0].get("/api/brief")
        await asyncio.sleep(0.03)
        it.upstream.answers["/brief"] = http(404, b"{}")
        gone = (await it.clients[0].get("/api/brief")).json()["a"]
        assert (gone["state"], gone["reason"]) == ("missing", "refused")


async def test_no_caller_gets_the_response_of_another(redis_url: str) -> None:
    async def whose(asked: Asked, writer: asyncio.StreamWriter) -> None:
        body = json.dumps({"name": asked.headers["authorization"][-20:]}).encode()
        writer.write(http(200, body))

    async with world(redis_url) as it:
        it.upstream.answers["/basket"] = whose
        ada, bob = bearer("ada"), bearer("bob")
        first = (await it.clients[0].get("/api/basket", headers=ada)).json()
        assert (await it.clients[1].get("/api/basket", headers=bob)).json() != first
        assert (await it.clients[0].get("/api/basket", headers=ada)).json() == first
        assert first["name"] == ada["authorization"][-20:]


@pytest.mark.parametrize("how", ["ok", "broken", "silent"])
async def test_after_a_command_its_sender_sees_the_change_on_every_gateway(redis_url: str, how: str) -> None:
    async with world(redis_url) as it:
        it.says("/basket", "empty")
        it.says("/fill/ok", "done")
        it.upstream.answers["/fill/broken"] = it.upstream.answers["/things/broken"]
        it.upstream.answers["/fill/silent"] = it.upstream.answers["/things/silent"]
        for client in it.clients:
            for who in ("ada", "bob"):
                assert (await client.get("/api/basket", headers=bearer(who))).json() == {"name": "empty"}
        it.says("/basket", "full")
        done = await it.clients[0].post(f"/api/fill/{how}", headers=keyed())
        # The change may have happened, although the answer was an error.
        assert (done.status_code == 200) == (how == "ok")
        for client in reversed(it.clients):
            assert (await client.get("/api/basket", headers=bearer())).json() == {"name": "full"}
            assert (await client.get("/api/basket", headers=bearer("bob"))).json() == {"name": "empty"}


async def test_a_read_after_a_command_is_not_coalesced_with_one_from_before(redis_url: str) -> None:
    async with world(redis_url) as it:
        client = it.clients[0]
        it.says("/fill/ok", "done")
        gate = Gate(b'{"name":"before"}')
        it.upstream.answers["/basket"] = gate
        slow = asyncio.ensure_future(client.get("/api/basket", headers=bearer()))
        await until(lambda: it.count("/basket") == 1)
        await client.post("/api/fill/ok", headers=keyed())
        it.says("/basket", "after")
        assert (await client.get("/api/basket", headers=bearer())).json() == {"name": "after"}
        gate.open.set()
        assert (await slow).json() == {"name": "before"}
        assert (await client.get("/api/basket", headers=bearer())).json() == {"name": "after"}


async def test_identical_calls_of_a_screen_and_of_many_browsers_are_sent_once(redis_url: str) -> None:
    async with world(redis_url) as it:
        gate = Gate(b'{"name":"one"}')
        it.upstream.answers["/plain"] = gate
        browsers = [asyncio.ensure_future(it.clients[0].get("/api/twice")) for _ in range(10)]
        runtime = it.gateways[0].runtime
        assert runtime is not None
        await until(lambda: sum(len(one.followers) for one in runtime.calls.coalescer.flights) == 19)
        gate.open.set()
        answers = await asyncio.gather(*browsers)
        assert {one.text for one in answers} == {'{"a":{"name":"one (mine)"},"b":{"name":"one"}}'}
        assert it.count("/plain") == 1


async def test_an_event_invalidates_cached_responses_on_every_gateway(redis_url: str) -> None:
    stream = "events:content:0"
    async with world(redis_url, live={"stream_keys": [stream]}) as it:
        it.says("/articles/a", "one")
        it.says("/articles/b", "one")
        for client in it.clients:
            for slug in "ab":
                await client.get(f"/api/articles/{slug}")
        it.says("/articles/a", "two")
        it.says("/articles/b", "two")
        event = {"specversion": "1.0", "id": "1", "source": "/content", "subject": "a"}
        event["type"] = "site.article.edited"  # a tag that no cached answer has
        async with RedisClient(redis_url, timeout=10) as link:
            await link.call("XADD", stream, "*", "event", json.dumps(event))
            event["type"] = "site.article.changed"
            await link.call("XADD", stream, "*", "event", json.dumps(event))
            await it.until_invalidated("article/a")
            for client in it.clients:
                assert (await client.get("/api/articles/a")).json() == {"name": "two"}


def delivery(
    body: bytes, *, id: str = "", at: float | None = None, secret: str = SECRET, signed: bytes | None = None
) -> dict[str, Any]:
    id = id or uuid.uuid4().hex
    stamp = str(int(time.time() if at is None else at))
    signature = sign(key_of(secret), id, stamp, body if signed is None else signed)
    headers = {"webhook-id": id, "webhook-timestamp": stamp, "webhook-signature": f"v1,{signature}"}
    return {"content": body, "headers": headers}


HOOKS = {"webhooks": {"cms": {"secret": SECRET, "subject": "entry.slug"}}}
BODY = b'{"event":"entry.update","model":"article","entry":{"id":7,"slug":"a","title":"New"}}'


async def test_a_signed_webhook_of_a_cms_invalidates_cached_responses(redis_url: str) -> None:
    async with world(redis_url, **HOOKS) as it:
        it.says("/articles/a", "one")
        for client in it.clients:
            await client.get("/api/articles/a")
        it.says("/articles/a", "two")
        told = await it.clients[1].post("/bff/changes/cms", **delivery(BODY))
        assert (told.status_code, told.content) == (204, b"")
        # The gateway that received it invalidates at once.
        assert (await it.clients[1].get("/api/articles/a")).json() == {"name": "two"}
        await it.until_invalidated("article/a")
        assert (await it.clients[0].get("/api/articles/a")).json() == {"name": "two"}


async def test_a_forged_or_outdated_webhook_changes_nothing(redis_url: str) -> None:
    async with world(redis_url, **HOOKS) as it:
        it.says("/articles/a", "one")
        client = it.clients[0]
        await client.get("/api/articles/a")
        unsigned = delivery(BODY)
        del unsigned["headers"]["webhook-signature"]
        renamed = delivery(BODY)
        renamed["headers"]["webhook-id"] = "another"
        letters = delivery(BODY)
        letters["headers"]["webhook-signature"] = "v1,ü v2,x v1, ,".encode()
        other_version = delivery(BODY)
        other_version["headers"]["webhook-signature"] = other_version["headers"]["webhook-signature"][3:]
        for bad in (
            unsigned,
            renamed,
            letters,
            other_version,
            delivery(BODY, signed=BODY + b" "),
            delivery(BODY, secret="x" * 24),
            delivery(BODY, at=time.time() - 301),
            delivery(BODY, at=time.time() + 900),
            {"content": BODY},
        ):
            refused = await client.post("/bff/changes/cms", **bad)
            assert refused.status_code == 401
            assert refused.json()["code"] == "invalid-signature"
        elsewhere = await client.post("/bff/changes/nobody", **delivery(BODY))
        assert elsewhere.status_code == 401
        assert elsewhere.json()["detail"] == refused.json()["detail"]
        it.says("/articles/a", "two")
        assert (await client.get("/api/articles/a")).json() == {"name": "one"}
        assert (await client.get("/bff/changes/cms")).status_code == 405
        large = await client.post("/bff/changes/cms", **delivery(b"x" * 70_000))
        assert large.status_code == 413


async def test_a_webhook_delivery_is_processed_once(redis_url: str) -> None:
    async with world(redis_url, **HOOKS) as it:
        client = it.clients[0]
        it.says("/articles/a", "one")
        await client.get("/api/articles/a")
        message = delivery(BODY, id="only-once")
        assert (await client.post("/bff/changes/cms", **message)).status_code == 204
        await client.get("/api/articles/a")
        assert it.count("/articles/a") == 2
        assert (await it.clients[1].post("/bff/changes/cms", **message)).status_code == 204
        await client.get("/api/articles/a")
        assert it.count("/articles/a") == 2


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b"nonsense", b'{"model":7.5}', b'{"model":""}', b"[" * 9999]
)
async def test_a_signed_webhook_without_tags_is_refused(redis_url: str, body: bytes) -> None:
    async with world(redis_url, **HOOKS) as it:
        answer = await it.clients[0].post("/bff/changes/cms", **delivery(body))
        assert answer.status_code == 400


TOKEN = "a-token-with-24-letters-or-more"
TOKEN_HOOK = {"webhooks": {"cms": {"secret": TOKEN, "proof": "token", "subject": "entry.slug"}}}


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer  ", ""])
async def test_a_source_that_cannot_sign_sends_its_secret_in_a_header(redis_url: str, scheme: str) -> None:
    async with world(redis_url, **TOKEN_HOOK) as it:
        client = it.clients[0]
        for name in ("one", "two", "three"):
            it.says("/articles/a", name)
            # Each message takes effect, also one with the same content.
            told = await client.post(
                "/bff/changes/cms", content=BODY, headers={"authorization": scheme + TOKEN}
            )
            assert (told.status_code, told.content) == (204, b"")
            assert (await client.get("/api/articles/a")).json() == {"name": name}


async def test_the_header_of_the_secret_can_have_another_name(redis_url: str) -> None:
    hook = {"webhooks": {"cms": TOKEN_HOOK["webhooks"]["cms"] | {"header": "X-Hook-Token"}}}
    async with world(redis_url, **hook) as it:
        told = await it.clients[0].post("/bff/changes/cms", content=BODY, headers={"x-hook-token": TOKEN})
        assert told.status_code == 204
        elsewhere = {"authorization": f"Bearer {TOKEN}"}
        refused = await it.clients[0].post("/bff/changes/cms", content=BODY, headers=elsewhere)
        assert refused.status_code == 401


async def test_a_wrong_token_is_refused_and_each_proof_is_accepted_only_where_it_is_set(
    redis_url: str,
) -> None:
    async with world(redis_url, **TOKEN_HOOK) as it:
        it.says("/articles/a", "one")
        client = it.clients[0]
        await client.get("/api/articles/a")
        wrong: list[dict[str, Any]] = [
            {"content": BODY},
            delivery(BODY, secret=TOKEN),
            *(
                {"content": BODY, "headers": {"authorization": given}}
                for given in ("", "Bearer", f"Basic {TOKEN}", f"Bearer {TOKEN}x", f"{TOKEN} x", TOKEN[:-1])
            ),
            {"content": BODY, "headers": {"authorization": "Bearer ü".encode()}},
        ]
        for bad in wrong:
            refused = await client.post("/bff/changes/cms", **bad)
            assert (refused.status_code, refused.json()["code"]) == (401, "invalid-signature"), bad
            assert TOKEN not in refused.text
        elsewhere = await client.post("/bff/changes/nobody", content=BODY)
        assert elsewhere.json()["detail"] == refused.json()["detail"]
        it.says("/articles/a", "two")
        assert (await client.get("/api/articles/a")).json() == {"name": "one"}
    async with world(redis_url, **HOOKS) as it:
        answer = await it.clients[0].post(
            "/bff/changes/cms", content=BODY, headers={"authorization": f"Bearer {SECRET}"}
        )
        assert answer.status_code == 401


async def test_only_the_listed_kinds_of_events_change_something(redis_url: str) -> None:
    hook = TOKEN_HOOK["webhooks"]["cms"] | {"events": ["entry.publish"]}
    async with world(redis_url, webhooks={"cms": hook}) as it:
        it.says("/articles/a", "one")
        client, token = it.clients[0], {"authorization": TOKEN}
        await client.get("/api/articles/a")
        it.says("/articles/a", "two")
        for other in (BODY, b'{"event":"trigger-test"}', b"{}"):
            assert (await client.post("/bff/changes/cms", content=other, headers=token)).status_code == 204
        assert (await client.get("/api/articles/a")).json() == {"name": "one"}
        publish = BODY.replace(b"entry.update", b"entry.publish")
        assert (await client.post("/bff/changes/cms", content=publish, headers=token)).status_code == 204
        assert (await client.get("/api/articles/a")).json() == {"name": "two"}
        assert (await client.post("/bff/changes/cms", content=b"x", headers=token)).status_code == 400


def test_the_secret_of_a_webhook_is_checked_at_the_start() -> None:
    with pytest.raises(DeclarationError, match=r"BFF_WEBHOOKS__CMS: .*visible ASCII"):
        load(
            {
                "BFF_WEBHOOKS__CMS__SECRET": "with blanks in its twenty-four",
                "BFF_WEBHOOKS__CMS__PROOF": "token",
            }
        )
    with pytest.raises(DeclarationError, match=r"BFF_WEBHOOKS__CMS__SECRET: .*at least 24"):
        load({"BFF_WEBHOOKS__CMS__SECRET": "short"})
    with pytest.raises(DeclarationError, match=r"BFF_WEBHOOKS__CMS__SECRET: .*Base64"):
        load({"BFF_WEBHOOKS__CMS__SECRET": "whsec_" + "*" * 30})
    assert load({"BFF_WEBHOOKS__CMS__SECRET": SECRET}).webhooks["cms"].window == 300


def test_the_invalidates_of_a_command_are_checked_at_declaration() -> None:
    gateway = Gateway("checked")
    for wrong in ("", "order/{nr}", "order/{", "order/{}"):
        with pytest.raises(DeclarationError, match="invalidates="):

            @gateway.command("/api/x/{id}", invalidates=(wrong,))
            async def command(id: str) -> Thing:
                raise NotImplementedError
