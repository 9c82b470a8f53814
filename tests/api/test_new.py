"""`bff new`: the project that it writes passes its own tests and type check, is well formatted, and can be served; its
files for containers and CI name what exists."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import httpx
import pytest
import yaml  # type: ignore[import-untyped]  # its types are a package of their own

from bff import DeclarationError
from bff.cli import new
from bff.cli.main import main
from bff.cli.project_pages import PAGES

from ..conftest import ROOT, Program, free_port, start_program, wait_for_port
from ..programs import program
from ..tutorial.test_first_gateway import built_wheel
from ..waiting import GUARD, eventually

# Runs in any folder as `bff` does, with this checkout's package.
BFF = "import os, sys; os.chdir(sys.argv.pop(1)); from bff.cli import main; sys.exit(main(sys.argv[1:]))"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return new.create("help-desk", tmp_path_factory.mktemp("new"))


@pytest.fixture(scope="module", params=PAGES)
def any_project(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with each kind of page."""
    return new.create("help-desk", tmp_path_factory.mktemp(request.param), page=request.param)


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


def test_the_project_has_what_its_readme_names(any_project: Path) -> None:
    project = any_project
    readme = (project / "README.md").read_text()
    assert readme.startswith("# Help desk\n")
    assert len(readme.splitlines()) <= 10
    for name in ("help_desk/clients.py", "help_desk/tickets.py", "help_desk/gateway.py", "bff.toml"):
        assert f"`{name}`" in readme
        assert (project / name).is_file()
    files = [path for path in project.rglob("*") if path.is_file()]
    left = [path for path in files if re.search(r"(?<!\$)\{\{[a-z_]+\}\}", path.read_text())]
    assert left == [] and not [path for path in files if path.suffix == ".tmpl"]
    assert {".gitignore", ".dockerignore", ".env.example", "Dockerfile", "compose.yaml"} <= {
        path.name for path in files
    }
    tool = tomllib.loads((project / "pyproject.toml").read_text())["tool"]["bff"]
    assert tool["gateway"] == "help_desk:app"


