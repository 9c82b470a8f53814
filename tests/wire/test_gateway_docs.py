"""What the gateway describes: its contract as a document, its pages, its health, and where it can be mounted."""

from __future__ import annotations

from typing import Any

import httpx
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # no stubs among our tools
from openapi_spec_validator import OpenAPIV31SpecValidator, validate
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from bff import Gateway

from ..unit.edge.access.issuing import ISSUER
from .gateway import declare, keyed, nowhere, running


async def test_the_openapi_document_is_valid_and_has_every_route_as_annotated(redis_url: str) -> None:
    async with running(redis_url) as world:
        answer = await world.client.get("/openapi.json")
        assert answer.headers["content-type"] == "application/json"
        document: dict[str, Any] = answer.json()
        validate(document, cls=OpenAPIV31SpecValidator)
        paths = document["paths"]
        assert {path for path in paths if path.startswith("/api")} == {
            *(route.path for route in world.gateway.routes),
        }
        assert set(paths["/api/both"]) == {"get", "post"}
        assert {"/bff/live", "/bff/live/snapshot", "/bff/sagas/{type}/{id}", "/livez", "/docs"} <= set(paths)


async def test_the_document_lists_exactly_the_served_routes(redis_url: str) -> None:
    everything = {
        "oidc": {"issuer": "https://issuer.test", "client_id": "bff", "client_secret": "secret"},
        "webhooks": {"cms": {"secret": "a secret of at least 24 letters"}},
    }
    oidc = everything["oidc"]
    several = [{"providers": {"staff": oidc}}, {"oidc": oidc, "providers": {"staff": oidc}}]
    for changes in (everything, {}, *several):
        async with running(redis_url, **changes) as world:
            runtime = await world.gateway.start()
            served = set()
            for route in runtime.routes:
                if isinstance(route, Mount):
                    served.add((f"{route.path}/{{file}}", "get"))
                elif isinstance(route, Route):
                    served |= {(route.path, name.lower()) for name in route.methods or ()} - {
                        (route.path, "head")
                    }
            paths = (await world.client.get("/openapi.json")).json()["paths"]
            assert {(path, method) for path, methods in paths.items() for method in methods} == served


async def test_the_schema_of_events_has_the_declared_sagas_and_values(redis_url: str) -> None:
    async with running(redis_url) as world:
        answer = await world.client.get("/bff/events.schema.json")
        assert answer.headers["content-type"] == "application/schema+json"
        schema = Draft202012Validator(answer.json())
        Draft202012Validator.check_schema(answer.json())
        assert {"job.status", "level.value", "changed"} <= set(answer.json()["$defs"])
        event = {"specversion": "1.0", "id": "1", "source": "/s", "type": "shop.job.status", "subject": "j1"}
        data = {"status": "RUNNING", "owner": "i|ada", "at": "2026-03-01T10:00:00Z", "data": {"name": "x"}}
        assert schema.is_valid(event | {"sequence": "1", "data": data})
        assert not schema.is_valid(event | {"sequence": "1", "data": data | {"data": {"name": 1}}})


async def test_parameters_bodies_and_answers_match_the_signatures(redis_url: str) -> None:
    async with running(redis_url) as world:
        document = (await world.client.get("/openapi.json")).json()
        paths, schemas = document["paths"], document["components"]["schemas"]
        found = {one["name"]: one for one in paths["/api/search"]["get"]["parameters"]}
        assert {name: (one["in"], one["required"]) for name, one in found.items()} == {
            "page": ("query", False),
            "tag": ("query", False),
            "colour": ("query", False),
        }
        assert found["page"]["schema"]["default"] == 1
        assert found["colour"]["schema"]["$ref"] == "#/components/schemas/Colour"
        assert schemas["Colour"]["enum"] == ["red", "blue"]
        assert not any("_query" in name or "_path" in name for name in schemas), (
            "request objects are not components"
        )

        begin = paths["/api/jobs"]["post"]
        assert begin["summary"] == "Begin a job."
        assert [(one["name"], one["in"], one["required"]) for one in begin["parameters"]] == [
            ("dry", "query", False),
            ("Idempotency-Key", "header", True),
        ], "the principal is not a parameter"
        body = begin["requestBody"]["content"]["application/json"]["schema"]
        assert body == {"$ref": "#/components/schemas/Cart"}
        assert set(begin["responses"]) >= {"202", "400", "401", "409", "410", "415", "422", "429", "503"}
        assert begin["security"]
        required = paths["/api/required/{how}"]["get"]
        assert required["description"] == "It has a second paragraph."
        assert required["responses"]["200"]["content"]["application/json"]["schema"] == {
            "$ref": "#/components/schemas/Required"
        }
        assert paths["/api/search"]["get"]["security"] == []
        assert "401" not in paths["/api/search"]["get"]["responses"]


async def test_answers_of_a_command_and_its_saga_match_the_document(redis_url: str) -> None:
    async with running(redis_url) as world:
        document = (await world.client.get("/openapi.json")).json()

        def fits(path: str, method: str, status: str, answer: httpx.Response) -> None:
            assert answer.status_code == int(status)
            said = document["paths"][path][method]["responses"][status]["content"]["application/json"]
            Draft202012Validator(said["schema"] | {"components": document["components"]}).validate(
                answer.json()
            )

        begun = await world.client.post("/api/jobs", headers=keyed(), json={"lines": []})
        fits("/api/jobs", "post", "202", begun)
        saga = begun.json()["saga"]
        kept = await world.get(begun.headers["location"])
        fits("/bff/sagas/{type}/{id}", "get", "200", kept)
        state = await world.get("/bff/live/snapshot")
        fits("/bff/live/snapshot", "get", "200", state)
        assert [one["id"] for one in state.json()["sagas"]] == [saga["id"]]
        assert saga["type"] == kept.json()["type"] == "job"
        schemas = document["components"]["schemas"]
        assert schemas["started.job"]["properties"]["saga"]["properties"]["type"] == {"const": "job"}


