"""What browsers report to `/bff/browser`: taken once for each command of the person, dropped and counted otherwise, and
exported as metrics and as spans of the command's trace."""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from bff import Gateway
from bff.edge.endpoints.browser_reports import MOST_BODY
from bff.edge.observe.browser import MOST_MUTATIONS, MOST_SCREENS

from ..otlp import Collector
from .gateway import World, bearer, keyed, running
from .served import served
from .signing_in import Place, signing_in
from .test_metrics import page_of, value

ON: dict[str, Any] = {"browser": 0.5}
ROUTE = "/api/things/{how}"
OWN_PAGE = {"x-bff": "1"}


async def command(world: World, path: str = "/api/things/ok", subject: str = "ada") -> str:
    """Give a command; returns its key."""
    key = str(uuid.uuid4())
    answer = await world.client.post(path, json={"name": "x"}, headers=keyed(key, subject))
    assert answer.status_code == 200, answer.text
    return key


def mutation(key: str, path: str = "/api/things/ok", **more: Any) -> dict[str, Any]:
    phases = {"optimistic": 20, "answer": 150.5, "final": 900}
    painted = {
        "id": key,
        "method": "POST",
        "path": path,
        "age": 1500,
        "outcome": "confirmed",
        "phases": phases,
    }
    return painted | more


async def report(
    world: World, *mutations: object, subject: str | None = "ada", screens: object = (), **headers: str
) -> httpx.Response:
    who = OWN_PAGE if subject is None else bearer(subject)
    body = {"mutations": mutations, "screens": screens}
    return await world.client.post("/bff/browser", json=body, headers={**who, **headers})


async def metrics(world: World) -> str:
    async with page_of(world) as admin:
        return (await admin.get("/metrics")).text


async def results(world: World) -> dict[str, float]:
    page = await metrics(world)
    return {
        name: float(count)
        for name, count in re.findall(r'bff_browser_reports_total\{bff_result="([^"]+)"\} (\S+)', page)
    }


def observed(page: str, route: str = ROUTE) -> dict[str, float]:
    """Observations by phase."""
    phases = ("optimistic", "answer", "final")
    found = {
        phase: value(page, "bff_browser_duration_seconds_count", http_route=route, bff_phase=phase)
        for phase in phases
    }
    return {phase: count for phase, count in found.items() if count is not None}


async def test_a_painted_command_is_measured_in_each_phase(redis_url: str) -> None:
    async with running(redis_url, telemetry=ON) as world:
        answer = await report(world, mutation(await command(world)))
        assert (answer.status_code, answer.content) == (204, b"")
        page = await metrics(world)
        assert observed(page) == {"optimistic": 1, "answer": 1, "final": 1}
        for phase, seconds in {"optimistic": 0.02, "answer": 0.1505, "final": 0.9}.items():
            labels = {"http_route": ROUTE, "bff_phase": phase}
            assert value(page, "bff_browser_duration_seconds_sum", **labels) == pytest.approx(seconds)
        assert await results(world) == {"taken": 1}
        described = [line for line in page.splitlines() if line.startswith("# HELP bff_browser_duration")]
        assert "never page somebody" in described[0]


async def test_a_second_report_of_the_same_command_is_dropped_in_the_same_and_in_another_request(
    redis_url: str,
) -> None:
    async with running(redis_url, telemetry=ON) as world:
        one = mutation(await command(world))
        await report(world, one, one)
        await report(world, one)
        assert observed(await metrics(world)) == {"optimistic": 1, "answer": 1, "final": 1}
        assert await results(world) == {"taken": 1, "repeated": 2}


async def test_a_second_gateway_knows_what_the_first_one_has_taken(redis_url: str) -> None:
    async with running(redis_url, telemetry=ON) as first, running(redis_url, telemetry=ON) as second:
        one = mutation(await command(first))
        await report(second, one)
        await report(first, one)
        assert await results(second) == {"taken": 1}
        assert await results(first) == {"repeated": 1}


