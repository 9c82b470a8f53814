"""Commands as a client meets them: the key, one outcome per key, refusals kept, and nobody's saga but one's own."""

from __future__ import annotations

import asyncio
import json
import uuid

import pytest

from ..conftest import Valkey
from .gateway import Asked, bearer, keyed, running
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


async def test_a_replay_is_the_same_answer_byte_for_byte_and_sends_nothing(redis_url: str) -> None:
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


class Gate:
    """An upstream answer that waits to be let through."""

    def __init__(self, body: bytes = b'{"name":"late"}') -> None:
        self.open = asyncio.Event()
        self._body = body

    async def __call__(self, asked: Asked, writer: asyncio.StreamWriter) -> None:
        await self.open.wait()
        writer.write(http(200, self._body))


async def test_the_same_command_in_flight_is_409_with_retry_after(redis_url: str) -> None:
    async with running(redis_url) as world:
        gate = world.upstream.answers["/things/gate"] = Gate()
        first = asyncio.create_task(
            world.client.post("/api/things/gate", headers=keyed("k"), json=WISH), name="first"
        )
        await asyncio.wait_for(world.upstream.news.wait(), 2)
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


async def test_a_services_refusal_is_stored_and_replayed_as_it_was(redis_url: str) -> None:
    async with running(redis_url) as world:
        for status in (404, 409, 422):
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


