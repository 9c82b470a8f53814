"""Commands as a client sees them: the key, one outcome per key, stored refusals, and sagas that only their owner
sees."""

from __future__ import annotations

import asyncio
import json
import uuid

import pytest

from ..waiting import GUARD
from .gateway import bearer, keyed, running
from .scripted import Gate
from .upstream import http

WISH = {"name": "mug"}


KEYS = [
    (None, "idempotency-key-missing"),
    ("", "idempotency-key-missing"),
    ('""', "idempotency-key-invalid"),
    ('"open', "idempotency-key-invalid"),
    ('"a", "b"', "idempotency-key-invalid"),
    ("a b", "idempotency-key-invalid"),
    ("a,b", "idempotency-key-invalid"),
    ('"' + "a" * 256 + '"', "idempotency-key-invalid"),
    ('"a";p=1', "idempotency-key-invalid"),
]


async def test_a_key_that_is_missing_or_unreadable_is_400_and_nothing_is_sent(redis_url: str) -> None:
    async with running(redis_url) as world:
        for value, code in KEYS:
            headers = bearer() | ({} if value is None else {"idempotency-key": value})
            answer = await world.client.post("/api/things/ok", headers=headers, json=WISH)
            assert (answer.status_code, answer.json()["code"]) == (400, code), value
        assert world.upstream.asked == []


async def test_a_string_and_a_bare_token_of_the_same_characters_are_the_same_key(redis_url: str) -> None:
    async with running(redis_url) as world:
        key = uuid.uuid4().hex
        first = await world.client.post(
            "/api/things/ok", headers=bearer() | {"idempotency-key": f'"{key}"'}, json=WISH
        )
        again = await world.client.post(
            "/api/things/ok", headers=bearer() | {"idempotency-key": key}, json=WISH
        )
        assert (first.status_code, again.status_code) == (200, 200)
        assert again.headers["idempotency-replayed"] == "true"
        assert len(world.upstream.asked) == 1


async def test_two_key_headers_are_refused(redis_url: str) -> None:
    async with running(redis_url) as world:
        headers = [*bearer().items(), ("idempotency-key", "a"), ("idempotency-key", "b")]
        answer = await world.client.post("/api/things/ok", headers=headers, json=WISH)
        assert answer.json()["code"] == "idempotency-key-invalid"


async def test_a_replay_is_the_same_answer_byte_for_byte_and_calls_no_service(redis_url: str) -> None:
    async with running(redis_url) as world:
        first = await world.client.post("/api/things/ok", headers=keyed("k"), json=WISH)
        assert first.json() == {"name": "ok"}
        assert first.headers["cache-control"] == "no-store"
        assert "idempotency-replayed" not in first.headers
        again = await world.client.post("/api/things/ok", headers=keyed("k"), json=WISH)
        assert again.headers["idempotency-replayed"] == "true"
        assert (again.status_code, again.content) == (first.status_code, first.content)
        assert again.headers["content-type"] == first.headers["content-type"]
        assert len(world.upstream.asked) == 1


async def test_the_same_key_of_another_person_or_on_another_route_is_another_command(redis_url: str) -> None:
    async with running(redis_url) as world:
        await world.client.post("/api/things/ok", headers=keyed("k"), json=WISH)
        other = await world.client.post("/api/things/ok", headers=keyed("k", "bea"), json=WISH)
        route = await world.client.post("/api/unsafe/ok", headers=keyed("k"), json=WISH)
        assert "idempotency-replayed" not in other.headers
        assert "idempotency-replayed" not in route.headers
        assert len(world.upstream.asked) == 3


async def test_another_payload_under_the_same_key_is_422(redis_url: str) -> None:
    async with running(redis_url) as world:
        await world.client.post("/api/things/ok", headers=keyed("k"), json=WISH)
        for path, body in [
            ("/api/things/ok", {"name": "cup"}),
            ("/api/things/404", WISH),
            ("/api/things/ok?x=1", WISH),
        ]:
            answer = await world.client.post(path, headers=keyed("k"), json=body)
            assert (answer.status_code, answer.json()["code"]) == (422, "idempotency-mismatch"), path
        assert len(world.upstream.asked) == 1


async def test_the_same_command_in_flight_is_409_with_retry_after(redis_url: str) -> None:
    async with running(redis_url) as world:
        gate = world.upstream.answers["/things/gate"] = Gate()
        first = asyncio.create_task(
            world.client.post("/api/things/gate", headers=keyed("k"), json=WISH), name="first"
        )
        await asyncio.wait_for(world.upstream.news.wait(), GUARD)
        second = await world.client.post("/api/things/gate", headers=keyed("k"), json=WISH)
        assert (second.status_code, second.json()["code"]) == (409, "idempotency-in-flight")
        assert second.headers["retry-after"] == "1"
        gate.open.set()
        assert (await first).json() == {"name": "late"}
        assert len(world.upstream.asked) == 1


