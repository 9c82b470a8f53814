"""What every service does with HTTP: problems, ids, bounds, health, idempotency keys and logs."""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from openapi_spec_validator import validate
from pydantic import BaseModel, Field
from sqlalchemy import Column, Integer, MetaData, String, Table, func, insert, select
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from tests.upstreams.conftest import Issuer, Process, Serve, until
from upstreams.kit import Answer, Ask, Nothing, Refusal, Service, ServiceSettings
from upstreams.kit.envelope import Envelope
from upstreams.kit.idempotency import parse_key
from upstreams.kit.logs import JsonLines
from upstreams.kit.problems import Problem
from upstreams.kit.tracing import continued, enter_hop

NO = Refusal(409, "no", "Never.", final=True)
LATER = Refusal(409, "later", "Not now.")


class Note(BaseModel):
    text: str = Field(min_length=1)
    depth: list[list[int]] = []


class Count(BaseModel):
    count: int


def build(settings: ServiceSettings) -> Service:
    """A service of the tests' own: notes are written down, some texts are refused."""
    metadata = MetaData()
    notes = Table("notes", metadata, Column("id", Integer, primary_key=True), Column("text", String(100)))

    async def page(_request: Request) -> Response:
        return PlainTextResponse("a page")

    service = Service(
        "notes",
        team="Notes",
        contact="#notes",
        settings=settings,
        metadata=metadata,
        routes=[Route("/page", page)],
    )
    seen: list[str] = []

    async def write(ask: Ask[Note]) -> Answer:
        await ask.db.execute(insert(notes).values(text=ask.input.text))
        seen.append(ask.input.text)
        if ask.input.text == "never":
            raise NO.problem()
        if ask.input.text == "later" and seen.count("later") == 1:
            raise LATER.problem()
        if ask.input.text == "race" and seen.count("race") == 1:
            await ask.db.execute(
                insert(notes), [{"id": 1000, "text": "mine"}, {"id": 1000, "text": "theirs"}]
            )
        if ask.input.text == "crash" and seen.count("crash") == 1:
            raise ZeroDivisionError("the secret of this crash")
        return Answer(Count(count=1), location="/notes/1")

    async def count(ask: Ask[Nothing]) -> Count:
        return Count(count=(await ask.db.execute(select(func.count()).select_from(notes))).scalar_one())

    async def loose(ask: Ask[Nothing]) -> Note:
        return Note(text=f"{ask.key} {ask.fingerprint[:8]} {ask.hop.trace_id}")

    service.post(
        "/notes", write, takes=Note, answers=Count, status=201, scope="saga", or_person=True, refuses=(NO,)
    )
    service.get("/notes", count, takes=Nothing, answers=Count, public=True)
    service.post("/loose/{id}", loose, takes=Nothing, answers=Note, scope="saga", transaction=False)
    return service


async def test_unknown_paths_and_methods_are_problems(serve: Serve) -> None:
    notes = await serve(build)
    missing = await notes.get("/nowhere")
    wrong = await notes.client.delete("/notes")
    for answer, status, code in ((missing, 404, "not-found"), (wrong, 405, "method-not-allowed")):
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"] == code
        assert answer.json()["instance"] == f"urn:uuid:{answer.headers['x-correlation-id']}"
    assert {"GET", "POST"} <= {method.strip() for method in wrong.headers["allow"].split(",")}
    assert "server" not in missing.headers


async def test_a_crash_is_a_problem_without_its_secret_and_leaves_no_effect(
    serve: Serve, issuer: Issuer, caplog: pytest.LogCaptureFixture
) -> None:
    notes = await serve(build)
    answer = await notes.post("/notes", {"text": "crash"}, token=issuer.token(), key="k")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal-error")
    assert "secret" not in answer.text
    assert "the secret of this crash" in caplog.text
    assert (await notes.get("/notes")).json() == {"count": 0}
    assert (await notes.post("/notes", {"text": "crash"}, token=issuer.token(), key="k")).status_code == 201


