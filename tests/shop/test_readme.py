"""The code of README.md is run as printed: its gateway, with services that are not ours."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from bff import Gateway
from tests.conftest import ROOT, Program, free_port, start_program, wait_for_port
from tests.declarations import paths_of
from tests.waiting import GUARD

README = (ROOT / "README.md").read_text()


def block(name: str) -> str:
    """The code block that follows the comment `<!-- name -->`."""
    found = re.search(rf"<!-- {re.escape(name)} -->\n```\w+\n(.*?)```", README, re.DOTALL)
    if found is None:
        raise AssertionError(f"README.md has no block {name}")
    return found.group(1)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """The answers of two services, as files: Python's http.server serves them and knows nothing of bff."""
    desk, people = tmp_path / "desk" / "tickets", tmp_path / "people" / "customers"
    desk.mkdir(parents=True)
    people.mkdir(parents=True)
    (desk / "7.json").write_text(
        json.dumps({"id": "7", "subject": "It hums", "customer": "kim", "secret": "x"})
    )
    (people / "kim.json").write_text(json.dumps({"name": "Kim", "plan": "gold"}))
    (tmp_path / "desk.py").write_text(block("desk.py"))
    return tmp_path


def bff(folder: Path, env: dict[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bff", *command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **env},
        capture_output=True,
        text=True,
        timeout=GUARD,
        check=False,
    )


def test_the_gateway_of_the_readme_is_about_forty_lines() -> None:
    lines = [line for line in block("desk.py").splitlines() if line.strip()]
    assert len(lines) <= 45


def test_the_gateway_of_the_readme_works_with_services_that_are_not_ours(files: Path, redis_url: str) -> None:
    ports = {"desk": free_port(), "people": free_port()}
    services: dict[str, Program] = {}
    for name, port in ports.items():
        command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
        services[name] = start_program(
            [*command, "--directory", str(files / name)], log=files / f"{name}.log"
        )
        wait_for_port(port, process=services[name].process)
    port = free_port()
    env = {name: value.strip("'") for name, value in re.findall(r"export (BFF_\w+)=(.*)", block("settings"))}
    assert set(env) == {
        "BFF_UPSTREAMS__DESK__URL",
        "BFF_UPSTREAMS__PEOPLE__URL",
        "BFF_REDIS__URL",
        "BFF_ISSUERS",
    }
    env |= {
        "BFF_UPSTREAMS__DESK__URL": f"http://127.0.0.1:{ports['desk']}",
        "BFF_UPSTREAMS__PEOPLE__URL": f"http://127.0.0.1:{ports['people']}",
        "BFF_REDIS__URL": redis_url,
        "BFF_PORT": str(port),
        "BFF_ADMIN_PORT": str(free_port()),
    }
    checked = bff(files, env, "check", "desk:app")
    assert checked.returncode == 0, checked.stderr
    routes = bff(files, env, "routes", "desk:app").stdout
    assert "required  desk.ticket  (Support #support)" in routes
    assert "optional  people.customer  (Accounts #accounts)" in routes
    gateway = start_program(
        [
            sys.executable,
            "-c",
            "import os, sys; os.chdir(sys.argv[1]); from bff.cli import main; main(sys.argv[2:])",
        ]
        + [str(files), "serve", "desk:app"],
        log=files / "gateway.log",
        env={"PYTHONPATH": str(ROOT), **env},
    )
    try:
        wait_for_port(port, process=gateway.process)
        with httpx.Client(base_url=f"http://localhost:{port}", trust_env=False) as client:
            answer = client.get("/api/tickets/7")
            assert answer.status_code == 200, answer.text
            assert answer.json() == {
                "ticket": {"id": "7", "subject": "It hums", "customer": "kim"},
                "customer": {"state": "ready", "data": {"name": "Kim", "plan": "gold"}},
            }
            services["people"].kill()
            answer = client.get("/api/tickets/7")
            assert (answer.status_code, answer.headers["bff-complete"]) == (200, "false")
            part = answer.json()["customer"]
            assert (part["reason"], part["owner"]["contact"]) == ("unreachable", "#accounts")
            missing = client.get("/api/tickets/8")
            assert (missing.status_code, missing.json()["owner"]["team"]) == (404, "Support")
            assert client.post("/api/tickets/7/close", headers={"idempotency-key": "k"}).status_code == 401
        assert gateway.stop() == 0
    finally:
        gateway.kill()
        for service in services.values():
            service.kill()


def test_the_router_of_the_readme_is_served_by_a_gateway_that_includes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "clients.py").write_text(block("desk.py"))
    (tmp_path / "tickets.py").write_text(block("tickets.py"))
    monkeypatch.syspath_prepend(str(tmp_path))
    clients, tickets = importlib.import_module("clients"), importlib.import_module("tickets")
    for name in ("clients", "tickets"):
        monkeypatch.delitem(sys.modules, name)
    gateway = Gateway("desk", routers=(tickets.tickets,))
    assert paths_of(gateway.views) == ["/api/tickets/{id}"]
    assert gateway.upstreams() == [clients.desk]


def test_every_file_that_the_readme_links_to_exists() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
