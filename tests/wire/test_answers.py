"""What every answer and every refusal has: the type and character set of its content, credentials from one place only,
no file that was not meant to be served, and a log line that says who was refused what."""

from __future__ import annotations

import json
import logging

import pytest

from .gateway import bearer, keyed, running, token

HTML = {"accept": "text/html", "sec-fetch-mode": "navigate"}


async def test_every_text_names_its_character_set_and_json_can_be_read_as_its_type_says(
    redis_url: str,
) -> None:
    async with running(redis_url) as world:
        kinds = set()
        for path, headers in [
            ("/", HTML),
            ("/nothing", HTML),
            ("/nothing", {}),
            ("/api/me", HTML),
            ("/api/me", {}),
            ("/api/me", bearer()),
            ("/docs", {}),
            ("/docs/style.css", {}),
            ("/docs/problems", {}),
            ("/openapi.json", {}),
            ("/asyncapi.json", {}),
            ("/livez", {}),
            ("/readyz", {}),
            ("/assets/gateway.py", {}),
            ("/api/open/ok", {}),
        ]:
            answer = await world.client.get(path, headers=headers)
            kind, _, parameters = answer.headers["content-type"].partition(";")
            kinds.add(kind)
            assert answer.headers["x-content-type-options"] == "nosniff", path
            if kind.startswith("text/"):
                assert parameters.strip().lower() == "charset=utf-8", path
                answer.content.decode("utf-8")
            else:
                # RFC 8259 section 11: JSON has no charset parameter, because it is always UTF-8.
                assert (kind.endswith("json"), parameters) == (True, ""), path
                json.loads(answer.content.decode("utf-8"))
        assert {"text/html", "text/css", "application/json", "application/problem+json"} <= kinds


async def test_a_token_counts_in_the_authorization_header_and_nowhere_else(redis_url: str) -> None:
    async with running(redis_url) as world:
        good = token()
        assert (
            await world.client.get("/api/me", headers={"authorization": f"Bearer {good}"})
        ).status_code == 200
        for name in ("access_token", "token", "authorization", "bearer"):
            answer = await world.client.get("/api/me", params={name: good})
            assert answer.status_code == 401, name
            answer = await world.client.get("/api/me", headers={"cookie": f"{name}={good}"})
            assert answer.status_code == 401, name
        form = await world.client.post(
            "/api/things/ok", data={"access_token": good}, headers={"idempotency-key": '"k"'}
        )
        assert form.status_code == 401


@pytest.mark.parametrize(
    "path",
    [
        "/assets/",
        "/assets",
        "/assets/oidc/",
        "/assets/__init__.py",
        "/assets/.env",
        "/assets/.git/config",
        "/assets/oidc/node_modules/.package-lock.json",
        "/assets/%2e%2e/conftest.py",
        "/assets/..%2fconftest.py",
        "/assets//etc/passwd",
        "/.git/config",
    ],
)
async def test_folders_hidden_files_and_files_outside_are_404(redis_url: str, path: str) -> None:
    async with running(redis_url) as world:
        answer = await world.client.get(path)
        assert (answer.status_code, answer.json()["code"]) == (404, "not-found")


async def test_the_access_line_names_the_person_by_a_pseudonym_and_the_reason_of_a_refusal(
    redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "bff.access")
    async with running(redis_url) as world:
        (await world.get("/api/me")).raise_for_status()
        await world.client.get("/api/me")
        await world.client.get("/api/me", headers={"authorization": "Bearer nonsense"})
        wrong = keyed() | {"content-type": "application/json"}
        await world.client.post("/api/things/ok", headers=wrong, content=b'{"name": 1}')
        lines = [vars(record)["fields"] for record in caplog.records if record.name == "bff.access"]
        told = [(line["status"], line.get("who"), line.get("code")) for line in lines]
        ada = told[0][1]
        assert ada is not None and len(ada) == 32 and int(ada, 16)
        assert told == [
            (200, ada, None),
            (401, None, "unauthenticated"),
            (401, None, "invalid-token"),
            (422, ada, "invalid-request"),
        ]
        assert "ada" not in json.dumps(lines), "the name itself is not logged"