def test_the_projects_own_tests_pass(project: Path) -> None:
    ran = run(project, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:schemathesis")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "4 passed" in ran.stdout


def test_the_project_is_clean_under_mypy_strict(
    any_project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    # One cache for all of them: what they import is read once.
    ran = run(any_project, "-m", "mypy", "--cache-dir", str(tmp_path_factory.getbasetemp() / "mypy"))
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_project_is_clean_under_ruff(any_project: Path) -> None:
    for command in (["check", "--no-cache"], ["format", "--check", "--no-cache"]):
        ran = run(any_project, "-m", "ruff", *command, ".")
        assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_settings_for_production_have_no_mistakes(any_project: Path) -> None:
    # As a shell reads them: `. ./.env.example`.
    words = shlex.split((any_project / ".env.example").read_text(), comments=True)
    env = dict(word.split("=", 1) for word in words)
    checked = run(any_project, "-m", "bff", "check", "help_desk:app", env=env)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_the_kept_description_is_accepted_until_the_gateway_changes(project: Path, tmp_path: Path) -> None:
    printed = run(project, "-m", "bff", "openapi", "help_desk:app")
    assert printed.returncode == 0, printed.stderr
    kept = tmp_path / "openapi.json"
    kept.write_text(printed.stdout)
    document = json.loads(printed.stdout)
    assert {"TicketScreen", "value.desk"} <= document["components"]["schemas"].keys()
    checked = run(project, "-m", "bff", "openapi", "help_desk:app", "--check", str(kept))
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
    screens = project / "help_desk" / "tickets.py"
    before = screens.read_text()
    try:
        screens.write_text(before.replace("    customer: Part[clients.Customer]\n", ""))
        changed = run(project, "-m", "bff", "openapi", "help_desk:app", "--check", str(kept))
    finally:
        screens.write_text(before)
    assert changed.returncode == 1
    assert "TicketScreen" in changed.stderr


def test_the_image_and_the_containers_name_only_what_exists(any_project: Path) -> None:
    text = (any_project / "Dockerfile").read_text()
    steps = re.findall(r"^(\w+) (.*)$", text.replace("\\\n", " "), re.MULTILINE)
    stages = [rest for word, rest in steps if word == "FROM"]
    arguments = {rest.partition("=")[0] for word, rest in steps if word == "ARG"}
    # Each base image is an argument, and the last stage is a new one, so that no build tool is in the image.
    assert all(re.fullmatch(r"\$\{(\w+)\}( AS \w+)?", stage) for stage in stages)
    assert {re.findall(r"\w+", stage)[0] for stage in stages} <= arguments
    assert " AS " not in stages[-1]
    copied = {
        word
        for kind, rest in steps
        if kind == "COPY" and "--from" not in rest
        for word in rest.split()[:-1]
        if "*" not in word and word != "page"
    }
    assert copied and [name for name in copied if not (any_project / name).exists()] == []
    assert ("COPY", "page /app/page") in steps or "/page/dist" in text or not (any_project / "page").exists()
    assert [rest for kind, rest in steps if kind == "USER"] == ["10001:10001"]
    assert any(kind == "HEALTHCHECK" and "/readyz" in rest for kind, rest in steps)
    assert steps[-1] == ("CMD", '["bff", "serve", "help_desk:app"]')

    compose = yaml.safe_load((any_project / "compose.yaml").read_text())["services"]
    assert set(compose) == {"gateway", "tickets", "people", "valkey"}
    assert set(compose["gateway"]["build"]["args"]) <= arguments
    for name, one in compose.items():
        if name not in ("gateway", "valkey"):
            assert (any_project / "services" / f"{one['command'][2].partition('.')[2]}.py").is_file()
    settings = {
        name: re.sub(r"\$\{\w+:-(.*)\}$", r"\1", value)
        for name, value in compose["gateway"]["environment"].items()
    }
    checked = run(any_project, "-m", "bff", "check", "help_desk:app", env=settings)
    assert (checked.returncode, checked.stderr) == (0, "")


def build_script(project: Path, root: Path) -> str:
    """The stage `build` of the project's Dockerfile as a shell script below `root` instead of `/`."""
    text = (project / "Dockerfile").read_text().replace("\\\n", " ")
    stage = text.split("AS build\n")[1].split("\nFROM ")[0]
    lines = ["set -eu", f"cd {project}", f"mkdir -p {root}/build {root}/app {root}/opt"]
    for word, rest in re.findall(r"^([A-Z]+) (.*)$", stage, re.MULTILINE):
        match word:
            case "ARG":
                assert "=" in rest or rest.startswith("PIP_")
            case "COPY":
                *sources, target = rest.split()
                # A pattern that nothing fits is left out, as in a build.
                lines.append(
                    f"for one in {' '.join(sources)}; do [ ! -e $one ] || cp -r $one {root}{target}; done"
                )
            case "RUN":
                lines.append(re.sub(r"(?<![\w.])/(build|opt|app)\b", rf"{root}/\1", rest))
            case _:
                raise ValueError(f"the Dockerfile's {word} is not known here")
    return "\n".join(lines)


@pytest.mark.slow
def test_the_build_steps_of_the_image_make_a_gateway_that_is_checked(project: Path, tmp_path: Path) -> None:
    program("strip")  # The build image has it.
    wheels = built_wheel(tmp_path / "wheels")
    env = {**os.environ, "PIP_FIND_LINKS": str(wheels)}
    root = tmp_path / "root"
    subprocess.run(["sh", "-c", build_script(project, root)], check=True, timeout=1800, env=env)
    python = root / "opt" / "venv" / "bin" / "python"
    settings = dict(
        word.split("=", 1) for word in shlex.split((project / ".env.example").read_text(), comments=True)
    )
    checked = subprocess.run(
        [python, "-m", "bff", "check", "help_desk:app"],
        cwd=root / "app",
        env={"PATH": os.environ["PATH"], **settings},
        capture_output=True,
        text=True,
        timeout=10 * GUARD,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert not (root / "opt/venv/bin/pip").exists()
    sizes = {
        layer: sum(path.lstat().st_size for path in (root / layer).rglob("*") if not path.is_dir())
        for layer in ("opt", "app")
    }
    print(sizes)
    # The base image has about 125 MB.
    assert sizes["opt"] < 110e6 and sizes["app"] < 1e6, sizes


def test_ci_has_jobs_for_code_contracts_and_the_image(any_project: Path) -> None:
    workflow = yaml.safe_load((any_project / ".github" / "workflows" / "test.yml").read_text())
    jobs = {
        name: "\n".join(step.get("run", "") for step in job["steps"])
        for name, job in workflow["jobs"].items()
    }
    assert set(jobs) == {"unit", "contracts", "image"}
    assert "pytest" in jobs["unit"] and "mypy" in jobs["unit"]
    assert "bff check help_desk:app" in jobs["contracts"] and "bff openapi help_desk:app" in jobs["contracts"]
    assert "docker compose up --wait" in jobs["image"] and "/api/tickets/7" in jobs["image"]
    scripts = (
        json.loads((any_project / "page/package.json").read_text())["scripts"] if "npm" in str(jobs) else {}
    )
    assert set(re.findall(r"npm run (\w+) --prefix page", str(jobs))) <= scripts.keys()


def test_a_served_project_shows_a_ticket_and_names_the_owner_of_what_fails(
    project: Path, tmp_path: Path, redis_url: str
) -> None:
    ports = {name: free_port() for name in ("tickets", "people", "gateway", "admin")}
    programs: list[Program] = []
    try:
        for name in ("tickets", "people"):
            command = [sys.executable, "-m", f"services.{name}", str(ports[name])]
            programs.append(
                start_program(
                    command,
                    log=tmp_path / f"{name}.log",
                    env={"PYTHONPATH": str(project), "REDIS_URL": redis_url},
                )
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
            page = client.get("/")
            assert "<title>Help desk</title>" in page.text
            # Everything that the page and the client's modules refer to is served.
            seen, left = set(), [*re.findall(r'(?:href|src)="(/[^"]+)"', page.text)]
            while left:
                address = left.pop()
                if address in seen:
                    continue
                seen.add(address)
                answer = client.get(address)
                assert answer.status_code == 200, address
                if address.endswith(".js"):
                    named = re.findall(r"(?:from |import\(|new URL\()'(/[^']+|\./[^']+)'", answer.text)
                    left += [str(httpx.URL(address).join(one)) for one in named]
            assert {"/page/page.js", "/client/index.js", "/client/worker.js", "/client/hub.js"} <= seen
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
        ("page", "would hide another module"),
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