async def test_ids_are_continued_when_valid_and_begun_when_not(serve: Serve, issuer: Issuer) -> None:
    notes = await serve(build)
    correlation, trace = str(uuid.uuid4()), "0af7651916cd43dd8448eb211c80319c"
    good = {"X-Correlation-ID": correlation, "traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    answer = await notes.post("/loose/1", token=issuer.saga_token(), headers=good)
    assert answer.headers["x-correlation-id"] == correlation
    assert answer.json()["text"].endswith(trace)
    bad = {"X-Correlation-ID": "<script>", "traceparent": f"00-{'0' * 32}-b7ad6b7169203331-01"}
    answer = await notes.post("/loose/1", token=issuer.saga_token(), headers=bad)
    assert uuid.UUID(answer.headers["x-correlation-id"])
    assert not answer.json()["text"].endswith("0" * 32)


async def test_bodies_have_a_bound_a_type_and_a_shape(serve: Serve, issuer: Issuer) -> None:
    notes = await serve(build)
    head = {"Authorization": f"Bearer {issuer.token()}", "Idempotency-Key": "k"}
    json_head = {**head, "Content-Type": "application/json"}

    async def chunks() -> Any:
        for _ in range(70):
            yield b"x" * 1024

    cases: list[tuple[int, dict[str, str], Any]] = [
        (413, json_head, b"x" * (64 * 1024 + 1)),
        (413, json_head, chunks()),
        (415, {**head, "Content-Type": "text/plain"}, b'{"text":"a"}'),
        (422, json_head, b"{"),
        (422, json_head, b"[]"),
        (422, json_head, b""),
    ]
    for status, headers, content in cases:
        answer = await notes.client.post("/notes", headers=headers, content=content)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    deep = await notes.post("/notes", {"text": "", "depth": [[1], [2, "x"]]}, token=issuer.token())
    assert {error["pointer"] for error in deep.json()["errors"]} == {"/text", "/depth/1/1"}


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


async def test_the_same_key_answers_again_and_another_payload_is_refused(
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


async def test_a_final_refusal_is_stored_and_another_may_be_tried_again(serve: Serve, issuer: Issuer) -> None:
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


async def test_the_loser_of_a_race_for_a_row_tries_again(serve: Serve, issuer: Issuer) -> None:
    notes = await serve(build)
    answer = await notes.post("/notes", {"text": "race"}, token=issuer.token())
    assert answer.status_code == 201
    assert (await notes.get("/notes")).json() == {"count": 1}


async def test_an_effect_is_made_though_its_client_hung_up(serve: Serve, issuer: Issuer) -> None:
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


async def test_one_request_too_many_is_told_to_come_back() -> None:
    gate = asyncio.Event()

    async def waiting(scope: Scope, receive: Receive, send: Send) -> None:
        await gate.wait()
        await PlainTextResponse("done")(scope, receive, send)

    transport = httpx.ASGITransport(Envelope(waiting, limit=2))
    async with (
        httpx.AsyncClient(transport=transport, base_url="http://notes") as client,
        asyncio.TaskGroup() as group,
    ):
        admitted = [group.create_task(client.get("/")) for _ in range(2)]
        await asyncio.sleep(0)
        refused = await client.get("/")
        gate.set()
    assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
    assert refused.headers["retry-after"] == "1"
    assert [task.result().status_code for task in admitted] == [200, 200]


def test_one_address_can_name_every_services_database() -> None:
    settings = ServiceSettings(database_url="postgresql+asyncpg://host/shop_{service}")
    assert settings.database_of("orders") == "postgresql+asyncpg://host/shop_orders"


async def test_health_names_the_dependencies(serve: Serve) -> None:
    notes = await serve(build)
    assert (await notes.get("/livez")).json() == {"status": "alive", "service": "notes"}
    ready = (await notes.get("/readyz")).json()
    assert ready["dependencies"] == {"database": {"ready": True, "required": True}}


async def test_a_service_that_misses_a_required_dependency_is_not_ready(serve: Serve) -> None:
    def needy(settings: ServiceSettings) -> Service:
        async def away() -> None:
            raise OSError("away")

        service = build(settings)
        service.needs("engine", away)
        return service

    answer = await (await serve(needy)).get("/readyz")
    assert (answer.status_code, answer.json()["dependencies"]["engine"]["ready"]) == (503, False)


async def test_openapi_tells_access_keys_and_refusals(serve: Serve) -> None:
    document = (await (await serve(build)).get("/openapi.json")).json()
    validate(document)
    write = document["paths"]["/notes"]["post"]
    assert document["openapi"].startswith("3.1")
    assert write["security"] == [{"token": []}]
    assert "security" not in document["paths"]["/notes"]["get"]
    assert {"201", "400", "401", "403", "409", "422"} <= set(write["responses"])
    assert [parameter["name"] for parameter in write["parameters"]] == ["Idempotency-Key"]


async def test_a_service_may_serve_pages_of_its_own(serve: Serve) -> None:
    assert (await (await serve(build)).get("/page")).text == "a page"


async def test_faults_are_not_there_unless_asked_for(serve: Serve) -> None:
    notes = await serve(build, faults=False)
    assert (await notes.client.put("/faults", json={"latency_ms": 1})).status_code == 404


async def test_faults_strike_what_matches_as_often_as_asked(serve: Serve, issuer: Issuer) -> None:
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


async def test_a_slow_service_is_slow_by_what_was_asked(serve: Serve) -> None:
    notes = await serve(build)
    await notes.faults(latency_ms=200)
    loop = asyncio.get_running_loop()
    began = loop.time()
    await notes.get("/notes")
    assert loop.time() - began >= 0.2


async def test_sigterm_ends_a_service_promptly_even_with_a_held_request(
    process: Callable[..., Process], issuer: Issuer
) -> None:
    service = process("upstreams.catalog")
    catalog = await service.start()
    await catalog.faults(hold="before", match="GET /products")
    held = asyncio.ensure_future(catalog.get("/products"))
    await catalog.held()
    assert service.program is not None
    began = asyncio.get_running_loop().time()
    await asyncio.to_thread(service.program.stop)
    assert asyncio.get_running_loop().time() - began < 3
    await asyncio.gather(held, return_exceptions=True)


async def test_a_process_logs_json_lines_with_both_ids(process: Callable[..., Process]) -> None:
    service = process("upstreams.catalog")
    catalog = await service.start()
    correlation, trace = str(uuid.uuid4()), "0af7651916cd43dd8448eb211c80319c"
    headers = {"X-Correlation-ID": correlation, "traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    await catalog.get("/products", headers=headers)
    assert service.program is not None
    await asyncio.to_thread(service.program.stop)
    lines = [json.loads(line) for line in service.program.log.read_text().splitlines()]
    found = [line for line in lines if line.get("path") == "/products"]
    assert [(line["correlation_id"], line["trace_id"], line["status"]) for line in found] == [
        (correlation, trace, 200)
    ]


def test_a_log_line_is_one_json_object_whatever_it_holds() -> None:
    enter_hop(continued({}))
    record = logging.makeLogRecord(
        {"msg": 'two\nlines "quoted" %s', "args": ("é",), "levelname": "INFO", "order": 7}
    )
    line = JsonLines("notes").format(record)
    assert "\n" not in line
    assert json.loads(line)["message"] == 'two\nlines "quoted" é'
    assert json.loads(line)["order"] == 7
