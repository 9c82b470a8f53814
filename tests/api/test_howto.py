"""The how-tos do what they say: their Python is run as it is written, and asked as a whole gateway; their JavaScript is
run by Node.js; their settings exist."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from bff import Gateway, Principal
from bff.edge.settings import Settings, load
from bff.testing import fails, gateway_client
from bff.testing.whole_gateway import StandIn

from ..conftest import ROOT
from ..unit.edge.access.issuing import ISSUER, claims, ec_key, jwk, sign
from ..waiting import GUARD

GUIDES = ROOT / "docs" / "how-to"
PAGES = (
    "use-your-services",
    "paginate",
    "long-jobs",
    "optimistic-list",
    "test-under-failure",
    "mount",
    "custom-problems",
    "content-security-policy",
    "several-frontends",
    "upgrade",
)
ADA = Principal("https://login.example.org", "ada", "", 0, scopes=frozenset({"office"}))


def blocks(name: str, language: str) -> list[str]:
    text = (GUIDES / f"{name}.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def module(name: str) -> dict[str, Any]:
    """What the page's Python defines, its blocks taken together as one module."""
    page: dict[str, Any] = {"__name__": name.replace("-", "_")}
    for block in blocks(name, "python"):
        exec(compile(block, f"docs/how-to/{name}.md", "exec", dont_inherit=True), page)
    return page