async def test_ids_that_the_person_gave_no_command_are_dropped(redis_url: str) -> None:
    async with running(redis_url, telemetry=ON) as world:
        hers, refused = await command(world), str(uuid.uuid4())
        forged = mutation(str(uuid.uuid4()))
        # Another route of the same person, and another person with the right id.
        await report(world, forged, mutation(hers, "/api/unsafe/ok"))
        await report(world, mutation(hers), subject="grace")
        await report(world, mutation(hers), subject=None)
        # A command that was refused before it was claimed.
        answer = await world.client.post("/api/things/ok", json={}, headers=keyed(refused))
        assert answer.status_code == 422
        await report(world, mutation(refused))
        assert await results(world) == {"unknown": 5}
        assert observed(await metrics(world)) == {}
        # None of this used the report of the command up.
        await report(world, mutation(hers))
        assert (await results(world))["taken"] == 1


@pytest.mark.parametrize(
    "change",
    [
        {"id": "not-a-uuid"},
        {"id": "4BF92F35-77B3-4DA6-A3CE-929D0E0E4736"},
        {"id": 7},
        {"method": None},
        {"age": None},
        {"age": True},
        {"age": -1},
        {"age": 120_001},
        {"age": 10**400},
        {"age": 899},  # before the last paint
        {"phases": {}},
        {"phases": []},
        {"phases": {"optimistic": -1}},
        {"phases": {"optimistic": "20"}},
        {"phases": {"optimistic": True}},
        {"phases": {"final": 61_000}, "age": 62_000},
        {"phases": {"other": 20}},
    ],
    ids=str,
)
async def test_a_report_that_cannot_be_used_is_dropped(redis_url: str, change: Mapping[str, Any]) -> None:
    async with running(redis_url, telemetry=ON) as world:
        key = await command(world)
        assert (await report(world, mutation(key) | change)).status_code == 204
        assert await results(world) == {"invalid": 1}
        assert observed(await metrics(world)) == {}


async def test_a_phase_that_took_too_long_is_dropped_and_the_others_count(redis_url: str) -> None:
    async with running(redis_url, telemetry=ON) as world:
        phases = {"optimistic": 0, "answer": 60_000, "final": 61_000, "strange": 5}
        await report(world, mutation(await command(world), phases=phases, age=61_500, surprise="x"))
        assert observed(await metrics(world)) == {"optimistic": 1, "answer": 1}
        assert "strange" not in await metrics(world)


async def test_no_phase_counts_as_painted_before_the_one_before_it(redis_url: str) -> None:
    async with running(redis_url, telemetry=ON) as world:
        phases = {"final": 90, "answer": 45, "optimistic": 48}
        await report(world, mutation(await command(world), phases=phases))
        page = await metrics(world)
        for phase, seconds in {"optimistic": 0.048, "answer": 0.048, "final": 0.09}.items():
            labels = {"http_route": ROUTE, "bff_phase": phase}
            assert value(page, "bff_browser_duration_seconds_sum", **labels) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999"])
async def test_a_number_that_is_none_is_dropped(redis_url: str, text: str) -> None:
    async with running(redis_url, telemetry=ON) as world:
        one = json.dumps({"mutations": [mutation(await command(world), phases={"final": 0.125})]})
        body = one.replace("0.125", text)
        headers = bearer() | {"content-type": "application/json"}
        answer = await world.client.post("/bff/browser", content=body, headers=headers)
        # 1e999 is JSON, and no duration.
        assert answer.status_code == (204 if text == "1e999" else 400)
        assert observed(await metrics(world)) == {}


@pytest.mark.parametrize("body", ["", "[]", "null", "{", "[" * 20_000, "1" * 5_000, "\udcff"])
async def test_a_body_that_is_no_json_object_is_400(redis_url: str, body: str) -> None:
    async with running(redis_url, telemetry=ON) as world:
        content = body.encode(errors="surrogateescape")
        answer = await world.client.post("/bff/browser", content=content, headers=bearer())
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid-request")


@pytest.mark.parametrize("members", [{"mutations": {}}, {"mutations": "x"}, {"mutations": [1, None, []]}])
async def test_a_list_of_something_else_is_dropped(redis_url: str, members: Any) -> None:
    async with running(redis_url, telemetry=ON) as world:
        answer = await world.client.post("/bff/browser", json=members, headers=bearer())
        assert answer.status_code == 204
        assert set(await results(world)) == {"invalid"}


