"""A refused command with `safe=False` was reported as "no answer came back", although the service had refused it.

Right: a refusal is the command's outcome. 400, 402, 403, 404, 409, 410, 412, 413, 422, 428 and 451 are stored, so that
the same key gets the same answer. 423 and 429 mean "later", so the key is released, as it is after a refusal that is
the gateway's own mistake and after one with a time to come back (`Retry-After`, RFC 9110 section 10.2.3). Where an
earlier write of the command was done and must not be done again, every repeat gets the refusal. Source: the
Idempotency-Key draft (httpapi-idempotency-key-header-08, section 2.6) and the contract's table.
"""

from __future__ import annotations

import asyncio

import pytest

from bff import Gateway, Problem, Refused, together

from ..wire.scripted import Asked
from .refusing import Done, Wish, asking, http, post, refusal, service

gateway = Gateway("refusals", deadline=15)
STORED = (400, 402, 403, 404, 409, 410, 412, 413, 422, 428, 451)
DONE = http(200, b'{"name":"done"}')


@gateway.command("/api/safe/{how}")
async def safe(how: str, wish: Wish) -> Done:
    return await service.write(how, wish)


@gateway.command("/api/unsafe/{how}", safe=False)
async def unsafe(how: str, wish: Wish) -> Done:
    return await service.write(how, wish)


@gateway.command("/api/second/{how}", safe=False)
async def second(how: str, wish: Wish) -> Done:
    await service.write("first", wish)
    return await service.write(how, wish)


@gateway.command("/api/second-safe/{how}")
async def second_safe(how: str, wish: Wish) -> Done:
    await service.write("first", wish)
    return await service.write(how, wish)


@gateway.command("/api/beside/{how}", safe=False)
async def beside(how: str, wish: Wish) -> Done:
    first, _ = await together(service.write(how, wish), service.write("first", wish))
    return first


@gateway.command("/api/caught/{how}", safe=False)
async def caught(how: str, wish: Wish) -> Done:
    try:
        return await service.write(how, wish)
    except Refused as no:
        return Done(name=f"refused with {no.status}")


@gateway.command("/api/own/{status}", safe=False)
async def own(status: int, wish: Wish) -> Done:
    await service.write("first", wish)
    raise Problem(status, "own-words", "It is so.", headers={"x-more": "1"})


@gateway.command("/api/own-only/{status}", safe=False)
async def own_only(status: int, wish: Wish) -> Done:
    raise Problem(status, "own-words", "It is so.")


@pytest.mark.parametrize("kind", ["safe", "unsafe", "second", "second-safe", "beside"])
async def test_a_refusal_is_stored_and_the_same_key_gets_it_again(redis_url: str, kind: str) -> None:
    async with asking(gateway, redis_url) as (client, told):
        told.answers["/things/first"] = DONE
        for status in STORED:
            told.answers[f"/things/{status}"] = refusal(status)
            first = await post(client, f"/api/{kind}/{status}", f"k{status}")
            assert (first.status_code, first.json()["code"]) == (status, "refused")
            sent = len(told.asked)
            told.answers[f"/things/{status}"] = DONE
            again = await post(client, f"/api/{kind}/{status}", f"k{status}")
            assert again.headers["idempotency-replayed"] == "true"
            assert (again.status_code, again.content) == (status, first.content)
            assert len(told.asked) == sent


@pytest.mark.parametrize("kind", ["safe", "unsafe", "second-safe"])
async def test_423_429_and_mistakes_of_the_gateway_release_the_key(redis_url: str, kind: str) -> None:
    async with asking(gateway, redis_url) as (client, told):
        told.answers["/things/first"] = DONE
        for status, answered in (
            (423, 423),
            (429, 503),
            (503, 503),
            (401, 502),
            (405, 502),
            (406, 502),
            (415, 502),
            (418, 502),
        ):
            told.answers[f"/things/{status}"] = refusal(status)
            first = await post(client, f"/api/{kind}/{status}", f"k{status}")
            assert first.status_code == answered
            assert "idempotency-replayed" not in first.headers
            told.answers[f"/things/{status}"] = DONE
            again = await post(client, f"/api/{kind}/{status}", f"k{status}")
            assert (again.status_code, again.json()) == (200, {"name": "done"}), status


@pytest.mark.parametrize("kind", ["safe", "unsafe"])
async def test_a_refusal_with_retry_after_is_not_stored(redis_url: str, kind: str) -> None:
    async with asking(gateway, redis_url) as (client, told):
        for status in (409, 413):
            told.answers[f"/things/{status}"] = refusal(
                status, b'{"code":"in-flight"}', "content-type: application/json\r\nretry-after: 2\r\n"
            )
            first = await post(client, f"/api/{kind}/{status}", f"k{status}")
            assert (first.status_code, first.headers["retry-after"]) == (status, "2")
            assert first.json()["retry_after"] == 2
            told.answers[f"/things/{status}"] = DONE
            again = await post(client, f"/api/{kind}/{status}", f"k{status}")
            assert again.status_code == 200


