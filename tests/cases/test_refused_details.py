"""A service's refusal was passed on as Python's repr with the person's input in it, and stayed in Redis for a day.

Right: of the body only `detail`, `code` and `errors` are passed on, of problem+json (RFC 9457) or of the validation
answers of FastAPI, Django REST framework, Spring and Rails. Mistakes have JSON pointers (RFC 6901). No input, no
markup, no output of a programming language, no control character; at most 1 KB and 32 errors. Sources: the frameworks'
own answers: FastAPI `RequestValidationError`, DRF `ValidationError`, Spring `BindingResult`, Rails
`ActiveModel::Errors`.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from bff import Gateway
from bff.stores.redis.client import RedisClient

from ..wire.gateway import bearer
from ..wire.scripted import Asked
from .refusing import Done, Wish, asking, post, refusal, service

gateway = Gateway("refusals", deadline=15)
SECRET = "hunter2"
JSON = "content-type: application/json\r\n"
PROBLEM = "content-type: application/problem+json\r\n"


@gateway.view("/api/screen/{how}")
async def screen(how: str) -> Done:
    return await service.read(how)


@gateway.command("/api/command/{how}")
async def command(how: str, wish: Wish) -> Done:
    return await service.write(how, wish)


FASTAPI = {
    "detail": [
        {
            "type": "string_too_short",
            "loc": ["body", "note"],
            "msg": "String should have at least 8 characters",
            "input": SECRET,
            "ctx": {"min_length": 8, "given": SECRET},
        },
        {"type": "literal_error", "loc": ["body", "a", 0], "msg": f"Input should be 'x', not '{SECRET}'"},
    ]
}
DJANGO = {"note": [f'"{SECRET}" is not a valid choice.'], "non_field_errors": ["Too late."]}
SPRING = {
    "timestamp": "2026-01-01T00:00:00Z",
    "status": 400,
    "error": "Bad Request",
    "trace": f"org.springframework.X: {SECRET}\n\tat com.shop.Orders.place(Orders.java:12)",
    "message": f"Validation failed for object='wish', rejected value [{SECRET}]",
    "errors": [
        {
            "codes": ["Size.wish.note"],
            "arguments": [SECRET],
            "field": "lines[0].note",
            "rejectedValue": SECRET,
            "defaultMessage": "size must be between 8 and 64",
        }
    ],
}
RAILS = {"errors": {"note": ["is too short", f"{SECRET} is reserved"], "base": ["Closed."]}}
REPR = {"detail": f"[{{'loc': ['body', 'note'], 'input': '{SECRET}'}}]", "code": SECRET}
PYDANTIC = {"detail": f"1 validation error\nnote\n  no [type=x, input_value='{SECRET}', input_type=str]"}

FORMS: list[tuple[str, int, Any, str, list[tuple[str, str]]]] = [
    (
        "fastapi",
        422,
        FASTAPI,
        JSON,
        [("/note", "String should have at least 8 characters"), ("/a/0", "Input should be 'x', not '…'")],
    ),
    ("django", 400, DJANGO, JSON, [("/note", '"…" is not a valid choice.'), ("", "Too late.")]),
    ("spring", 400, SPRING, JSON, [("/lines/0/note", "size must be between 8 and 64")]),
    ("spring-9457", 422, SPRING, PROBLEM, [("/lines/0/note", "size must be between 8 and 64")]),
    ("rails", 422, RAILS, JSON, [("/note", "is too short"), ("/note", "… is reserved"), ("", "Closed.")]),
    ("repr", 422, REPR, JSON, []),
    ("pydantic", 422, PYDANTIC, PROBLEM, []),
    ("page", 422, f"<html>{SECRET}</html>", "content-type: text/html\r\n", []),
    ("unknown", 422, {"status": "error", "data": {"note": SECRET}}, JSON, []),
    ("list", 409, [SECRET], JSON, []),
]


@pytest.mark.parametrize(("name", "status", "body", "media", "errors"), FORMS, ids=[one[0] for one in FORMS])
async def test_only_detail_code_and_errors_are_passed_on_and_no_input_is_in_them(
    redis_url: str, name: str, status: int, body: Any, media: str, errors: list[tuple[str, str]]
) -> None:
    said = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    async with asking(gateway, redis_url) as (client, told), RedisClient(redis_url, timeout=10) as link:
        told.answers[f"/things/{name}"] = refusal(status, said, media)
        answers = [await post(client, f"/api/command/{name}", "k", note=SECRET) for _ in range(2)]
        assert answers[1].headers["idempotency-replayed"] == "true"
        if status == 422:
            answers.append(await client.get(f"/api/screen/{name}", headers=bearer()))
        for answer in answers[:2]:
            problem = answer.json()
            assert (answer.status_code, problem["code"]) == (status, "refused")
            found = [(one["pointer"], one["detail"]) for one in problem.get("errors", ())]
            assert found == errors
            assert problem["detail"].startswith("The service ")
            assert SECRET not in answer.text
        assert [answer.status_code for answer in answers] == [status] * len(answers)
        (key,) = await link.call("KEYS", "*:claim:*")
        kept = b"".join(await link.call("HVALS", key))
        assert SECRET.encode() not in kept and b"Orders.java" not in kept
        assert f'"status":{status}'.encode() in kept


async def test_texts_of_the_service_are_bounded_and_plain(redis_url: str) -> None:
    said = {
        "detail": "A\u202e\x1b[31m\x9bB\ud83d " + "ä" * 20_000,
        "code": "too-much",
        "errors": [{"pointer": f"#/a/{n}", "detail": "no\x00 " * 20} for n in range(900)],
        "title": "inside",
        "type": "https://inside.test/",
        "instance": "/inside",
        "trace": "inside",
    }
    async with asking(gateway, redis_url) as (client, told):
        told.answers["/things/much"] = refusal(409, json.dumps(said).encode(), PROBLEM)
        big = await client.get("/api/screen/much", headers=bearer())
        assert "ä" not in big.text, "more than 64 KB is not read"
        said["errors"] = said["errors"][:60]
        said["detail"] = "A\u202e\x1b[31m\x9bB\ud83d " + "ä" * 2_000
        told.answers["/things/much"] = refusal(409, json.dumps(said).encode(), PROBLEM)
        answer = await client.get("/api/screen/much", headers=bearer())
        problem = answer.json()
        assert (problem["code"], problem["detail"][:9]) == ("too-much", "A[31mB ää")
        assert len(problem["errors"]) <= 32 and problem["errors"][0]["pointer"] == "/a/0"
        texts = [problem["detail"], *(text for one in problem["errors"] for text in one.values())]
        assert sum(len(text.encode()) for text in texts) <= 1024
        assert "inside" not in answer.text


@pytest.mark.parametrize("identity", ["user", "none"])
async def test_an_access_token_that_a_service_quotes_does_not_reach_the_page(
    redis_url: str, identity: str
) -> None:
    async with asking(gateway, redis_url, identity=identity) as (client, told):

        async def echo(asked: Asked, writer: asyncio.StreamWriter) -> None:
            token = asked.headers.get("authorization", "Bearer none").removeprefix("Bearer ")
            said = {"detail": f"The token {token} may not do this.", "errors": [f"no {token[-40:]} here"]}
            writer.write(refusal(409, json.dumps(said).encode(), PROBLEM))

        told.answers["/things/echo"] = echo
        headers = bearer()
        token = headers["authorization"].removeprefix("Bearer ")
        answer = await client.get("/api/screen/echo", headers=headers)
        assert answer.status_code == 409
        assert not any(token[at : at + 12] in answer.text for at in range(len(token) - 12))
