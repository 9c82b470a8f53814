"""The wide line of each request: what it says after real requests, and that no secret of a request is in it."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bff.edge.observe.log_lines import JsonStream

from ..unit.edge.access.issuing import ISSUER
from .gateway import bearer, keyed, running


@contextmanager
def lines() -> Iterator[io.StringIO]:
    """The log of everything that runs inside, as `bff serve` writes it."""
    root = logging.getLogger()
    before, level, out = root.handlers[:], root.level, io.StringIO()
    stream = JsonStream(out)
    root.handlers[:] = [stream]
    root.setLevel(logging.DEBUG)
    try:
        yield out
        stream.flush()
    finally:
        root.handlers[:] = before
        root.setLevel(level)


def requests_of(out: io.StringIO) -> list[dict[str, Any]]:
    logging.getLogger().handlers[0].flush()
    found = [json.loads(line) for line in out.getvalue().splitlines()]
    return [one for one in found if one["logger"] == "bff.access"]


async def test_the_line_of_a_screen_has_its_calls_retries_missing_parts_limit_and_person(
    redis_url: str,
) -> None:
    with lines() as out:
        async with running(redis_url) as world:
            answer = await world.get("/api/optional/broken")
            found = requests_of(out)[-1]
    assert answer.status_code == 200 and answer.headers["bff-complete"] == "false"
    assert (found["kind"], found["route"], found["status"]) == ("screen", "/api/optional/{how}", 200)
    assert found["correlation_id"] == answer.headers["x-correlation-id"] and len(found["trace_id"]) == 32
    assert found["limit"] == answer.headers["ratelimit"]
    assert found["missing"] == [{"service": "shelf", "call": "Shelf.thing", "reason": "failed"}]
    outcomes = {one["outcome"]: one for one in found["calls"]}
    assert set(outcomes) == {"ok", "failed"} and outcomes["ok"]["attempts"] == 1
    assert outcomes["failed"]["attempts"] - 1 == found.get("retries", 0)
    assert 0 < outcomes["ok"]["ms"] <= found["ms"]
    assert len(found["who"]) == 32 and ISSUER not in str(found) and "ada" not in found["who"]


async def test_the_line_says_what_the_cache_did(redis_url: str) -> None:
    with lines() as out:
        async with running(redis_url) as world:
            for _ in range(2):
                await world.client.get("/api/open/ok")
            found = requests_of(out)
    first, second = ({call["cache"] for call in one["calls"]} for one in found[-2:])
    assert "miss" in first and second == {"hit"}
    assert {call["attempts"] for call in found[-1]["calls"]} == {0} and "who" not in found[-1]


async def test_the_line_of_a_refusal_has_the_code_and_the_limit(redis_url: str) -> None:
    with lines() as out:
        async with running(redis_url) as world:
            answers = [await world.client.get("/api/search?q=a") for _ in range(4)]
            found = requests_of(out)[-1]
    assert answers[-1].status_code == 429
    assert (found["status"], found["code"]) == (429, "rate-limited")
    assert found["limit"] == answers[-1].headers["ratelimit"] and ";r=0;" in found["limit"]


async def test_no_token_cookie_query_or_body_is_in_the_log(redis_url: str) -> None:
    secrets = ["secret-of-the-query", "secret-of-a-cookie", "secret-of-the-body", "secret-of-a-header"]
    query = "?q=secret-of-the-query"
    headers = {"cookie": "__Host-session=secret-of-a-cookie", "x-api-key": "secret-of-a-header"}
    with lines() as out:
        async with running(redis_url) as world:
            token = bearer("ada")["authorization"].split()[1]
            for how in ("ok", "broken", "404"):
                await world.get(f"/api/optional/{how}{query}", **headers)
                await world.client.get(
                    f"/api/hello{query}", headers=headers | {"authorization": f"Bearer {token}x"}
                )
            body = {"name": "secret-of-the-body"}
            await world.client.post(f"/api/things/ok{query}", json=body, headers=keyed() | headers)
            await world.client.post(f"/api/things/500{query}", json=body, headers=keyed() | headers)
            await world.client.get(f"/no/such/place{query}", headers=headers)
            found = requests_of(out)
    # The test's own client logs addresses; `bff serve` turns that off.
    text = "".join(line for line in out.getvalue().splitlines() if '"logger": "http' not in line)
    assert len(found) == 9
    assert [one for one in (*secrets, *token.split(".")) if one in text] == []
