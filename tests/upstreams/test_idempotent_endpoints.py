"""Idempotency keys and planned faults, on real sockets and real files."""

from __future__ import annotations

import asyncio

import pytest
from bff_service import Problem
from bff_service.idempotency import parse_key

from tests.upstreams.conftest import Issuer, Serve, until
from tests.upstreams.notes import build


async def test_a_mutation_without_a_key_is_refused(serve: Serve, issuer: Issuer) -> None:
    notes = await serve(build)
    for key in (None, '"unclosed'):
        answer = await notes.post("/notes", {"text": "a"}, token=issuer.token(), key=key)
        assert answer.status_code == 400
        assert answer.json()["code"].startswith("idempotency-key-")
    assert (await notes.get("/notes")).json() == {"count": 0}


def test_a_key_is_a_structured_string_or_a_bare_token() -> None:
    assert parse_key('"a b\\"c"') == 'a b"c'
    assert parse_key("8e03978e-40d5-43dd-bc93-6894a57f9324") == "8e03978e-40d5-43dd-bc93-6894a57f9324"
    assert parse_key('"8e03978e"') == parse_key("8e03978e")
    for wrong in (None, "", '""', '"a', "a b", "ключ", "x" * 256, '"\\a"', '"a", "b"'):
        with pytest.raises(Problem):
            parse_key(wrong)


async def test_the_same_key_gets_the_same_answer_and_another_payload_is_refused(
    serve: Serve, issuer: Issuer
) -> None:
    notes = await serve(build)
    first = await notes.post("/notes", {"text": "a"}, token=issuer.token(), key='"k"')
    again = await notes.post("/notes", {"text": "a"}, token=issuer.token(), key="k")
    other = await notes.post("/notes", {"text": "b"}, token=issuer.token(), key="k")
    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["location"] == first.headers["location"] == "/notes/1"
    assert ("idempotency-replayed" in first.headers, again.headers["idempotency-replayed"]) == (False, "true")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")
    assert (await notes.get("/notes")).json() == {"count": 1}


async def test_two_callers_may_use_the_same_key(serve: Serve, issuer: Issuer) -> None:
    notes = await serve(build)
    for person in ("ada", "grace"):
        answer = await notes.post("/notes", {"text": "a"}, token=issuer.token(person), key="k")
        assert (answer.status_code, "idempotency-replayed" in answer.headers) == (201, False)


async def test_a_final_refusal_is_stored_and_a_temporary_one_may_be_tried_again(
    serve: Serve, issuer: Issuer
) -> None:
    notes = await serve(build)
    for replayed in (False, True):
        answer = await notes.post("/notes", {"text": "never"}, token=issuer.token(), key="k-1")
        assert (answer.status_code, answer.json()["code"]) == (409, "no")
        assert ("idempotency-replayed" in answer.headers) is replayed
    assert (await notes.post("/notes", {"text": "later"}, token=issuer.token(), key="k-2")).status_code == 409
    assert (await notes.post("/notes", {"text": "later"}, token=issuer.token(), key="k-2")).status_code == 201
    assert (await notes.get("/notes")).json() == {"count": 1}


async def test_fifty_duplicates_at_once_have_one_effect(serve: Serve, issuer: Issuer) -> None:
    notes = await serve(build)
    token = issuer.token()
    answers = await asyncio.gather(
        *(notes.post("/notes", {"text": "a"}, token=token, key="k") for _ in range(50))
    )
    assert {answer.status_code for answer in answers} == {201}
    assert (await notes.get("/notes")).json() == {"count": 1}


async def test_a_transaction_that_loses_a_race_for_a_row_is_tried_again(serve: Serve, issuer: Issuer) -> None:
    notes = await serve(build)
    answer = await notes.post("/notes", {"text": "race"}, token=issuer.token())
    assert answer.status_code == 201
    assert (await notes.get("/notes")).json() == {"count": 1}


async def test_an_effect_is_made_although_its_client_disconnected(serve: Serve, issuer: Issuer) -> None:
    notes = await serve(build)
    await notes.faults(hold="before")
    waiting = asyncio.ensure_future(notes.post("/notes", {"text": "a"}, token=issuer.token(), key="k"))
    await notes.held()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await notes.client.delete("/faults")

    async def made() -> bool:
        return bool((await notes.get("/notes")).json()["count"] == 1)

    await until(made)
    again = await notes.post("/notes", {"text": "a"}, token=issuer.token(), key="k")
    assert (again.status_code, again.headers["idempotency-replayed"]) == (201, "true")
    assert (await notes.get("/notes")).json() == {"count": 1}


async def test_fault_switches_are_off_by_default(serve: Serve) -> None:
    notes = await serve(build, faults=False)
    assert (await notes.client.put("/faults", json={"latency_ms": 1})).status_code == 404


async def test_faults_apply_to_matching_requests_as_often_as_set(serve: Serve, issuer: Issuer) -> None:
    notes = await serve(build)
    await notes.faults(error_rate=1, status=500, match="GET /notes", times=2)
    assert [(await notes.get("/notes")).status_code for _ in range(3)] == [500, 500, 200]
    await notes.faults(error_rate=1, match="POST /loose/{id}$")
    assert (await notes.get("/notes")).status_code == 200
    assert (await notes.post("/loose/7", token=issuer.saga_token())).status_code == 503
    await notes.faults(error_rate=1)
    for path in ("/livez", "/readyz", "/openapi.json", "/faults"):
        assert (await notes.get(path)).status_code == 200
    assert (await notes.get("/notes")).json()["code"] == "fault-injected"
    await notes.client.delete("/faults")
    assert (await notes.get("/notes")).status_code == 200


async def test_a_wrong_fault_plan_is_refused_with_a_pointer(serve: Serve) -> None:
    notes = await serve(build)
    answer = await notes.client.put("/faults", json={"error_rate": 2, "typo": 1})
    assert {error["pointer"] for error in answer.json()["errors"]} == {"/error_rate", "/typo"}


async def test_held_requests_wait_before_or_after_their_effect_until_released(
    serve: Serve, issuer: Issuer
) -> None:
    notes = await serve(build)
    for hold, effects in (("before", 0), ("after", 2)):
        await notes.faults(hold=hold, match="POST /notes")
        async with asyncio.TaskGroup() as group:
            parked = group.create_task(notes.post("/notes", {"text": "a"}, token=issuer.token()))
            await notes.held()
            assert (await notes.get("/notes")).json() == {"count": effects}
            await notes.release()
        assert parked.result().status_code == 201


async def test_a_slow_service_has_the_delay_that_was_set(serve: Serve) -> None:
    notes = await serve(build)
    await notes.faults(latency_ms=200)
    loop = asyncio.get_running_loop()
    began = loop.time()
    await notes.get("/notes")
    assert loop.time() - began >= 0.2