async def test_after_a_completed_write_every_refusal_is_stored(redis_url: str) -> None:
    async with asking(gateway, redis_url) as (client, told):
        told.answers["/things/first"] = DONE
        for status, answered in ((423, 423), (401, 502), (405, 502), (415, 502)):
            told.answers[f"/things/{status}"] = refusal(status)
            first = await post(client, f"/api/second/{status}", f"k{status}")
            assert first.status_code == answered
            told.answers[f"/things/{status}"] = DONE
            sent = len(told.asked)
            again = await post(client, f"/api/second/{status}", f"k{status}")
            assert (again.status_code, again.content) == (answered, first.content)
            assert again.headers["idempotency-replayed"] == "true"
            assert len(told.asked) == sent, "the first write was not done twice"


async def test_a_refusal_that_the_function_handles_gets_the_functions_answer(redis_url: str) -> None:
    async with asking(gateway, redis_url) as (client, told):
        told.answers["/things/405"] = refusal(405)
        for _ in range(2):
            answer = await post(client, "/api/caught/405", "k")
            assert (answer.status_code, answer.json()) == (200, {"name": "refused with 405"})
        assert len(told.asked) == 1


async def test_a_problem_that_the_function_raises_is_an_outcome_too(redis_url: str) -> None:
    async with asking(gateway, redis_url) as (client, told):
        told.answers["/things/first"] = DONE
        for status in (*STORED, 423, 418):
            first = await post(client, f"/api/own/{status}", f"k{status}")
            assert (first.status_code, first.json()["code"], first.headers["x-more"]) == (
                status,
                "own-words",
                "1",
            )
            sent = len(told.asked)
            again = await post(client, f"/api/own/{status}", f"k{status}")
            assert (again.status_code, again.content) == (status, first.content)
            assert len(told.asked) == sent
        for status in (423, 418, 503):
            await post(client, f"/api/own-only/{status}", f"o{status}")
            again = await post(client, f"/api/own-only/{status}", f"o{status}")
            assert (again.status_code, "idempotency-replayed" in again.headers) == (status, False)
        failed = await post(client, "/api/own/503", "k503")
        again = await post(client, "/api/own/503", "k503")
        assert (failed.status_code, again.json()["code"]) == (503, "idempotency-unknown")


async def test_a_conflict_with_an_attempt_that_got_no_answer_is_not_the_outcome(redis_url: str) -> None:
    """The service may still be working on the first attempt: it answers 409 to the second one."""
    seen: list[str] = []

    async def cut_then_conflict(asked: Asked, writer: asyncio.StreamWriter) -> None:
        seen.append(asked.headers["idempotency-key"])
        if len(seen) == 1:
            writer.transport.abort()
        else:
            writer.write(refusal(409, b'{"code":"in-progress"}') if len(seen) == 2 else DONE)

    async with asking(gateway, redis_url, attempts=2) as (client, told):
        told.answers["/things/slow"] = cut_then_conflict
        first = await post(client, "/api/safe/slow", "k")
        assert (first.status_code, first.json()["code"]) == (502, "unreachable")
        again = await post(client, "/api/safe/slow", "k")
        assert (again.status_code, again.json()) == (200, {"name": "done"})
        assert len(seen) == 3 and len(set(seen)) == 1


async def test_a_conflict_after_a_connection_was_opened_again_is_not_the_outcome(
    redis_url: str,
) -> None:
    """A kept-alive connection was closed while it was used, so the write was sent twice."""
    seen: list[str] = []

    async def drop_then_conflict(asked: Asked, writer: asyncio.StreamWriter) -> None:
        seen.append(asked.path)
        if len(seen) == 2:
            writer.transport.abort()
        else:
            writer.write(refusal(409, b'{"code":"in-progress"}') if len(seen) == 3 else DONE)

    async with asking(gateway, redis_url) as (client, told):
        told.answers["/things/slow"] = drop_then_conflict
        assert (await post(client, "/api/safe/slow", "warm")).status_code == 200
        first = await post(client, "/api/safe/slow", "k")
        assert (first.status_code, first.json()["code"]) == (502, "unreachable")
        assert len(seen) == 3
        again = await post(client, "/api/safe/slow", "k")
        assert (again.status_code, again.json()) == (200, {"name": "done"})
