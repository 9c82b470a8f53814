"""`bff new`: the project that it writes passes its own tests and type check, is well formatted, and can be served."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import httpx
import pytest

from bff import DeclarationError
from bff.cli import new
from bff.cli.main import main

from ..conftest import ROOT, Program, free_port, start_program, wait_for_port
from ..waiting import GUARD, eventually

# Runs in any folder as `bff` does, with this checkout's package.
BFF = "import os, sys; os.chdir(sys.argv.pop(1)); from bff.cli import main; sys.exit(main(sys.argv[1:]))"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return new.create("help-desk", tmp_path_factory.mktemp("new"))


def run(folder: Path, *command: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """A new interpreter in the folder, which imports `bff` from this checkout."""
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", **(env or {})},
        capture_output=True,
        text=True,
        timeout=10 * GUARD,
        check=False,
    )


def test_the_project_has_what_its_readme_names(project: Path) -> None:
    readme = (project / "README.md").read_text()
    assert readme.startswith("# Help desk\n")
    assert len(readme.splitlines()) <= 10
    for name in ("help_desk/clients.py", "help_desk/tickets.py", "help_desk/gateway.py", "bff.toml"):
        assert f"`{name}`" in readme
        assert (project / name).is_file()
    files = [path for path in project.rglob("*") if path.is_file()]
    assert not [path for path in files if "{{" in path.read_text() or path.suffix == ".tmpl"]
    assert {".gitignore", ".env.example"} <= {path.name for path in files}
    tool = tomllib.loads((project / "pyproject.toml").read_text())["tool"]["bff"]
    assert tool["gateway"] == "help_desk:app"


def test_the_projects_own_tests_pass(project: Path) -> None:
    ran = run(project, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:schemathesis")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "4 passed" in ran.stdout


def test_the_project_is_clean_under_mypy_strict(project: Path, tmp_path: Path) -> None:
    ran = run(project, "-m", "mypy", "--cache-dir", str(tmp_path))
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_project_is_clean_under_ruff(project: Path) -> None:
    for command in (["check", "--no-cache"], ["format", "--check", "--no-cache"]):
        ran = run(project, "-m", "ruff", *command, ".")
        assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_settings_for_production_have_no_mistakes(project: Path) -> None:
    lines = (project / ".env.example").read_text().splitlines()
    env = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
    checked = run(project, "-m", "bff", "check", "help_desk:app", env=env)
    assert checked.returncode == 0, checked.stderr


def test_a_served_project_shows_a_ticket_and_names_the_owner_of_what_fails(
    project: Path, tmp_path: Path, redis_url: str
) -> None:
    ports = {name: free_port() for name in ("tickets", "people", "gateway", "admin")}
    programs: list[Program] = []
    try:
        for name in ("tickets", "people"):
            command = [sys.executable, "-m", f"services.{name}", str(ports[name])]
            programs.append(
                start_program(command, log=tmp_path / f"{name}.log", env={"PYTHONPATH": str(project)})
            )
            wait_for_port(ports[name], process=programs[-1].process)
        env = {
            "PYTHONPATH": str(ROOT),
            "BFF_SETTINGS": "bff.toml",
            "BFF_UPSTREAMS__TICKETS__URL": f"http://127.0.0.1:{ports['tickets']}",
            "BFF_UPSTREAMS__PEOPLE__URL": f"http://127.0.0.1:{ports['people']}",
            "BFF_REDIS__URL": redis_url,
            "BFF_PORT": str(ports["gateway"]),
            "BFF_ADMIN_PORT": str(ports["admin"]),
            "BFF_ISSUERS": '[{"issuer": "https://login.example.org", "audience": "help-desk"}]',
        }
        command = [sys.executable, "-c", BFF, str(project), "serve", "help_desk:app"]
        programs.append(start_program(command, log=tmp_path / "gateway.log", env=env))
        wait_for_port(ports["gateway"], process=programs[-1].process)
        with httpx.Client(base_url=f"http://localhost:{ports['gateway']}", trust_env=False) as client:
            screen = client.get("/api/tickets/7")
            assert screen.status_code == 200, screen.text
            assert screen.json()["ticket"]["subject"] == "It hums"
            assert screen.json()["customer"] == {"state": "ready", "data": {"name": "Kim", "plan": "gold"}}
            assert len(client.get("/api/tickets").json()["tickets"]) == 2
            fault = f"http://127.0.0.1:{ports['people']}/fault"
            assert httpx.post(fault, params={"status": 500}, trust_env=False).json()["status"] == 500
            # Kim's plan is fresh for ten seconds; Sam's was not requested yet.
            part = client.get("/api/tickets/8").json()["customer"]
            assert (part["state"], part["reason"], part["owner"]["team"]) == ("missing", "failed", "Accounts")
            assert httpx.post(fault, trust_env=False).json() == {"delay": 0.0, "status": 0}
            eventually(lambda: client.get("/api/tickets/8").json()["customer"]["state"] == "ready")
            assert client.post("/api/tickets/7/close", headers={"idempotency-key": "k"}).status_code == 401
    finally:
        for program in reversed(programs):
            program.kill()
    assert "fault: delay 0 s, status 500" in (tmp_path / "people.log").read_text()


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("Desk", "lower-case letters"),
        ("7up", "lower-case letters"),
        ("help_desk", "such as desk or help-desk"),
        ("desk-", "lower-case letters"),
        ("../desk", "lower-case letters"),
        ("", "lower-case letters"),
        ("d" * 41, "at most 40 characters"),
        ("class", "would hide another module"),
        ("json", "would hide another module"),
        ("services", "would hide another module"),
        ("bff", "would hide another module"),
        ("starlette", "a module starlette is installed"),
    ],
)
def test_for_an_unusable_name_good_ones_are_proposed(tmp_path: Path, name: str, why: str) -> None:
    with pytest.raises(DeclarationError, match="cannot name a gateway") as refused:
        new.create(name, tmp_path)
    assert why in str(refused.value)
    assert "such as desk or help-desk" in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_empty_is_not_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "desk").mkdir()
    (tmp_path / "desk" / "mine.txt").write_text("mine")
    assert main(["new", "desk"]) == 1
    assert "exists and is not an empty folder; choose another name, or remove it" in capsys.readouterr().err
    assert [path.name for path in tmp_path.rglob("*")] == ["desk", "mine.txt"]


def test_an_empty_folder_is_filled_and_the_next_command_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "desk").mkdir()
    assert main(["new", "desk"]) == 0
    assert "cd desk && bff dev" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["desk"]
    assert (tmp_path / "desk" / "desk" / "__init__.py").is_file()


def test_a_project_that_cannot_be_written_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(DeclarationError, match="cannot be written: No space left on device"):
        new.create("desk", tmp_path)
    assert list(tmp_path.iterdir()) == []
