"""CloudEvents over HTTP at a running gateway: signed, in every mode, applied once; and which are refused."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from bff import Gateway
from bff.calls import SagaStatus
from bff.edge.settings import Settings
from bff.stores.dead_letters import DeadLetters
from bff.stores.redis.client import RedisClient

from ..wire.gateway import serving
from .conftest import until
from .test_contract import event, history, top

SECRET = "a secret of at least 24 characters"
STRUCTURED = {"content-type": "application/cloudevents+json; charset=utf-8"}
BATCH = {"content-type": "application/cloudevents-batch+json"}


@pytest.fixture
async def link(redis_url: str) -> AsyncIterator[RedisClient]:
    async with RedisClient(redis_url, timeout=10) as opened:
        yield opened


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[httpx.AsyncClient]:
    gateway = Gateway("events")
    gateway.saga("order", SagaStatus)
    settings = {
        "redis": {"url": redis_url, "timeout": 10},
        "events": {"orders": {"secret": SECRET, "origins": ["events.example"], "rate": 300}},
    }
    await gateway.start(Settings.model_validate(settings))
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.bind(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{sock.getsockname()[1]}"
    async with serving(gateway, sock), httpx.AsyncClient(base_url=url, trust_env=False) as one:
        try:
            yield one
        finally:
            await gateway.stop()


def signature(id: str, signed: bytes, *, secret: str = SECRET, at: float | None = None) -> dict[str, str]:
    """The headers of a signed message, computed without the gateway's code."""
    timestamp = int(at or time.time())
    mac = hmac.new(secret.encode(), f"{id}.{timestamp}.".encode() + signed, hashlib.sha256).digest()
    return {
        "webhook-id": id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": "v1," + base64.b64encode(mac).decode(),
    }


async def send(
    client: httpx.AsyncClient, body: bytes, headers: dict[str, str], source: str = "orders", **more: Any
) -> httpx.Response:
    signed = signature("msg_1", more.pop("signed", body), **more)
    return await client.post(f"/bff/events/{source}", content=body, headers=headers | signed)


async def test_a_structured_event_and_a_batch_are_in_the_journal_when_they_are_answered(
    client: httpx.AsyncClient, link: RedisClient
) -> None:
    assert (await send(client, event("o1", 1), STRUCTURED)).status_code == 204
    assert await history(link) == [("o1", 1)]
    batch = [json.loads(event("o1", version)) for version in (2, 3)]
    for _ in range(2):
        assert (await send(client, json.dumps(batch).encode(), BATCH)).status_code == 204
    assert await history(link) == [("o1", 1), ("o1", 2), ("o1", 3)], "a repeated message is applied once"


async def test_an_event_in_headers_is_signed_with_its_headers(
    client: httpx.AsyncClient, link: RedisClient
) -> None:
    whole = json.loads(event("o1", 1))
    body = json.dumps(whole.pop("data")).encode()
    headers = {f"ce-{name}": value for name, value in whole.items()} | {"content-type": "application/json"}
    covered = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers)).encode()

    assert (await send(client, body, headers)).status_code == 401, (
        "a signature of the body alone is not valid"
    )
    forged = headers | {"ce-subject": "o2"}
    assert (await send(client, body, forged, signed=covered + body)).status_code == 401
    assert (await send(client, body, headers, signed=covered + body)).status_code == 204
    assert await history(link) == [("o1", 1)]


async def test_a_message_without_a_valid_signature_in_time_is_always_refused_with_the_same_answer(
    client: httpx.AsyncClient, link: RedisClient
) -> None:
    body = event("o1", 1)
    refused = [
        await client.post("/bff/events/orders", content=body, headers=STRUCTURED),
        await send(client, body, STRUCTURED, source="nobody"),
        await send(client, body, STRUCTURED, secret="another secret of 24 characters"),
        await send(client, body, STRUCTURED, at=time.time() - 400),
        await send(client, body, STRUCTURED, at=time.time() + 400),
        await send(client, body, STRUCTURED, signed=body + b" "),
    ]
    assert {one.status_code for one in refused} == {401}
    assert len({one.json()["detail"] for one in refused}) == 1
    assert {one.json()["code"] for one in refused} == {"invalid-signature"}
    assert await top(link) == 0


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"content-type": "text/plain"}, b"hello", 415),
        ({}, b"{}", 415),
        (BATCH, b"{}", 400),
        (BATCH, b"not json", 400),
        (BATCH, b"[" * 60_000, 400),
        (BATCH, json.dumps([{}] * 101).encode(), 413),
        (STRUCTURED, b"x" * 70_000, 413),
    ],
)
async def test_a_body_without_events_is_refused_with_what_to_send(
    client: httpx.AsyncClient, headers: dict[str, str], body: bytes, status: int
) -> None:
    answer = await send(client, body, headers)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"]


async def test_an_unusable_event_becomes_a_dead_letter_and_the_others_are_processed(
    client: httpx.AsyncClient, link: RedisClient
) -> None:
    bad = json.loads(event("o1", 1, status="EXPLODED"))
    batch = json.dumps([bad, json.loads(event("o2", 1))]).encode()
    assert (await send(client, batch, BATCH)).status_code == 204
    assert await history(link) == [("o2", 1)]
    [letter] = await DeadLetters(link).page(10)
    assert (letter.event.broker, letter.event.partition, letter.event.id) == ("webhook", "orders", "msg_1/0")
    assert json.loads(letter.event.body or b"") == bad
    assert "status" in letter.reason


async def test_an_event_ahead_of_its_turn_waits_and_is_processed_without_the_next_message(
    client: httpx.AsyncClient, link: RedisClient
) -> None:
    assert (await send(client, event("o1", 1), STRUCTURED)).status_code == 204
    assert (await send(client, event("o1", 3), STRUCTURED)).status_code == 204
    assert await history(link) == [("o1", 1)]

    async def through() -> bool:
        return await top(link) == 2

    await until(through)
    assert await history(link) == [("o1", 1), ("o1", 3)]


@pytest.mark.parametrize(
    ("source", "origin", "rate", "granted"),
    [
        ("orders", "events.example", "120", "120"),
        ("orders", "Events.Example", "120", "120"),
        ("orders", "events.example", None, "300"),
        ("orders", "events.example", "*", "300"),
        ("orders", "events.example", "9" * 400, "300"),
        ("orders", "events.example", "0", "1"),
        ("orders", "events.example", "-1", "300"),
        ("orders", "evil.example", "120", None),
        ("orders", "*", "120", None),
        ("orders", "events.example.evil.example", None, None),
        ("orders", "", "120", None),
        ("nobody", "events.example", "120", None),
    ],
)
async def test_the_handshake_allows_listed_origins_up_to_the_rate_of_the_source(
    client: httpx.AsyncClient, source: str, origin: str, rate: str | None, granted: str | None
) -> None:
    asked = {"webhook-request-origin": origin}
    if rate is not None:
        asked["webhook-request-rate"] = rate
    answer = await client.request("OPTIONS", f"/bff/events/{source}", headers=asked)
    assert (answer.status_code, answer.headers["allow"]) == (204, "POST")
    assert answer.headers.get("webhook-allowed-rate") == granted
    assert answer.headers.get("webhook-allowed-origin") == (granted and origin.lower())


async def test_a_source_cannot_be_read(client: httpx.AsyncClient) -> None:
    assert (await client.get("/bff/events/orders")).status_code == 405
