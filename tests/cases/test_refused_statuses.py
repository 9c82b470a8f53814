"""A refusal of a service became 502 unless it was 404, 409 or 422, and its reason was lost.

Right: the outcome table (docs/contract.md, "Refusals"). Screens pass 404, 409, 410 and 422 on, commands also 400, 412,
413, 423, 428 and 451; both pass 402 and 403 on only where the call told the service who asks; 429 and 503 are
`overloaded`; every other 4xx is the gateway's own mistake. Sources: RFC 9110 section 15.5, RFC 6585, RFC 4918 section
11.3, RFC 7725.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

import pytest

from bff import DeclarationError, Gateway, Problem, Refused
from bff.calls import OUTCOMES

from ..wire.gateway import bearer
from ..wire.scripted import Asked
from .refusing import Done, Wish, asking, http, post, refusal, service

gateway = Gateway("refusals", deadline=15)
SAID = b'{"code":"because","detail":"It is so."}'
PROBLEM = "content-type: application/problem+json\r\n"


@gateway.view("/api/screen/{how}")
async def screen(how: str) -> Done:
    return await service.read(how)


@gateway.view("/api/public/{how}", public=True)
async def public(how: str) -> Done:
    return await service.read(how).public()


@gateway.view("/api/own/{how}")
async def own_words(how: str) -> Done:
    try:
        return await service.read(how)
    except Refused as no:
        raise Problem(409, f"own-{no.problem['code']}", f"It said {no.status}.") from no


@gateway.view("/api/loose/{how}")
async def loose(how: str) -> Done:
    return await service.read(how).passes(400, 415)


@gateway.view("/api/strict/{how}", public=True)
async def strict(how: str) -> Done:
    return await service.read(how).public().passes(403, only=True)


@gateway.command("/api/command/{how}")
async def command(how: str, wish: Wish) -> Done:
    return await service.write(how, wish)


BOTH = {404, 409, 410, 422}
COMMANDS = BOTH | {400, 412, 413, 423, 428, 451}
IDENTIFIED = {402, 403}
EVERY = sorted(COMMANDS | IDENTIFIED | {401, 405, 406, 407, 408, 411, 415, 418, 421, 424, 425, 426, 431, 499})


async def test_each_status_is_passed_on_as_the_table_says(redis_url: str) -> None:
    async with asking(gateway, redis_url) as (client, told):
        for status in EVERY:
            told.answers[f"/things/{status}"] = refusal(status, SAID, PROBLEM)
            screen = await client.get(f"/api/screen/{status}", headers=bearer())
            public = await client.get(f"/api/public/{status}")
            command = await post(client, f"/api/command/{status}", f"k{status}")
            for answer, passed in (
                (screen, BOTH | IDENTIFIED),
                (public, BOTH),
                (command, COMMANDS | IDENTIFIED),
            ):
                problem = answer.json()
                assert answer.headers["content-type"] == "application/problem+json"
                assert problem["owner"]["team"] == "Service team"
                if status in passed:
                    assert (answer.status_code, problem["code"]) == (status, "because"), answer.text
                    assert problem["detail"] == "It is so."
                else:
                    assert (answer.status_code, problem["code"]) == (502, "refused"), answer.text
                    assert "It is so." not in answer.text, "the status was not meant for this client"
                    assert str(status) in problem["detail"]


async def test_402_and_403_are_502_where_the_service_does_not_know_who_asks(redis_url: str) -> None:
    async with asking(gateway, redis_url, identity="none") as (client, told):
        for status in (402, 403):
            told.answers[f"/things/{status}"] = refusal(status, SAID, PROBLEM)
            for answer in (
                await client.get(f"/api/screen/{status}", headers=bearer()),
                await post(client, f"/api/command/{status}", f"k{status}"),
            ):
                assert (answer.status_code, answer.json()["code"]) == (502, "refused")


async def test_overload_redirects_and_odd_statuses_are_no_refusals(redis_url: str) -> None:
    async with asking(gateway, redis_url) as (client, told):
        for status, code, answered in (
            (429, "overloaded", 503),
            (503, "overloaded", 503),
            (500, "failed", 502),
            (501, "failed", 502),
            (599, "failed", 502),
            (301, "failed", 502),
            (302, "failed", 502),
            (304, "failed", 502),
            (307, "failed", 502),
        ):
            where = "location: http://127.0.0.1:1/secret\r\n" if status < 400 else PROBLEM
            told.answers[f"/things/{status}"] = http(status, b"" if status == 304 else SAID, where)
            answer = await client.get(f"/api/screen/{status}", headers=bearer())
            assert (answer.status_code, answer.json()["code"]) == (answered, code), status
            assert "It is so." not in answer.text and "secret" not in answer.text


async def test_redirects_of_one_person_do_not_open_the_breaker_for_everybody(redis_url: str) -> None:
    async with asking(gateway, redis_url) as (client, told):
        breakers = (await gateway.start()).calls.pipeline.clients["service"].breakers
        breakers.rule = replace(breakers.rule, failures=2, error_rate=0.1, minimum=1)
        told.answers["/things/x"] = http(302, b"", "location: /login\r\n")
        for _ in range(5):
            await client.get("/api/screen/x", headers=bearer())
        told.answers["/things/x"] = http(200, b'{"name":"x"}')
        assert (await client.get("/api/screen/x", headers=bearer("bea"))).status_code == 200


async def test_a_call_may_pass_other_statuses_on_or_only_some(redis_url: str) -> None:
    async with asking(gateway, redis_url) as (client, told):
        for status in (400, 403, 404, 405, 415, 423):
            told.answers[f"/things/{status}"] = refusal(status, SAID, PROBLEM)
            loose = await client.get(f"/api/loose/{status}", headers=bearer())
            assert loose.status_code == (status if status in (400, 403, 404, 415) else 502)
            strict = await client.get(f"/api/strict/{status}")
            assert strict.status_code == (403 if status == 403 else 502)


async def test_a_view_may_catch_a_refusal_and_answer_with_its_own_problem(redis_url: str) -> None:
    async with asking(gateway, redis_url) as (client, told):
        told.answers["/things/405"] = refusal(405, SAID, PROBLEM)
        answer = await client.get("/api/own/405", headers=bearer())
        problem = answer.json()
        assert (answer.status_code, problem["code"], problem["detail"]) == (
            409,
            "own-because",
            "It said 405.",
        )
        assert "owner" not in problem


async def test_two_screens_that_share_one_read_each_apply_their_own_rule(redis_url: str) -> None:
    both = asyncio.Event()

    async def later(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await both.wait()
        writer.write(refusal(415, SAID, PROBLEM))

    async with asking(gateway, redis_url) as (client, told):
        told.answers["/things/slow"] = later
        first = asyncio.create_task(client.get("/api/screen/slow", headers=bearer()))
        await told.news.wait()
        second = asyncio.create_task(client.get("/api/loose/slow", headers=bearer()))
        runtime = await gateway.start()
        while not any(flight.followers for flight in runtime.calls.coalescer.flights):
            await asyncio.sleep(0.01)
        both.set()
        assert ((await first).status_code, (await second).status_code) == (502, 415)
        assert len(told.asked) == 1


def test_a_status_that_no_call_may_pass_on_is_a_declaration_error() -> None:
    call = service.read("x")
    for wrong in (200, 302, 399, 401, 407, 429, 500, 503):
        with pytest.raises(DeclarationError, match="passes"):
            call.passes(wrong)
    with pytest.raises(DeclarationError, match="passes"):
        call.passes()
    assert call.passes(400) == service.read("x").passes(400) != call
    assert hash(call.passes(400)) == hash(service.read("x").passes(400))
    assert call.outcomes is OUTCOMES


async def test_a_mistake_of_the_gateway_is_logged_with_the_reason_of_the_service_but_not_each_time(
    redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with asking(gateway, redis_url) as (client, told):
        told.answers["/things/405"] = refusal(405, SAID, PROBLEM)
        told.answers["/things/404"] = refusal(404, SAID, PROBLEM)
        with caplog.at_level(logging.WARNING, logger="bff.upstreams"):
            for _ in range(20):
                for status in (404, 405):
                    await client.get(f"/api/public/{status}")
    (record,) = [one for one in caplog.records if "not passed on" in one.getMessage()]
    assert "It is so." in record.getMessage()
    assert vars(record)["fields"] == {"upstream": "service", "call": "Service.read", "status": 405}