def node(script: str, tmp_path: Path) -> Any:
    """What a script prints as JSON. It imports `bff-client` as a page does."""
    packages = tmp_path / "node_modules"
    packages.mkdir()
    (packages / "bff-client").symlink_to(ROOT / "web" / "client")
    file = tmp_path / "page.mjs"
    file.write_text(script, encoding="utf-8")
    ran = subprocess.run(
        ["node", str(file)], capture_output=True, text=True, timeout=GUARD, check=False, cwd=tmp_path
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


@pytest.mark.parametrize(
    "name", [name for name in PAGES if name not in ("content-security-policy", "upgrade")]
)
def test_each_gateway_of_a_page_is_declared_without_a_mistake(name: str) -> None:
    gateways = [one for one in module(name).values() if isinstance(one, Gateway)]
    assert gateways
    for gateway in gateways:
        gateway.check()


@pytest.mark.parametrize("name", ["use-your-services", "mount", "several-frontends"])
def test_the_settings_of_a_page_exist(name: str) -> None:
    for block in blocks(name, "sh"):
        given = {}
        for line in block.splitlines():
            if line.startswith("BFF_"):
                variable, _, value = line.partition("=")
                (given[variable],) = shlex.split(value)
        assert given
        load(given)


async def test_your_services() -> None:
    page = module("use-your-services")
    billing, crm = page["billing"], page["crm"]
    invoice = {"number": "A1", "customer_id": 3, "cents": 900, "more": True}
    answers = {billing.invoice("A1"): invoice, crm: fails("failed"), billing.remind("A1"): None}
    async with gateway_client(page["app"], answers, principal=ADA) as client:
        screen = (await client.get("/api/invoices/A1")).json()
        assert screen["invoice"]["cents"] == 900 and screen["customer"]["owner"]["team"] == "Sales"
        assert (await client.post("/api/invoices/A1/reminders")).status_code == 204
        assert (await client.post("/api/invoices/A1/final-reminders")).status_code == 204


async def test_pagination() -> None:
    page = module("paginate")
    orders, people, tickets = page["orders"], page["people"], page["tickets"]
    first = {"items": [{"id": "a", "total": 1}, {"id": "b", "total": 2}], "next": "c2"}
    answers: dict[Any, Any] = {orders.page(None, 20): first, orders.page("c2", 20): {"items": []}}
    answers[tickets.page(1)] = first["items"]
    person = page["Person"]
    people_of_rows = people.get("/people", list[person], id=["a", "b"])
    answers[people_of_rows] = [{"id": "b", "name": "Bo"}, {"id": "a", "name": "Al"}]
    async with gateway_client(page["app"], answers) as client:
        assert (await client.get("/api/orders")).json()["next"] == "c2"
        assert (await client.get("/api/orders", params={"cursor": "c2"})).json()["items"] == []
        refused = await client.get("/api/orders", params={"limit": 1000})
        assert (refused.status_code, refused.json()["errors"][0]["in"]) == (422, "query")
        assert (await client.get("/api/tickets")).json() == {"items": first["items"], "total": 0}
        rows = (await client.get("/api/rows")).json()
        assert [row["buyer"]["data"]["name"] for row in rows] == ["Al", "Bo"]


async def test_a_long_job_is_accepted_and_found_in_the_state() -> None:
    page = module("long-jobs")
    begun = {"id": "e1", "status": "PENDING", "version": 1, "at": "2026-01-31T12:00:00Z"}
    exports = page["exports"]
    answers = {exports.begin(page["Wanted"](year=2026)): begun, exports.of(ADA.id): [begun]}
    async with gateway_client(page["app"], answers, principal=ADA) as client:
        answer = await client.post("/api/exports", json={"year": 2026})
        assert (answer.status_code, answer.headers["location"]) == (202, "/bff/sagas/export/e1")
        assert (await client.get(answer.headers["location"])).json()["status"] == "PENDING"
        [kept] = (await client.get("/bff/live/snapshot")).json()["sagas"]
        assert kept["id"] == "e1"


LIST = """
const waiting = [];
const state = { get: () => 'live', subscribe: () => () => {} };
let push = () => {};
const { client, addNote } = createBoard({
  storage: null,
  fetch: (url) => new Promise((resolve) => waiting.push({ url: String(url), resolve })),
  source: ({ onEvent }) => {
    push = onEvent;
    return { state, start() {}, stop() {}, follow() {}, reconnect() {} };
  },
});
client.start({ userId: 'ada' });
const board = (version, notes, mutations) =>
  push({ type: 'value', id: '', data: { name: 'board/7', version, data: { version, notes }, at: '', mutations } });
board(1, ['first'], []);
const shown = () => client.value('board/7').get().data.notes;
const before = shown();
const refused = addNote({ id: '7', text: 'second' });
const during = shown();
while (waiting.length === 0) await new Promise((resolve) => setImmediate(resolve));
const headers = { 'content-type': 'application/problem+json' };
const problem = JSON.stringify({ status: 409, code: 'full', title: 'Full', detail: 'The board is full.' });
waiting[0].resolve(new Response(problem, { status: 409, headers }));
const { kind } = await refused.outcome;
const after = shown();
const taken = addNote({ id: '7', text: 'third' });
board(2, ['first', 'third'], [taken.id]);
const named = shown();
process.stdout.write(JSON.stringify({ before, during, after, named, kind, url: waiting[0].url }));
process.exit(0);
"""


def test_an_optimistic_note_is_shown_at_once_and_gone_when_it_is_refused(tmp_path: Path) -> None:
    [script] = blocks("optimistic-list", "js")
    said = node(script + LIST, tmp_path)
    assert said["before"] == ["first"] and said["during"] == ["first", "second"]
    assert said["after"] == ["first"] and said["kind"] == "rejected"
    # A version that names the mutation contains it: it is not shown twice.
    assert said["named"] == ["first", "third"]
    assert said["url"].endswith("/api/boards/7/notes")


def test_the_page_of_a_long_job_defines_its_operation(tmp_path: Path) -> None:
    [script] = blocks("long-jobs", "js")
    prepared = "globalThis.location ??= new URL('http://localhost/');\n"
    assert node(
        prepared + script + "\nprocess.stdout.write(JSON.stringify(typeof beginExport)); process.exit(0)",
        tmp_path,
    ) == ("function")


async def test_the_tests_of_the_page_about_tests_pass() -> None:
    page = module("test-under-failure")
    found = [one for name, one in page.items() if name.startswith("test_")]
    assert len(found) == 3
    for one in found:
        await one()
    body = next(
        block for block in blocks("test-under-failure", "python") if "gateway_client(app, answers)" in block
    )
    assert len([line for line in body.splitlines() if line]) <= 10


async def test_the_mounted_gateway_answers_and_an_open_stream_does_not_hold_the_end_up(
    redis_url: str,
) -> None:
    page = module("mount")
    key, now = ec_key(), int(time.time())
    keys = StandIn({("GET", "/keys", ()): {"keys": [jwk(key, "k1")]}})
    issuer = {"issuer": ISSUER, "audience": "desk", "jwks_uri": f"{keys.url}/keys"}
    bearer = {"authorization": f"Bearer {sign(key, claims(aud='desk', iat=now, exp=now + 3600))}"}
    settings = Settings.model_validate(
        {
            "redis": {"url": redis_url, "timeout": 10},
            "public_url": "http://localhost/desk",
            "admission": {"lag": 10},
            "issuers": [issuer],
        }
    )
    desk: Gateway = page["desk"]
    desk._settings = settings
    for application in (page["application"], page["site"]):
        listener = socket.create_server(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        server = uvicorn.Server(uvicorn.Config(application, log_level="critical", lifespan="on"))
        serving = asyncio.create_task(server._serve(sockets=[listener]))
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=GUARD) as client:
            assert (await client.get("/desk/api/hello")).json() == {"text": "hello"}
            assert (await client.get("/desk/api/none")).json()["code"] == "not-found"
            async with client.stream("GET", "/desk/bff/live", headers=bearer) as stream:
                lines = stream.aiter_lines()
                assert stream.status_code == 200 and await anext(lines)
                server.should_exit = True
                rest = [line async for line in lines]
            assert "event: bye" in rest
            async with asyncio.timeout(GUARD):
                await serving
        listener.close()
        assert desk.runtime is None
    keys.close()


async def test_a_problem_of_your_own_is_the_outcome_and_a_person_gets_the_page(tmp_path: Path) -> None:
    page = module("custom-problems")
    answers = {page["tickets"].book("12"): fails("refused", status=409)}
    async with gateway_client(page["app"], answers, principal=ADA) as client:
        keyed = {"idempotency-key": "one"}
        first = await client.post("/api/bookings", json={"seat": "12"}, headers=keyed)
        again = await client.post("/api/bookings", json={"seat": "12"}, headers=keyed)
        assert (first.status_code, first.json()["code"]) == (409, "seat-taken")
        assert first.json()["free"] == "/api/seats?free=1" and first.json()["errors"][0]["pointer"] == "/seat"
        assert again.headers["idempotency-replayed"] == "true" and again.content == first.content
        shown = await client.get("/nothing", headers={"accept": "text/html", "sec-fetch-mode": "navigate"})
        assert shown.text.startswith("<!doctype html><title>") and "<h1>" in shown.text
    [script] = blocks("custom-problems", "js")
    problem = json.dumps(first.json())
    call = f"\nprocess.stdout.write(JSON.stringify(sentence(new ProblemError({problem}))))"
    assert node(script + call, tmp_path) == "This seat is taken."


async def test_the_policy_of_the_page_has_what_it_adds_and_stays_strict(
    tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "index.html").write_text("<!doctype html>", encoding="utf-8")
    app = module("content-security-policy")["app"]
    async with gateway_client(app) as client:
        headers = (await client.get("/")).headers
    directives = dict(one.split(" ", 1) for one in headers["content-security-policy"].split("; "))
    assert directives["connect-src"] == "'self' https://api.maps.example.org"
    assert directives["script-src"].startswith("'self' 'sha256-") and "unsafe" not in str(directives)
    assert directives["frame-ancestors"] == "'none'" and "geolocation=(self)" in headers["permissions-policy"]


async def test_two_frontends_share_a_service_and_nothing_else() -> None:
    page = module("several-frontends")
    answers = {page["catalog"].product("mug"): {"sku": "mug", "name": "Mug", "cost": 3}}
    async with (
        gateway_client(page["shop"], answers) as shop,
        gateway_client(page["office"], answers) as office,
    ):
        assert (await shop.get("/api/products/mug")).json() == {"name": "Mug"}
        assert (await office.get("/api/products/mug")).status_code == 401
    async with gateway_client(page["office"], answers, principal=ADA) as office:
        assert (await office.get("/api/products/mug")).json()["cost"] == 3


def test_the_commands_of_the_upgrade_exist() -> None:
    reference = (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
    for block in blocks("upgrade", "sh"):
        for line in block.splitlines():
            words = line.split()
            if words[0] == "bff" and not words[1].startswith("-"):
                assert f"## bff {words[1]}\n" in reference


def test_every_page_of_this_kind_says_its_minutes_and_every_block_is_covered() -> None:
    for name in PAGES:
        text = (GUIDES / f"{name}.md").read_text(encoding="utf-8")
        assert re.match(r"# .*\n\n\*Reading time: \d+ minutes?\.\*\n", text), name
        languages = set(re.findall(r"^```(\w*)\n(?!```)", text, re.MULTILINE)) - {""}
        assert languages <= {"python", "js", "sh"}, name