async def test_a_huge_body_is_413(redis_url: str) -> None:
    async with running(redis_url, telemetry=ON) as world:
        answer = await world.client.post(
            "/bff/browser", content=b" " * (MOST_BODY + 1) + b"{}", headers=bearer()
        )
        assert answer.status_code == 413


async def test_what_one_request_may_report_is_bounded(redis_url: str) -> None:
    async with running(redis_url, telemetry=ON) as world:
        real = [await command(world) for _ in range(2)]
        made_up = [mutation(str(uuid.uuid4())) for _ in range(MOST_MUTATIONS - 1)]
        screens = [{"path": "/api/unkept", "vitals": {"cls": 0}}] * (MOST_SCREENS + 3)
        await report(world, *made_up, *map(mutation, real), screens=screens)
        assert await results(world) == {
            "unknown": MOST_MUTATIONS - 1,
            "taken": 1 + MOST_SCREENS,
            "surplus": 1 + 3,
        }


async def test_a_flood_of_one_person_is_429_and_others_are_served(redis_url: str) -> None:
    async with running(redis_url, telemetry=ON) as world:
        answers = await asyncio.gather(*(report(world) for _ in range(200)))
        refused = [answer for answer in answers if answer.status_code == 429]
        # One more is allowed each second while the others arrive.
        assert {answer.status_code for answer in answers} == {204, 429} and len(refused) <= 140
        assert all(int(answer.headers["retry-after"]) > 0 for answer in refused)
        assert (await report(world, subject="grace")).status_code == 204


async def test_routes_that_are_not_declared_are_dropped_and_no_path_becomes_a_label(redis_url: str) -> None:
    async with running(redis_url, telemetry=ON) as world:
        key = await command(world)
        await report(
            world,
            mutation(key, "/api/made-up-path"),
            mutation(str(uuid.uuid4()), "/bff/live"),
            mutation(str(uuid.uuid4()), method="GET", path="/api/open/ok"),
            mutation(str(uuid.uuid4()), "/api/things/" + "x" * 3000),
            mutation(str(uuid.uuid4()), path=None),
            screens=[
                {"path": "/made-up-path", "vitals": {"cls": 0}},
                {"path": "/bff/user", "vitals": {"cls": 0}},
            ],
        )
        assert await results(world) == {"unknown-route": 7}
        assert "made-up-path" not in await metrics(world)


async def test_vitals_of_screens_are_taken_from_visitors_too(redis_url: str) -> None:
    async with running(redis_url, telemetry=ON) as world:
        vitals = {"lcp": 1200, "inp": 60_001, "cls": 0.12, "fid": 3}
        screens = [
            {"path": "/api/open/ok?x=1", "vitals": vitals},
            {"path": "/api/open/ok", "vitals": {"lcp": "1"}},
        ]
        assert (await report(world, subject=None, screens=screens)).status_code == 204
        page = await metrics(world)
        route = {"http_route": "/api/open/{how}"}
        assert value(page, "bff_browser_vitals_sum", **route, bff_vital="lcp") == pytest.approx(1.2)
        assert value(page, "bff_browser_vitals_sum", **route, bff_vital="cls") == pytest.approx(0.12)
        assert value(page, "bff_browser_vitals_sum", **route, bff_vital="inp") is None
        assert "fid" not in page
        assert await results(world) == {"taken": 1, "invalid": 1}


async def test_another_sites_page_cannot_report(redis_url: str) -> None:
    async with running(redis_url, telemetry=ON) as world:
        screens = [{"path": "/api/unkept", "vitals": {"cls": 0}}]
        for headers in (
            {"x-bff": "2"},
            {"sec-fetch-site": "cross-site"},
            {"origin": "https://evil.test"},
        ):
            answer = await report(world, subject=None, screens=screens, **headers)
            assert (answer.status_code, answer.json()["code"]) == (403, "csrf")
        assert await results(world) == {}


