"""What every service has in common over HTTP: problems, ids, bounds, health, OpenAPI and logs."""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from bff_service import Database, IdempotencyKeys, RequestContext, TraceContext, set_trace
from bff_service.logs import JsonLines
from fastapi import FastAPI
from openapi_spec_validator import validate
from pydantic import ValidationError
from sqlalchemy import MetaData
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from tests.upstreams.conftest import Issuer, Process, Serve
from tests.upstreams.notes import NotesSettings, build
from upstreams.catalog.settings import CatalogSettings
from upstreams.kit import shop_service
from upstreams.orders.settings import OrdersSettings


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


async def test_valid_ids_are_continued_and_invalid_ones_replaced(serve: Serve, issuer: Issuer) -> None:
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


async def test_bodies_are_checked_for_size_type_and_shape(serve: Serve, issuer: Issuer) -> None:
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


async def test_a_request_beyond_the_limit_gets_retry_after() -> None:
    gate = asyncio.Event()

    async def waiting(scope: Scope, receive: Receive, send: Send) -> None:
        await gate.wait()
        await PlainTextResponse("done")(scope, receive, send)

    transport = httpx.ASGITransport(RequestContext(waiting, limit=2))
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
    url = "postgresql+asyncpg://host/shop_{service}"
    assert OrdersSettings(database_url=url).own_database_url == "postgresql+asyncpg://host/shop_orders"
    assert CatalogSettings(database_url=url).own_database_url == "postgresql+asyncpg://host/shop_catalog"


def test_an_address_that_names_one_database_for_all_is_refused_with_what_to_write() -> None:
    with pytest.raises(ValidationError, match=r"all services.*write {service} where"):
        OrdersSettings(database_url="postgresql+asyncpg://host/shop")


def test_the_settings_of_a_developers_other_programs_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"HOST": "0.0.0.0", "PORT": "1", "DATABASE_URL": "sqlite:///x", "FAULTS": "1"}.items():
        monkeypatch.setenv(name, value)
    assert OrdersSettings() == OrdersSettings(host="127.0.0.1", port=None, database_url=None, faults=False)
    monkeypatch.setenv("SHOP_PORT", "8200")
    assert OrdersSettings().port == 8200


async def test_health_names_the_dependencies(serve: Serve) -> None:
    notes = await serve(build)
    assert (await notes.get("/livez")).json() == {"status": "alive", "service": "notes"}
    ready = (await notes.get("/readyz")).json()
    assert ready["dependencies"] == {"database": {"ready": True, "required": True}}


async def test_a_service_without_a_required_dependency_is_not_ready(serve: Serve) -> None:
    def needy(settings: NotesSettings) -> FastAPI:
        async def away() -> None:
            raise OSError("away")

        metadata = MetaData()
        database = Database(settings.own_database_url, metadata)
        return shop_service(
            settings,
            database,
            IdempotencyKeys(metadata),
            migrations=database.create_tables,
            needs={"engine": away},
        )

    answer = await (await serve(needy)).get("/readyz")
    assert (answer.status_code, answer.json()["dependencies"]["engine"]["ready"]) == (503, False)


async def test_openapi_describes_access_keys_and_refusals(serve: Serve) -> None:
    document = (await (await serve(build)).get("/openapi.json")).json()
    validate(document)
    write = document["paths"]["/notes"]["post"]
    assert document["openapi"].startswith("3.1")
    assert write["security"] == [{"token": []}]
    assert "security" not in document["paths"]["/notes"]["get"]
    assert {"201", "400", "401", "403", "409", "422"} <= set(write["responses"])
    assert [parameter["name"] for parameter in write["parameters"]] == ["Idempotency-Key"]


async def test_a_service_may_serve_html_pages(serve: Serve) -> None:
    assert (await (await serve(build)).get("/page")).text == "a page"


async def test_sigterm_ends_a_service_promptly_even_with_a_held_request(
    process: Callable[..., Process], issuer: Issuer
) -> None:
    service = process("upstreams.catalog")
    catalog = await service.start()
    await catalog.faults(hold="before", match="GET /products")
    held = asyncio.ensure_future(catalog.get("/products"))
    await catalog.held()
    assert service.program is not None
    # The held request is never released, so the service must not wait for it.
    await asyncio.to_thread(service.program.stop)
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
    set_trace(TraceContext.continued({}))
    record = logging.makeLogRecord(
        {"msg": 'two\nlines "quoted" %s', "args": ("é",), "levelname": "INFO", "order": 7}
    )
    line = JsonLines("notes").format(record)
    assert "\n" not in line
    assert json.loads(line)["message"] == 'two\\nlines "quoted" é'
    assert json.loads(line)["order"] == 7


def test_text_of_a_caller_neither_controls_a_terminal_nor_fills_the_log() -> None:
    record = logging.makeLogRecord(
        {"msg": "request", "levelname": "INFO", "path": "/\x9b\u202e\ud83d", "caller_span": '"' * 31_000}
    )
    line = JsonLines("notes").format(record)
    assert line.isprintable() and len(line) < 1_000
    assert json.loads(line)["path"] == r"/\x9b\u202e\ud83d"