async def test_twenty_clicks_at_once_are_one_command(redis_url: str) -> None:
    async with running(redis_url) as world:
        answers = await asyncio.gather(
            *(world.client.post("/api/things/ok", headers=keyed("k"), json=WISH) for _ in range(20))
        )
        assert {answer.status_code for answer in answers} <= {200, 409}
        assert sum(answer.status_code == 200 for answer in answers) >= 1
        assert len(world.upstream.asked) == 1


async def test_a_refusal_of_a_service_is_stored_and_replayed_unchanged(redis_url: str) -> None:
    async with running(redis_url) as world:
        for status in (400, 403, 404, 409, 410, 422):
            sent = len(world.upstream.asked)
            path = f"/api/things/{status}"
            first = await world.client.post(path, headers=keyed(f"k{status}"), json=WISH)
            assert (first.status_code, first.json()["code"]) == (status, f"no-{status}")
            assert first.json()["owner"]["team"] == "Shelf team"
            assert first.json()["type"] == f"{world.url}/docs/problems#refused"
            world.upstream.answers[f"/things/{status}"] = http(200, b'{"name":"now"}')
            again = await world.client.post(path, headers=keyed(f"k{status}"), json=WISH)
            assert again.headers["idempotency-replayed"] == "true"
            assert again.content == first.content
            assert again.headers["content-type"] == "application/problem+json"
            assert len(world.upstream.asked) == sent + 1


async def test_a_failure_of_an_upstream_is_not_stored_and_the_key_can_be_used_again(redis_url: str) -> None:
    async with running(redis_url) as world:
        for how in ("401", "405", "415", "broken", "cut", "nonsense", "busy"):
            world.upstream.asked.clear()
            first = await world.client.post(f"/api/things/{how}", headers=keyed(how), json=WISH)
            assert first.status_code == (503 if how == "busy" else 502), how
            world.upstream.answers[f"/things/{how}"] = http(200, b'{"name":"now"}')
            again = await world.client.post(f"/api/things/{how}", headers=keyed(how), json=WISH)
            assert (again.status_code, again.json()) == (200, {"name": "now"}), how
            keys = {asked.headers["idempotency-key"] for asked in world.upstream.asked}
            assert len(keys) == 1, "the service can tell that it is the same command"


async def test_a_timeout_is_504_and_the_same_key_may_be_sent_again(redis_url: str) -> None:
    async with running(redis_url) as world:
        first = await world.client.post("/api/things/silent", headers=keyed("k"), json=WISH)
        assert (first.status_code, first.json()["code"]) == (504, "timeout")
        world.upstream.answers["/things/silent"] = http(200, b'{"name":"now"}')
        again = await world.client.post("/api/things/silent", headers=keyed("k"), json=WISH)
        assert (again.status_code, again.json()) == (200, {"name": "now"})


@pytest.mark.parametrize("how", ["silent", "cut", "broken"])
async def test_an_unknown_outcome_of_an_unsafe_command_is_409_and_not_repeated(
    redis_url: str, how: str
) -> None:
    async with running(redis_url) as world:
        first = await world.client.post(f"/api/unsafe/{how}", headers=keyed("k"), json=WISH)
        assert first.status_code in (502, 504)
        sent = len(world.upstream.asked)
        world.upstream.answers[f"/things/{how}"] = http(200, b'{"name":"now"}')
        again = await world.client.post(f"/api/unsafe/{how}", headers=keyed("k"), json=WISH)
        assert (again.status_code, again.json()["code"]) == (409, "idempotency-unknown")
        assert len(world.upstream.asked) == sent


async def test_a_command_whose_client_disconnected_runs_once_and_its_outcome_is_stored(
    redis_url: str,
) -> None:
    async with running(redis_url) as world:
        gate = world.upstream.answers["/things/gate"] = Gate()
        body = json.dumps(WISH).encode()
        lines = ["POST /api/things/gate HTTP/1.1", "host: x", "content-type: application/json"]
        lines += [f"{name}: {value}" for name, value in keyed("k").items()]
        lines += [f"content-length: {len(body)}", "", ""]
        _, writer = await asyncio.open_connection("127.0.0.1", world.client.base_url.port)
        writer.write("\r\n".join(lines).encode() + body)
        await asyncio.wait_for(world.upstream.news.wait(), GUARD)
        writer.transport.abort()
        gate.open.set()
        async with asyncio.timeout(GUARD):
            while True:
                headers = keyed("k") | {"content-type": "application/json"}
                again = await world.client.post("/api/things/gate", headers=headers, content=body)
                if again.status_code != 409:
                    break
                await asyncio.sleep(0.01)
        assert again.json() == {"name": "late"}
        assert again.headers["idempotency-replayed"] == "true"
        assert len(world.upstream.asked) == 1
