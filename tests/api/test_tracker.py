"""The example docs/examples/tracker: its structure, its own tests and types, and every screen of it when it is
served."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import httpx

from ..conftest import ROOT, Program, free_port, start_program, wait_for_port
from ..unit.edge.access.issuing import ISSUER, claims, ec_key, jwk, sign
from ..waiting import GUARD

TRACKER = ROOT / "docs" / "examples" / "tracker"
MODULES = ("upstreams", "projects", "tickets", "people", "gateway")


def run(*command: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """A new interpreter in the example's folder, which imports `bff` from this checkout."""
    return subprocess.run(
        [sys.executable, *command],
        cwd=TRACKER,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", **(env or {})},
        capture_output=True,
        text=True,
        timeout=10 * GUARD,
        check=False,
    )


def test_it_has_twelve_screens_in_five_modules_with_three_routers() -> None:
    shown = "import tracker; a = tracker.app; print(len(a.views), len(a.commands), len(a.routers), *a.sagas, *a.values)"
    ran = run("-c", shown)
    assert ran.stdout.split() == ["12", "5", "3", "import", "board/{key}"], ran.stderr
    assert {path.stem for path in (TRACKER / "tracker").glob("*.py")} == {"__init__", *MODULES}


def test_its_modules_import_only_public_names_and_no_router_imports_another() -> None:
    for name in MODULES:
        tree = ast.parse((TRACKER / "tracker" / f"{name}.py").read_text())
        imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
        own: set[str] = set()
        for node in imports:
            assert isinstance(node, ast.ImportFrom)
            if node.level:
                own |= {node.module} if node.module else {alias.name for alias in node.names}
            else:
                assert node.module in ("bff", "pydantic", "typing"), f"{name}: {node.module}"
        allowed = {"upstreams": set(), "gateway": set(MODULES) - {"gateway"}}.get(name, {"upstreams"})
        assert own <= allowed, name


def test_its_own_tests_pass() -> None:
    ran = run("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:schemathesis")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "7 passed" in ran.stdout


def test_it_is_clean_under_mypy_strict(tmp_path: Path) -> None:
    ran = run("-m", "mypy", "--cache-dir", str(tmp_path))
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_its_readme_names_every_module_and_only_files_that_exist() -> None:
    readme = (TRACKER / "README.md").read_text()
    links = re.findall(r"\]\(([^)#]+)\)", readme)
    assert {f"tracker/{name}.py" for name in MODULES} <= set(links)
    assert [link for link in links if not (TRACKER / link).exists()] == []


def test_every_screen_is_served_and_the_sender_of_a_command_reads_its_change(
    tmp_path: Path, redis_url: str
) -> None:
    key = ec_key()
    (tmp_path / "keys.json").write_text(json.dumps({"keys": [jwk(key, "k1")]}))
    ports = {name: free_port() for name in ("standin", "keys", "gateway", "admin")}
    trusted = {
        "issuer": ISSUER,
        "audience": "tracker",
        "jwks_uri": f"http://127.0.0.1:{ports['keys']}/keys.json",
    }
    env = {
        "PYTHONPATH": f"{ROOT}:{TRACKER}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "BFF_SETTINGS": str(TRACKER / "bff.toml"),
        "BFF_REDIS__URL": redis_url,
        "BFF_PORT": str(ports["gateway"]),
        "BFF_ADMIN_PORT": str(ports["admin"]),
        "BFF_ISSUERS": json.dumps([trusted]),
        **{
            f"BFF_UPSTREAMS__{name}__URL": f"http://127.0.0.1:{ports['standin']}"
            for name in ("PROJECTS", "TICKETS", "PEOPLE", "SEARCH")
        },
    }
    checked = run("-m", "bff", "check", "tracker:app", env=env)
    assert checked.returncode == 0, checked.stderr
    commands = {
        "standin": [sys.executable, "-m", "services.standin", str(ports["standin"])],
        "keys": [sys.executable, "-m", "http.server", str(ports["keys"]), "--bind", "127.0.0.1"]
        + ["--directory", str(tmp_path)],
        "gateway": [sys.executable, "-m", "bff", "serve", "tracker:app"],
    }
    programs: list[Program] = []
    try:
        for name, command in commands.items():
            programs.append(start_program(command, log=tmp_path / f"{name}.log", env=env))
            wait_for_port(ports[name], process=programs[-1].process)
        now = int(time.time())
        token = sign(key, claims(aud="tracker", scope="tracker", iat=now, exp=now + 3600))
        url = f"http://localhost:{ports['gateway']}"
        with httpx.Client(base_url=url, trust_env=False, timeout=GUARD) as client:
            assert client.get("/api/projects").json()["projects"][0]["key"] == "apollo"
            assert client.get("/api/tickets").status_code == 401
            client.headers["authorization"] = f"Bearer {token}"
            started = client.post(
                "/api/projects/apollo/imports",
                headers={"idempotency-key": "import"},
                json={"url": "https://old.example.org"},
            )
            assert started.status_code == 202, started.text
            id = started.json()["saga"]["id"]
            screens = [
                "/api/projects",
                "/api/projects/apollo",
                "/api/projects/apollo/board",
                "/api/projects/apollo/activity",
                f"/api/projects/apollo/imports/{id}",
                "/api/tickets?state=open",
                "/api/tickets/1",
                "/api/tickets/1/history",
                "/api/people",
                "/api/people/me",
                "/api/people/bo",
                "/api/search?text=hum",
            ]
            for screen in screens:
                answer = client.get(screen)
                assert answer.status_code == 200, f"{screen}: {answer.text}"
                assert answer.headers["bff-complete"] == "true", f"{screen}: {answer.text}"
            assert "budget" not in client.get("/api/projects/apollo").text
            for command, body, screen, text in (
                ("/api/tickets/1/comments", {"text": "In E."}, "/api/tickets/1", "In E."),
                ("/api/tickets/1/state", {"state": "doing"}, "/api/tickets?state=doing", "It hums"),
                ("/api/tickets/2/take", None, "/api/people/me", "It is silent"),
                ("/api/tickets", {"project": "apollo", "title": "It glows"}, "/api/tickets", "It glows"),
            ):
                assert text not in client.get(screen).text
                done = client.post(command, headers={"idempotency-key": command}, json=body)
                assert done.status_code == 200, f"{command}: {done.text}"
                # Answers are fresh for five seconds, but not for the person who changed them.
                assert text in client.get(screen).text, screen
            with client.stream("GET", "/bff/live?value=board/apollo") as stream:
                lines = stream.iter_lines()
                assert any(line == "event: snapshot" for line in lines)
                data = next(line for line in lines if line.startswith("data: "))
                snapshot = json.loads(data.removeprefix("data: "))
                assert [saga["id"] for saga in snapshot["sagas"]] == [id]
    finally:
        for program in reversed(programs):
            program.kill()
