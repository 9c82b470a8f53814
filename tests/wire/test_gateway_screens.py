"""Screens as a browser sees them: shape, missing parts, the table of failures, caching, identity."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from bff import Missing

from .gateway import nowhere, running, token
from .scripted import Gate
from .upstream import http

OWNER = {
    "service": "shelf",
    "team": "Shelf team",
    "contact": "#shelf",
    "docs": "https://docs.test/shelf",
}

# how the upstream behaves → reason, retry_after of the part, status of a required one, its Retry-After
TABLE = [
    ("silent", "timeout", None, 504, None),
    ("cut", "unreachable", None, 502, None),
    ("broken", "failed", None, 502, None),
    ("busy", "overloaded", 70.0, 503, "70"),
    ("throttled", "overloaded", 90.0, 503, "90"),
    ("nonsense", "invalid", None, 502, None),
    ("404", "refused", None, 404, None),
    ("409", "refused", None, 409, None),
    ("422", "refused", None, 422, None),
    ("400", "refused", None, 502, None),
    ("401", "refused", None, 502, None),
    ("403", "refused", None, 403, None),
    ("410", "refused", None, 410, None),
]
PASSED = ("403", "404", "409", "410", "422")


async def test_a_screen_is_its_declared_model_and_nothing_more(redis_url: str) -> None:
    async with running(redis_url) as world:
        answer = await world.get("/api/optional/ok")
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json"
        assert answer.json() == {
            "thing": {"name": "ok"},
            "extra": {"state": "ready", "data": {"name": "ok"}},
        }
        assert answer.headers["bff-complete"] == "true"
        assert answer.headers["cache-control"] == "private, no-cache"


@pytest.mark.parametrize(("how", "reason", "retry_after", "status", "header"), TABLE)
async def test_each_failure_is_a_reason_in_an_optional_part_and_a_status_in_a_required_one(
    redis_url: str, how: str, reason: str, retry_after: float | None, status: int, header: str | None
) -> None:
    async with running(redis_url) as world:
        part = await world.get(f"/api/optional/{how}")
        assert part.status_code == 200
        assert part.json()["extra"] == {
            "state": "missing",
            "reason": reason,
            "retry_after": retry_after,
            "owner": OWNER,
        }
        assert part.json()["thing"] == {"name": "ok"}
        assert part.headers["bff-complete"] == "false"
        assert part.headers["cache-control"] == "no-store"

        whole = await world.get(f"/api/required/{how}")
        assert whole.status_code == status
        assert whole.headers["content-type"] == "application/problem+json"
        assert whole.headers["cache-control"] == "no-store"
        assert whole.headers.get("retry-after") == header
        problem = whole.json()
        assert (problem["status"], problem["owner"]) == (status, OWNER)
        assert problem["code"] == (f"no-{how}" if how in PASSED else reason)
        assert whole.headers["link"] == '<https://docs.test/shelf>; rel="help"'
        assert "hunter2" not in whole.text
        assert (
            f"Shelf.thing;dur={whole.headers['server-timing'].partition('dur=')[2]}"
            == (whole.headers["server-timing"])
        ), "a failed screen still says what each call took"


async def test_a_refusal_that_is_passed_on_has_the_detail_of_the_service(redis_url: str) -> None:
    async with running(redis_url) as world:
        problem = (await world.get("/api/required/422")).json()
        assert (problem["title"], problem["detail"]) == ("A service refused the request", "It says 422.")
        assert problem["errors"] == [{"pointer": "/name", "detail": "too short"}]


async def test_an_open_breaker_says_when_to_come_back_and_sends_nothing(redis_url: str) -> None:
    async with running(redis_url) as world:
        client = (await world.gateway.start()).calls.pipeline.clients["shelf"]
        client.breakers.rule = replace(client.breakers.rule, failures=1)
        await world.get("/api/required/broken")
        sent = len(world.upstream.asked)
        answer = await world.get("/api/required/ok")
        assert (answer.status_code, answer.json()["code"]) == (503, "circuit-open")
        assert 0 < int(answer.headers["retry-after"]) <= 60
        assert len(world.upstream.asked) == sent


async def test_an_optional_part_does_not_take_longer_than_its_within(redis_url: str) -> None:
    async with running(redis_url) as world:
        # The attempt itself may take a minute here, and the upstream never answers.
        world.upstream.answers["/things/gate"] = Gate()
        answer = await world.get("/api/quick/gate")
        assert answer.json()["thing"] == {"name": "ok"}
        assert answer.json()["extra"]["reason"] == "timeout"


async def test_a_view_that_never_ends_is_cut_at_its_deadline(redis_url: str) -> None:
    async with running(redis_url) as world:
        # The view itself would run for an hour.
        answer = await world.client.get("/api/sleepy")
        assert (answer.status_code, answer.json()["code"]) == (504, "timeout")


async def test_the_max_age_of_a_public_screen_is_that_of_its_least_fresh_part(redis_url: str) -> None:
    async with running(redis_url) as world:
        assert (await world.client.get("/api/open/ok")).headers["cache-control"] == "public, max-age=7"
        assert (await world.client.get("/api/unkept")).headers["cache-control"] == "public, max-age=0"
        incomplete = await world.client.get("/api/open/broken")
        assert incomplete.headers["cache-control"] == "no-store"
        assert incomplete.headers["bff-complete"] == "false"


async def test_a_public_view_with_a_private_part_or_a_principal_is_not_cached_for_all(redis_url: str) -> None:
    async with running(redis_url) as world:
        assert (await world.client.get("/api/half-open")).headers["cache-control"] == "private, no-cache"
        assert (await world.client.get("/api/hello")).headers["cache-control"] == "private, no-cache"
        assert (await world.get("/api/hello")).headers["cache-control"] == "private, no-cache"


async def test_server_timing_names_each_call_and_what_went_wrong(redis_url: str) -> None:
    async with running(redis_url) as world:
        timing = (await world.get("/api/optional/broken")).headers["server-timing"]
        entries = sorted(timing.split(", "))
        assert re.fullmatch(r"Shelf\.thing;dur=\d+\.\d;start=\d+\.\d", entries[0]) or re.fullmatch(
            r"Shelf\.thing;dur=\d+\.\d;start=\d+\.\d", entries[1]
        )
        assert sum('desc="failed"' in entry for entry in entries) == 1
        assert len(entries) == 2


async def test_login_is_required_unless_the_view_is_public(redis_url: str) -> None:
    async with running(redis_url) as world:
        for path in ("/api/me", "/api/required/ok"):
            answer = await world.client.get(path)
            assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
            assert answer.headers["www-authenticate"].startswith("Bearer")
        assert world.upstream.asked == []
        assert (await world.client.get("/api/open/ok")).status_code == 200


async def test_an_invalid_token_is_401_even_on_a_public_view_with_a_principal(redis_url: str) -> None:
    async with running(redis_url) as world:
        expired = {"authorization": f"Bearer {token(exp=1)}"}
        answer = await world.client.get("/api/hello", headers=expired)
        assert (answer.status_code, answer.json()["code"]) == (401, "invalid-token")


async def test_the_principal_is_passed_to_a_view_whose_signature_has_it(redis_url: str) -> None:
    async with running(redis_url) as world:
        assert (await world.get("/api/me")).json()["id"] == "https://issuer.test|ada"
        assert (await world.get("/api/hello", "bea")).json()["id"] == "https://issuer.test|bea"
        assert (await world.client.get("/api/hello")).json()["id"] is None


async def test_a_public_call_carries_no_token_even_when_somebody_is_signed_in(redis_url: str) -> None:
    async with running(redis_url) as world:
        # A view that is the same for everybody does not authenticate.
        signed = await world.get("/api/open/ok")
        assert signed.headers["cache-control"] == "public, max-age=7"
        assert all("authorization" not in asked.headers for asked in world.upstream.asked)
        await world.get("/api/half-open")
        assert all("authorization" not in asked.headers for asked in world.upstream.asked)
        await world.get("/api/required/ok")
        assert world.upstream.last.headers["authorization"].startswith("Bearer ey")


async def test_a_plain_address_wins_over_one_with_a_parameter_that_was_declared_first(redis_url: str) -> None:
    async with running(redis_url) as world:
        assert (await world.get("/api/required/plain")).json() == {"name": "plain"}
        assert world.upstream.asked == []


async def test_head_is_the_get_without_its_body(redis_url: str) -> None:
    async with running(redis_url) as world:
        got = await world.client.get("/api/open/ok")
        head = await world.client.head("/api/open/ok")
        assert (head.status_code, head.content) == (200, b"")
        for name in ("content-length", "content-type", "cache-control", "bff-complete"):
            assert head.headers[name] == got.headers[name]
        missing = await world.client.head("/api/none")
        assert (missing.status_code, missing.content) == (404, b"")
        assert missing.headers["content-type"] == "application/problem+json"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", ["/api/bug", "/api/wrong"])
async def test_a_bug_in_a_view_is_a_500_without_internal_details(redis_url: str, path: str) -> None:
    async with running(redis_url) as world:
        answer = await world.client.get(path)
        assert (answer.status_code, answer.json()["code"]) == (500, "internal")
        assert "hunter2" not in answer.text
        assert "Error" not in answer.text


async def test_a_screen_without_redis_still_answers() -> None:
    async with running(nowhere()) as world:
        answer = await world.get("/api/optional/ok")
        assert answer.status_code == 200
        assert answer.headers["bff-complete"] == "true"


async def test_an_upstreams_extra_fields_headers_and_cookies_do_not_reach_the_browser(redis_url: str) -> None:
    async with running(redis_url) as world:
        world.upstream.answers["/things/chatty"] = http(
            200,
            b'{"name":"x","hidden":"inside"}',
            "content-type: application/json\r\nset-cookie: a=b\r\nserver: old/1.0\r\nx-internal: yes\r\n",
        )
        answer = await world.get("/api/required/chatty")
        assert answer.json() == {"thing": {"name": "x"}}
        assert not {"set-cookie", "x-internal"} & set(answer.headers)
        assert "old/1.0" not in str(answer.headers)


def test_every_reason_of_the_contract_is_in_the_table() -> None:
    reasons = set(Missing.model_json_schema()["properties"]["reason"]["enum"])
    assert reasons - {"circuit-open"} == {reason for _, reason, *_ in TABLE}