async def test_the_route_exists_only_where_it_is_switched_on_and_the_page_is_told(redis_url: str) -> None:
    async with running(redis_url) as world:
        assert (await report(world)).status_code == 404
        assert "server-timing" not in (await world.client.get("/")).headers
        assert "/bff/browser" not in (await world.client.get("/openapi.json")).json()["paths"]
        assert not re.search(r"^bff_browser", await metrics(world), re.M)
    async with running(redis_url, telemetry=ON) as world:
        page = await world.client.get("/")
        assert page.headers["server-timing"] == 'bff-browser;desc="0.5"'
        # Also where the browser has the page already.
        again = await world.client.get("/page/7", headers={"if-none-match": page.headers["etag"]})
        assert again.headers["server-timing"] == 'bff-browser;desc="0.5"'
        assert "/bff/browser" in (await world.client.get("/openapi.json")).json()["paths"]


async def test_a_report_becomes_one_trace_with_its_command(redis_url: str) -> None:
    collector = Collector()
    async with served(collector) as otlp:
        async with running(redis_url, telemetry=ON | {"otlp": otlp, "sample": 0}) as world:
            key = str(uuid.uuid4())
            digits = key.replace("-", "")
            headers = keyed(key) | {"traceparent": f"00-{digits}-{digits[16:]}-03"}
            answer = await world.client.post("/api/things/ok", json={"name": "x"}, headers=headers)
            assert answer.status_code == 200
            await report(world, mutation(key))
        wanted = {"paint final", f"POST {ROUTE}"}
        await collector.until(lambda spans: wanted <= {span.name for span in spans})
    spans = {span.name: span for span in collector.spans}
    assert {span.trace for span in collector.spans} == {digits}
    click, server = spans[f"click {ROUTE}"], spans[f"POST {ROUTE}"]
    assert (click.id, click.parent, click.service) == (server.parent, "", "wire-browser")
    assert server.service == "wire"
    paints = {name: span for name, span in spans.items() if name.startswith("paint ")}
    took = {name: (span.ended - span.began) / 1e6 for name, span in paints.items()}
    assert took == pytest.approx({"paint optimistic": 20, "paint answer": 150.5, "paint final": 900})
    for name, span in paints.items():
        assert (span.parent, span.began, span.service) == (click.id, click.began, "wire-browser")
        assert span.attributes == {"http.route": ROUTE, "bff.phase": name.removeprefix("paint ")}
    assert click.ended == paints["paint final"].ended
    named = {"http.request.method": "POST", "http.route": ROUTE, "bff.outcome": "confirmed"}
    assert click.attributes == named


async def test_a_dropped_report_exports_no_span(redis_url: str) -> None:
    collector = Collector()
    async with served(collector) as otlp:
        async with running(redis_url, telemetry=ON | {"otlp": otlp, "sample": 1}) as world:
            await report(world, mutation(str(uuid.uuid4())))
        await collector.until(lambda spans: "POST /bff/browser" in {span.name for span in spans})
    assert {span.name for span in collector.spans} == {"POST /bff/browser"}


async def test_a_session_reports_with_the_proof_of_every_write(redis_url: str) -> None:
    gateway = Gateway("desk")

    @gateway.command("/api/notes")
    async def note() -> str:
        return "noted"

    async with signing_in(redis_url, gateway, {"": {}}, telemetry=ON) as place:
        key, browser = str(uuid.uuid4()), place.browser()
        await browser.ask("GET", await browser.begin())
        headers = {"x-bff": "1", "origin": place.site, "idempotency-key": f'"{key}"'}
        assert (await browser.ask("POST", f"{place.site}/api/notes", headers=headers)).status_code == 200

        async def reported(**headers: str) -> int:
            body = {"mutations": [mutation(key, "/api/notes")]}
            url = f"{place.site}/bff/browser"
            return (await browser.ask("POST", url, json=body, headers=headers)).status_code

        assert await reported() == 403
        assert await taken(place) == 0
        assert await reported(**{"x-bff": "1", "origin": place.site}) == 204
        assert await taken(place) == 1


async def taken(place: Place) -> float:
    return value(place.app.metrics.text().decode(), "bff_browser_reports_total", bff_result="taken") or 0


async def test_below_a_path_prefix_the_page_reports_the_addresses_that_it_used(redis_url: str) -> None:
    async with running(redis_url, telemetry=ON, public_url="http://127.0.0.1:1/desk") as world:
        key = await command(world)
        screens = [{"path": "/desk/api/unkept", "vitals": {"cls": 0}}]
        await report(world, mutation(key, "/desk/api/things/ok"), screens=screens)
        assert await results(world) == {"taken": 2}