async def test_an_upstreams_failure_is_not_kept_and_the_same_key_works_again(redis_url: str) -> None:
    async with running(redis_url) as world:
        for how in ("400", "401", "403", "broken", "cut", "nonsense", "busy"):
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
async def test_where_repeating_is_not_safe_an_unknown_outcome_is_said_and_not_repeated(
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


async def test_a_command_whose_client_left_is_carried_out_once_and_its_outcome_kept(redis_url: str) -> None:
    async with running(redis_url) as world:
        gate = world.upstream.answers["/things/gate"] = Gate()
        body = json.dumps(WISH).encode()
        lines = ["POST /api/things/gate HTTP/1.1", "host: x", "content-type: application/json"]
        lines += [f"{name}: {value}" for name, value in keyed("k").items()]
        lines += [f"content-length: {len(body)}", "", ""]
        _, writer = await asyncio.open_connection("127.0.0.1", world.client.base_url.port)
        writer.write("\r\n".join(lines).encode() + body)
        await asyncio.wait_for(world.upstream.news.wait(), 2)
        writer.transport.abort()
        gate.open.set()
        async with asyncio.timeout(2):
            while True:
                headers = keyed("k") | {"content-type": "application/json"}
                again = await world.client.post("/api/things/gate", headers=headers, content=body)
                if again.status_code != 409:
                    break
                await asyncio.sleep(0.01)
        assert again.json() == {"name": "late"}
        assert again.headers["idempotency-replayed"] == "true"
        assert len(world.upstream.asked) == 1


async def test_only_a_new_command_spends_the_routes_limit(redis_url: str) -> None:
    async with running(redis_url) as world:
        client = world.client
        one = await client.post("/api/limited", headers=keyed("1"), json=WISH)
        assert one.headers["ratelimit-policy"] == '"minute";q=2;w=60'
        assert one.headers["ratelimit"].startswith('"minute";r=1;')
        for _ in range(5):
            again = await client.post("/api/limited", headers=keyed("1"), json=WISH)
            assert again.headers["idempotency-replayed"] == "true"
        other = await client.post("/api/limited", headers=keyed("1"), json={"name": "cup"})
        assert other.json()["code"] == "idempotency-mismatch"
        assert (await client.post("/api/limited", headers=keyed("2"), json=WISH)).status_code == 200
        third = await client.post("/api/limited", headers=keyed("3"), json=WISH)
        assert (third.status_code, third.json()["code"]) == (429, "rate-limited")
        assert third.headers["ratelimit"].startswith('"minute";r=0;')
        assert 1 <= int(third.headers["retry-after"]) <= 60
        assert (await client.post("/api/limited", headers=keyed("1"), json=WISH)).status_code == 200
        bea = await client.post("/api/limited", headers=keyed("3", "bea"), json=WISH)
        assert bea.status_code == 200, "a limit is a person's own"


async def test_a_command_refused_by_its_limit_may_come_back_with_its_key(redis_url: str) -> None:
    async with running(redis_url) as world:
        for key in ("1", "2"):
            await world.client.post("/api/limited", headers=keyed(key), json=WISH)
        for _ in range(2):
            third = await world.client.post("/api/limited", headers=keyed("3"), json=WISH)
            assert third.json()["code"] == "rate-limited", "not in flight: its claim was given back"


async def test_replays_have_a_ceiling_of_their_own(redis_url: str) -> None:
    async with running(redis_url) as world:
        answers = [await world.client.post("/api/limited", headers=keyed("1"), json=WISH) for _ in range(42)]
        assert [answer.status_code for answer in answers] == [200] * 41 + [429]


async def test_a_command_that_starts_a_saga_says_where_it_can_be_followed(redis_url: str) -> None:
    async with running(redis_url) as world:
        cart = {"lines": [WISH]}
        answer = await world.client.post("/api/jobs", headers=keyed("click-1"), json=cart)
        assert answer.status_code == 202
        assert answer.headers["location"] == "/bff/sagas/job/j1"
        body = answer.json()
        assert set(body) == {"mutation", "saga", "cursor"}
        assert body["mutation"] == "click-1"
        assert body["saga"] == {"id": "j1", "type": "job", "status": "RUNNING", "version": 1}
        sent = world.upstream.last
        assert (sent.headers["bff-mutation"], sent.headers["bff-owner"]) == (
            "click-1",
            "https://issuer.test|ada",
        )
        assert len(sent.headers["idempotency-key"].strip('"')) == 64

        seen = await world.get("/bff/sagas/job/j1")
        assert (seen.status_code, seen.headers["cache-control"]) == (200, "private, no-cache")
        entry = seen.json()
        assert (entry["id"], entry["status"], entry["version"], entry["mutation"]) == (
            "j1",
            "PENDING",
            0,
            "click-1",
        )
        state = (await world.get("/bff/live/snapshot")).json()
        assert [saga["id"] for saga in state["sagas"]] == ["j1"]
        assert state["cursor"] == body["cursor"], "the answer's cursor is where this saga's news begins"

        again = await world.client.post("/api/jobs", headers=keyed("click-1"), json=cart)
        assert (again.status_code, again.content) == (202, answer.content)
        assert again.headers["location"] == "/bff/sagas/job/j1"


async def test_somebody_elses_saga_is_404_and_nobodys_is_401(redis_url: str) -> None:
    async with running(redis_url) as world:
        await world.client.post("/api/jobs", headers=keyed(), json={"lines": [WISH]})
        for path, subject in [
            ("/bff/sagas/job/j1", "bea"),
            ("/bff/sagas/job/none", "ada"),
            ("/bff/sagas/x/j1", "ada"),
        ]:
            other = await world.get(path, subject)
            assert (other.status_code, other.json()["code"]) == (404, "not-found")
        assert (await world.client.get("/bff/sagas/job/j1")).status_code == 401


async def test_a_body_is_not_needed_where_the_function_takes_none(redis_url: str) -> None:
    async with running(redis_url) as world:
        answer = await world.client.post("/api/both", headers=keyed())
        assert (answer.status_code, answer.json()) == (200, {"name": "written"})
        assert (await world.client.get("/api/both")).json() == {"name": "read"}


async def test_nobody_signed_in_is_told_so_before_anything_else(redis_url: str) -> None:
    async with running(redis_url) as world:
        answer = await world.client.post("/api/things/ok", content=b"x" * 100_000)
        assert answer.status_code == 401


async def test_redis_dying_in_the_middle_is_told_truthfully_and_screens_go_on(own_valkey: Valkey) -> None:
    async with running(own_valkey.url) as world:
        gate = world.upstream.answers["/things/gate"] = Gate()
        command = asyncio.create_task(
            world.client.post("/api/things/gate", headers=keyed("k"), json=WISH), name="command"
        )
        await asyncio.wait_for(world.upstream.news.wait(), 2)
        await asyncio.to_thread(own_valkey.stop)
        gate.open.set()
        answer = await command
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert "carried out" in answer.json()["detail"], "it may not say that nothing was done"
        assert int(answer.headers["retry-after"]) >= 1
        new = await world.client.post("/api/things/ok", headers=keyed(), json=WISH)
        assert (new.status_code, new.json()["code"]) == (503, "unavailable")
        assert "nothing was done" in new.json()["detail"]
        assert (await world.get("/api/optional/ok")).status_code == 200
        ready = await world.client.get("/readyz")
        assert (ready.status_code, ready.json()["dependencies"]["redis"]["state"]) == (200, "away")


async def test_an_upstream_failing_while_redis_is_away_is_still_the_upstreams_problem(
    own_valkey: Valkey,
) -> None:
    async with running(own_valkey.url) as world:
        let = asyncio.Event()

        async def then_cut(asked: Asked, writer: asyncio.StreamWriter) -> None:
            await let.wait()
            writer.transport.abort()

        world.upstream.answers["/things/gate"] = then_cut
        command = asyncio.create_task(
            world.client.post("/api/unsafe/gate", headers=keyed("k"), json=WISH), name="command"
        )
        await asyncio.wait_for(world.upstream.news.wait(), 2)
        await asyncio.to_thread(own_valkey.stop)
        let.set()
        answer = await command
        assert (answer.status_code, answer.json()["code"]) in [(502, "unreachable"), (504, "timeout")]
