"""Payments' API on real sockets and real files: killed, restarted, fifty requests at once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import httpx
from openapi_spec_validator import validate

from tests.upstreams.conftest import Issuer, Process, Running, Serve
from upstreams.payments.app import build


def charge_of(order: str = "order-1", owner: str = "http://issuer|ada", cents: int = 1890) -> dict[str, Any]:
    return {"order_id": order, "owner": owner, "amount_cents": cents, "currency": "EUR"}


async def charges(payments: Running, issuer: Issuer) -> list[dict[str, Any]]:
    answer = await payments.get("/charges", token=issuer.saga_token())
    return list(answer.json()["charges"])


async def test_a_charge_is_captured(serve: Serve, issuer: Issuer) -> None:
    payments = await serve(build)
    answer = await payments.post("/charges", charge_of(), token=issuer.saga_token())
    assert answer.status_code == 201
    assert answer.json() == {
        "order_id": "order-1",
        "charge_id": answer.json()["charge_id"],
        "status": "captured",
    }
    assert answer.json()["charge_id"]


async def test_brunos_card_is_declined_and_the_refusal_is_repeated(serve: Serve, issuer: Issuer) -> None:
    payments = await serve(build)
    body = charge_of(owner="http://issuer|bruno")
    first = await payments.post("/charges", body, token=issuer.saga_token(), key="k-1")
    again = await payments.post("/charges", body, token=issuer.saga_token(), key="k-1")
    assert (first.status_code, first.json()["code"]) == (402, "card-declined")
    assert again.json() == first.json()
    assert again.headers["idempotency-replayed"] == "true"
    assert again.headers["content-type"] == "application/problem+json"
    assert await charges(payments, issuer) == []


async def test_fifty_duplicates_at_once_make_one_charge(serve: Serve, issuer: Issuer) -> None:
    payments = await serve(build)
    token = issuer.saga_token()
    answers = await asyncio.gather(
        *(payments.post("/charges", charge_of(), token=token, key="same") for _ in range(50))
    )
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.text for answer in answers}) == 1
    assert sum("idempotency-replayed" in answer.headers for answer in answers) == 49
    assert len(await charges(payments, issuer)) == 1


async def test_fifty_keys_at_once_for_one_order_make_one_charge(serve: Serve, issuer: Issuer) -> None:
    payments = await serve(build)
    token = issuer.saga_token()
    answers = await asyncio.gather(*(payments.post("/charges", charge_of(), token=token) for _ in range(50)))
    assert len({answer.text for answer in answers}) == 1
    assert len(await charges(payments, issuer)) == 1


async def test_two_replicas_on_one_file_make_one_charge(serve: Serve, issuer: Issuer) -> None:
    replicas = [await serve(build), await serve(build)]
    token = issuer.saga_token()
    answers = await asyncio.gather(
        *(replicas[n % 2].post("/charges", charge_of(), token=token) for n in range(30))
    )
    assert {(answer.status_code, answer.text) for answer in answers} == {(201, answers[0].text)}
    assert len(await charges(replicas[0], issuer)) == 1


async def test_the_same_order_with_another_amount_is_refused(serve: Serve, issuer: Issuer) -> None:
    payments = await serve(build)
    await payments.post("/charges", charge_of(), token=issuer.saga_token())
    answer = await payments.post("/charges", charge_of(cents=1), token=issuer.saga_token())
    assert (answer.status_code, answer.json()["code"]) == (409, "order-differs")


async def test_a_refund_is_made_once_however_often_it_is_sent(serve: Serve, issuer: Issuer) -> None:
    payments = await serve(build)
    token = issuer.saga_token()
    await payments.post("/charges", charge_of(), token=token)
    for _ in range(2):
        answer = await payments.post("/charges/order-1/refund", token=token)
        assert answer.json() == {"order_id": "order-1", "status": "refunded"}
    assert [charge["status"] for charge in await charges(payments, issuer)] == ["refunded"]


async def test_a_refund_that_comes_first_refuses_the_late_charge(serve: Serve, issuer: Issuer) -> None:
    payments = await serve(build)
    token = issuer.saga_token()
    assert (await payments.post("/charges/order-1/refund", token=token)).status_code == 200
    late = await payments.post("/charges", charge_of(), token=token)
    assert (late.status_code, late.json()["code"]) == (409, "cancelled")
    assert await charges(payments, issuer) == []
    assert (await payments.get("/charges/order-1", token=token)).status_code == 404


async def test_only_the_owner_and_the_saga_see_a_charge(serve: Serve, issuer: Issuer) -> None:
    payments = await serve(build)
    created = await payments.post("/charges", charge_of(owner=f"{issuer.url}|ada"), token=issuer.saga_token())
    expected = {**created.json(), "amount_cents": 1890, "currency": "EUR"}
    assert (await payments.get("/charges/order-1", token=issuer.token("ada"))).json() == expected
    assert (await payments.get("/charges/order-1", token=issuer.saga_token())).json() == expected
    assert (await payments.get("/charges/order-1", token=issuer.token("grace"))).status_code == 404
    assert (await payments.get("/charges/order-1")).status_code == 401
    assert (await payments.get("/charges", token=issuer.token("ada"))).status_code == 403


async def test_a_person_may_not_charge(serve: Serve, issuer: Issuer) -> None:
    payments = await serve(build)
    answer = await payments.post("/charges", charge_of(), token=issuer.token("ada"))
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


async def test_wrong_amounts_are_refused_with_pointers(serve: Serve, issuer: Issuer) -> None:
    payments = await serve(build)
    body = {"order_id": "", "owner": "x", "amount_cents": 0, "currency": "euro"}
    answer = await payments.post("/charges", body, token=issuer.saga_token())
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid-input")
    assert {error["pointer"] for error in answer.json()["errors"]} == {
        "/order_id",
        "/amount_cents",
        "/currency",
    }


async def test_the_planned_refusal_is_a_declined_card_and_does_not_affect_refunds(
    serve: Serve, issuer: Issuer
) -> None:
    payments = await serve(build)
    token = issuer.saga_token()
    await payments.faults(refuse=True, times=1)
    assert (await payments.post("/charges/order-0/refund", token=token)).status_code == 200
    declined = await payments.post("/charges", charge_of(), token=token)
    assert (declined.status_code, declined.json()["code"]) == (402, "card-declined")
    assert (await payments.post("/charges", charge_of(), token=token)).status_code == 201


async def test_payments_openapi_is_valid(serve: Serve) -> None:
    payments = await serve(build)
    validate((await payments.get("/openapi.json")).json())


async def _killed_while_held(service: Process, issuer: Issuer, hold: str) -> Running:
    payments = await service.start()
    await payments.faults(hold=hold, match="POST /charges$")
    async with asyncio.TaskGroup() as group:

        async def charge() -> None:
            with contextlib.suppress(httpx.TransportError):
                await payments.post("/charges", charge_of(), token=issuer.saga_token(), key="k-1")
                raise AssertionError("a killed service answered")

        group.create_task(charge())
        await payments.held()
        service.kill()
    return await service.start()


async def test_a_kill_before_the_effect_leaves_none_and_the_repeat_makes_one(
    process: Callable[..., Process], issuer: Issuer
) -> None:
    payments = await _killed_while_held(process("upstreams.payments"), issuer, "before")
    assert await charges(payments, issuer) == []
    again = await payments.post("/charges", charge_of(), token=issuer.saga_token(), key="k-1")
    assert again.status_code == 201
    assert "idempotency-replayed" not in again.headers
    assert len(await charges(payments, issuer)) == 1


async def test_a_kill_after_the_effect_leaves_it_and_the_repeat_gets_the_stored_answer(
    process: Callable[..., Process], issuer: Issuer
) -> None:
    payments = await _killed_while_held(process("upstreams.payments"), issuer, "after")
    before = await charges(payments, issuer)
    assert len(before) == 1
    again = await payments.post("/charges", charge_of(), token=issuer.saga_token(), key="k-1")
    assert again.status_code == 201
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json()["charge_id"] == before[0]["charge_id"]
    assert await charges(payments, issuer) == before
