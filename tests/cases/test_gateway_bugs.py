"""A bug of a view or of an observer was reported as a failure of the service, or made the request fail.

Right: only a failure of a service is reported as one, with its owner. Any other exception of a view is 500 `internal`
without an owner, also inside `together` and `optional`, and also if it looks like a time limit or a cancellation. An
exception of an observer is logged and changes nothing. Sources: the contract ("Problems"), and the docstring of
`optional`: a bug in a view stays a bug.
"""

from __future__ import annotations

import asyncio
import logging

import pytest

from bff import Gateway, Part, optional, together
from bff.edge.observe.metrics import Metrics

from ..wire.gateway import bearer
from .refusing import Done, Wish, asking, http, post, refusal, service

gateway = Gateway("mistakes", deadline=15)
pytestmark = pytest.mark.filterwarnings("ignore")


class Parts(Done):
    part: Part[Done] | None = None


async def mistake(kind: str) -> Done:
    """What a function may do wrong; otherwise the service fails."""
    match kind:
        case "value":
            raise ValueError("secret")
        case "timeout":
            raise TimeoutError("secret")
        case "os":
            raise ConnectionRefusedError("secret")
        case "cancelled":
            raise asyncio.CancelledError("secret")
        case "cancels-a-task":
            task = asyncio.ensure_future(asyncio.sleep(60))
            task.cancel()
            await task
        case "own-limit":
            async with asyncio.timeout(0):
                await asyncio.sleep(60)
        case "wait-for":
            await asyncio.wait_for(asyncio.sleep(60), 0)
        case "stop":
            raise StopAsyncIteration
        case "assert":
            raise AssertionError
        case "group":
            raise ExceptionGroup("secret", [ValueError("secret"), KeyError("secret")])
        case "wrong-answer":
            return "secret"  # type: ignore[return-value]
    return await service.read(kind)


@gateway.view("/api/plain/{kind}")
async def plain(kind: str) -> Done:
    return await mistake(kind)


@gateway.view("/api/together/{kind}")
async def side_by_side(kind: str) -> Done:
    _, second = await together(service.read("ok"), mistake(kind))
    return second


@gateway.view("/api/together-first/{kind}")
async def side_by_side_first(kind: str) -> Done:
    first, _ = await together(mistake(kind), service.read("ok"))
    return first


@gateway.view("/api/optional/{kind}")
async def in_a_part(kind: str) -> Parts:
    return Parts(name="x", part=await optional(mistake(kind)))


@gateway.view("/api/optional-together/{kind}")
async def in_parts(kind: str) -> Parts:
    part = await optional(with_another(kind))
    return Parts(name="x", part=part)


async def with_another(kind: str) -> Done:
    _, second = await together(service.read("ok"), mistake(kind))
    return second


@gateway.view("/api/taskgroup/{how}")
async def own_group(how: str) -> Done:
    async with asyncio.TaskGroup() as group:
        one = group.create_task(read(how))
        group.create_task(read("ok"))
    return one.result()


async def read(how: str) -> Done:
    return await service.read(how)


@gateway.command("/api/command/{kind}", safe=False)
async def command(kind: str, wish: Wish) -> Done:
    return await mistake(kind)


@gateway.command("/api/after/{kind}", safe=False)
async def after(kind: str, wish: Wish) -> Done:
    await service.write("ok", wish)
    return await mistake(kind)


MISTAKES = [
    "value",
    "timeout",
    "os",
    "cancelled",
    "cancels-a-task",
    "own-limit",
    "wait-for",
    "stop",
    "assert",
    "group",
    "wrong-answer",
]


@pytest.mark.parametrize("where", ["plain", "together", "together-first", "optional", "optional-together"])
async def test_an_exception_of_a_view_is_a_500_without_an_owner(redis_url: str, where: str) -> None:
    async with asking(gateway, redis_url) as (client, told):
        told.answers["/things/500"] = refusal(500)
        for kind in MISTAKES:
            answer = await asyncio.wait_for(client.get(f"/api/{where}/{kind}", headers=bearer()), 60)
            problem = answer.json()
            assert (answer.status_code, problem["code"]) == (500, "internal"), (kind, answer.text)
            assert "owner" not in problem and "secret" not in answer.text
        # A failure of the service is still reported as the service's.
        answer = await client.get(f"/api/{where}/500", headers=bearer())
        if where.startswith("optional"):
            assert answer.json()["part"]["reason"] == "failed"
        else:
            assert (answer.status_code, answer.json()["code"]) == (502, "failed")


async def test_an_exception_group_is_the_services_failure_only_if_it_holds_nothing_else(
    redis_url: str,
) -> None:
    async with asking(gateway, redis_url) as (client, told):
        told.answers |= {"/things/500": refusal(500), "/things/404": refusal(404)}
        for how, status in (("500", 502), ("404", 404), ("ok", 200)):
            answer = await client.get(f"/api/taskgroup/{how}", headers=bearer())
            assert answer.status_code == status, answer.text


@pytest.mark.parametrize("where", ["command", "after"])
async def test_an_exception_of_a_command_is_a_500_and_its_outcome_is_unknown(
    redis_url: str, where: str
) -> None:
    async with asking(gateway, redis_url) as (client, _):
        for kind in MISTAKES:
            answer = await asyncio.wait_for(post(client, f"/api/{where}/{kind}", f"k{kind}"), 60)
            assert (answer.status_code, answer.json()["code"]) == (500, "internal"), (kind, answer.text)
            assert "owner" not in answer.json() and "secret" not in answer.text
            again = await post(client, f"/api/{where}/{kind}", f"k{kind}")
            assert (again.status_code, again.json()["code"]) == (409, "idempotency-unknown"), kind


async def test_observers_that_raise_change_nothing_and_are_logged_once(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def observe(metrics: Metrics, event: object) -> None:
        raise RuntimeError("a bug of the observer")

    monkeypatch.setattr(Metrics, "observe", observe)
    with caplog.at_level(logging.WARNING):
        async with asking(gateway, redis_url) as (client, told):
            told.answers |= {"/things/500": refusal(500), "/things/cut": told.answers["/things/cut"]}
            told.answers["/things/404"] = refusal(404)
            for how, status in (("ok", 200), ("500", 502), ("404", 404), ("cut", 502), ("busy", 503)):
                answer = await client.get(f"/api/plain/{how}", headers=bearer())
                assert answer.status_code == status, answer.text
            told.answers["/things/done"] = http(200, b'{"name":"done"}')
            assert (await post(client, "/api/command/done", "k")).json() == {"name": "done"}
            client = (await gateway.start()).calls.pipeline.clients["service"]
            assert client.permits.bulkhead.used == 0
    raised = [record for record in caplog.records if "an observer raised" in record.getMessage()]
    assert len(raised) == 1 and raised[0].exc_info is not None