async def test_the_document_lists_the_states_of_a_part(redis_url: str) -> None:
    async with running(redis_url) as world:
        schemas = (await world.client.get("/openapi.json")).json()["components"]["schemas"]
        text = str(schemas["Optional"]["properties"]["extra"]) + str(schemas)
        for state in ("ready", "stale", "missing"):
            assert f"'const': '{state}'" in text


async def test_the_docs_are_plain_html_without_a_script(redis_url: str) -> None:
    async with running(redis_url) as world:
        for path in ("/docs", "/docs/problems"):
            page = await world.client.get(path)
            assert page.headers["content-type"] == "text/html; charset=utf-8"
            assert "default-src 'none'" in page.headers["content-security-policy"]
            assert "<script" not in page.text and "http://" not in page.text
            style = httpx.URL(world.url + path).join(
                page.text.partition('rel="stylesheet" href="')[2].partition('"')[0]
            )
            assert (await world.client.get(style)).headers["content-type"] == "text/css; charset=utf-8"
        overview = (await world.client.get("/docs")).text
        assert "/api/required/{how}" in overview and "Begin a job." in overview


async def test_livez_says_alive_and_readyz_names_each_dependency(redis_url: str) -> None:
    async with running(redis_url) as world:
        assert (await world.client.get("/livez")).json() == {"status": "alive"}
        ready = await world.client.get("/readyz")
        assert ready.status_code == 200
        told = ready.json()
        # Warnings about Redis are found after the start (test_redis_reports.py).
        told["dependencies"]["redis"].pop("warnings", None)
        assert told == {
            "status": "ready",
            "dependencies": {
                "redis": {"state": "up", "kind": "single", "tls": False},
                "upstreams": {"shelf": {"circuit": "closed"}},
                "journals": {"waiting": 0},
                "issuers": {ISSUER: {"state": "unknown", "keys": 0, "age": None}},
            },
        }
        assert ready.headers["cache-control"] == "no-store"


async def test_without_redis_the_gateway_is_ready_and_readyz_reports_redis_as_away() -> None:
    async with running(nowhere()) as world:
        ready = await world.client.get("/readyz")
        assert (ready.status_code, ready.json()["dependencies"]["redis"]["state"]) == (200, "away")


async def test_every_path_of_the_page_serves_it_with_a_strict_policy(redis_url: str) -> None:
    async with running(redis_url) as world:
        page = await world.client.get("/")
        other = await world.client.get("/page/7")
        assert page.content == other.content
        assert "default-src 'self'" in page.headers["content-security-policy"]
        assert "unsafe" not in page.headers["content-security-policy"]
        assert page.headers["cache-control"] == "no-cache"
        asset = await world.client.get("/assets/upstream.py")
        again = await world.client.get(
            "/assets/upstream.py", headers={"if-none-match": asset.headers["etag"]}
        )
        assert (asset.status_code, again.status_code) == (200, 304)


def _beside(gateway: Gateway) -> Starlette:
    async def theirs(request: object) -> PlainTextResponse:
        return PlainTextResponse("theirs")

    return Starlette(routes=[Route("/theirs", theirs), Mount("/shop", gateway)])


async def test_it_can_be_mounted_below_a_prefix_of_another_application(redis_url: str) -> None:
    async with running(redis_url, mount=_beside, prefix="/shop") as world:
        origin = world.url.removesuffix("/shop")
        assert (await world.client.get(f"{origin}/theirs")).text == "theirs"
        assert (await world.get("/api/optional/ok")).status_code == 200
        missing = await world.client.get("/nothing")
        assert missing.json()["code"] == "not-found"
        assert missing.json()["type"].startswith(f"{world.url}/docs/problems#")
        assert (await world.client.get(missing.json()["type"].partition("#")[0])).status_code == 200
        assert (await world.client.put("/api/both")).headers["allow"] == "GET, HEAD, POST"
        begun = await world.client.post("/api/jobs", headers=keyed(), json={"lines": []})
        assert begun.headers["location"] == "/shop/bff/sagas/job/j1"
        assert (await world.get(f"{origin}{begun.headers['location']}")).status_code == 200
        for path in ("/docs", "/docs/problems"):
            page = await world.client.get(path)
            style = httpx.URL(world.url + path).join(
                page.text.partition('rel="stylesheet" href="')[2].partition('"')[0]
            )
            assert (await world.client.get(style)).status_code == 200


async def test_a_server_without_lifespan_starts_it_with_the_first_request(redis_url: str) -> None:
    async with running(redis_url, lifespan="off") as world:
        assert (await world.get("/api/optional/ok")).status_code == 200
        answer = await world.client.post("/api/things/ok", headers=keyed(), json={"name": "x"})
        assert answer.status_code == 200


async def test_settings_that_are_wrong_fail_the_lifespan_with_their_names(monkeypatch: Any) -> None:
    monkeypatch.setenv("BFF_NO_SUCH", "1")
    gateway = declare()
    said: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "lifespan.startup"}

    async def send(message: Any) -> None:
        said.append(message)

    await gateway({"type": "lifespan"}, receive, send)
    assert said[0]["type"] == "lifespan.startup.failed"
    assert "BFF_NO_SUCH" in said[0]["message"]
