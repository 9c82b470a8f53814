"""Limits of commands, Location of sagas, and correct answers when Redis dies in the middle of a command."""

from __future__ import annotations

import asyncio
import time

from ..conftest import Valkey
from ..waiting import GUARD
from .gateway import keyed, running
from .scripted import Asked, Gate

WISH = {"name": "mug"}


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
        assert bea.status_code == 200, "each person has a limit of their own"


async def test_a_command_refused_by_its_limit_may_be_retried_with_its_key(redis_url: str) -> None:
    async with running(redis_url) as world:
        for key in ("1", "2"):
            await world.client.post("/api/limited", headers=keyed(key), json=WISH)
        for _ in range(2):
            third = await world.client.post("/api/limited", headers=keyed("3"), json=WISH)
            assert third.json()["code"] == "rate-limited", "not in flight: its claim was released"


async def test_replays_have_their_own_limit(redis_url: str) -> None:
    async with running(redis_url) as world:
        began, answers = time.monotonic(), 0
        while (
            answer := await world.client.post("/api/limited", headers=keyed("1"), json=WISH)
        ).status_code == 200:
            answers += 1
        assert answer.status_code == 429
        # The new command, twenty times the limit, and what the limit regained meanwhile.
        assert 41 <= answers <= 42 + (time.monotonic() - began) / 1.5


async def test_a_command_that_starts_a_saga_answers_its_location(redis_url: str) -> None:
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
        assert state["cursor"] == body["cursor"], "the events of this saga begin at the answer's cursor"

        again = await world.client.post("/api/jobs", headers=keyed("click-1"), json=cart)
        assert (again.status_code, again.content) == (202, answer.content)
        assert again.headers["location"] == "/bff/sagas/job/j1"


async def test_the_saga_of_another_person_is_404_and_401_without_a_sign_in(redis_url: str) -> None:
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


async def test_an_anonymous_command_is_401_before_anything_else_is_checked(redis_url: str) -> None:
    async with running(redis_url) as world:
        answer = await world.client.post("/api/things/ok", content=b"x" * 100_000)
        assert answer.status_code == 401


async def test_redis_dying_during_a_command_is_503_with_an_unknown_outcome_and_screens_go_on(
    own_valkey: Valkey,
) -> None:
    async with running(own_valkey.url) as world:
        gate = world.upstream.answers["/things/gate"] = Gate()
        command = asyncio.create_task(
            world.client.post("/api/things/gate", headers=keyed("k"), json=WISH), name="command"
        )
        await asyncio.wait_for(world.upstream.news.wait(), GUARD)
        await asyncio.to_thread(own_valkey.stop)
        gate.open.set()
        answer = await command
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert "carried out" in answer.json()["detail"], "it must not say that nothing was done"
        assert int(answer.headers["retry-after"]) >= 1
        new = await world.client.post("/api/things/ok", headers=keyed(), json=WISH)
        assert (new.status_code, new.json()["code"]) == (503, "unavailable")
        assert "nothing was done" in new.json()["detail"]
        assert (await world.get("/api/optional/ok")).status_code == 200
        ready = await world.client.get("/readyz")
        assert (ready.status_code, ready.json()["dependencies"]["redis"]["state"]) == (200, "away")


async def test_an_upstream_failure_while_redis_is_away_is_reported_as_the_upstreams(
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
        await asyncio.wait_for(world.upstream.news.wait(), GUARD)
        await asyncio.to_thread(own_valkey.stop)
        let.set()
        answer = await command
        assert (answer.status_code, answer.json()["code"]) in [(502, "unreachable"), (504, "timeout")]
