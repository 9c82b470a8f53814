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
ROUTERS = ("projects", "tickets", "files", "people", "exports", "preferences")
MODULES = ("upstreams", "language", *ROUTERS, "gateway")
STANDARD = ("asyncio", "collections.abc", "contextlib", "csv", "io", "pathlib", "typing", "urllib.parse")


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


def test_it_has_sixteen_views_twelve_commands_and_three_forwards_in_six_routers() -> None:
    shown = (
        "import tracker; a = tracker.app; "
        "print(*map(len, (a.views, a.commands, a.forwards, a.routers)), *a.sagas, *a.values)"
    )
    ran = run("-c", shown)
    assert ran.stdout.split() == ["16", "12", "3", "6", "import", "board/{key}"], ran.stderr
    assert {path.stem for path in (TRACKER / "tracker").glob("*.py")} == {"__init__", *MODULES}


def test_its_modules_import_only_public_names_and_no_router_imports_another() -> None:
    for name in MODULES:
        tree = ast.parse((TRACKER / "tracker" / f"{name}.py").read_text())
        imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
        own: set[str] = set()
        for node in imports:
            if isinstance(node, ast.ImportFrom) and node.level:
                own |= {node.module} if node.module else {alias.name for alias in node.names}
                continue
            modules = [node.module] if isinstance(node, ast.ImportFrom) else [one.name for one in node.names]
            assert set(modules) <= {"bff", "pydantic", *STANDARD}, f"{name}: {modules}"
        allowed = {"upstreams": set(), "gateway": set(MODULES) - {"gateway"}}
        assert own <= allowed.get(name, {"upstreams", "language"} - {name}), name


def test_its_own_tests_pass() -> None:
    ran = run("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:schemathesis")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "12 passed" in ran.stdout


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
    ports = {name: free_port() for name in ("standin", "files", "keys", "gateway", "admin")}
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
        "BFF_UPSTREAMS__FILES__URL": f"http://127.0.0.1:{ports['files']}",
    }
    checked = run("-m", "bff", "check", "tracker:app", env=env)
    assert checked.returncode == 0, checked.stderr
    commands = {
        "standin": [sys.executable, "-m", "services.standin", str(ports["standin"])],
        "files": [sys.executable, "-m", "services.files", str(ports["files"]), str(tmp_path / "files")],
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
            sent = client.put("/api/tickets/1/files/a.txt", content=b"hm")
            assert sent.status_code == 201, sent.text
            for file in ("files/a.txt", "newest-file"):
                assert client.get(f"/api/tickets/1/{file}").content == b"hm"
            assert client.get("/api/exports/tickets.csv").text.count("\r\n") == 63
            assert 'src="/page/page.js"' in client.get("/").text
            for command, body, screen, text in (
                ("/api/tickets/1/comments", {"text": "In E."}, "/api/tickets/1", "In E."),
                ("/api/tickets/1/state", {"state": "doing"}, "/api/tickets?state=doing", "It hums"),
                ("/api/tickets/2/take", None, "/api/people/me", "It is silent"),
                ("/api/tickets", {"project": "apollo", "title": "It glows"}, "/api/tickets", "It glows"),
                ("PATCH /api/tickets/1", {"title": "It sings"}, "/api/tickets/1", "It sings"),
                ("PATCH /api/tickets", [{"id": "h1", "state": "done"}], "/api/tickets?state=done", "h1"),
                ("PUT /api/tickets/1/assignee", {"name": "cy"}, "/api/people/cy", "It sings"),
            ):
                assert text not in client.get(screen).text
                method, _, path = command.rpartition(" ")
                keyed = {"idempotency-key": command.replace(" ", "-")}
                done = client.request(method or "POST", path, headers=keyed, json=body)
                assert done.is_success, f"{command}: {done.text}"
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
