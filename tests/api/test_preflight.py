"""The message of `make` on a machine that lacks something: everything at once, with what to do, before anything is set
up."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ..conftest import ROOT

# Programs that every Debian has.
BASE = "sh env dirname head tail sort ls grep sed tr mktemp rm cat chmod make"


@dataclass
class Machine:
    """A folder with all programs on the PATH, and a project in which nothing is set up."""

    folder: Path
    ran: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        (self.folder / "bin").mkdir()
        (self.folder / "project" / ".ci").mkdir(parents=True)
        for name in BASE.split():
            (self.folder / "bin" / name).symlink_to(str(shutil.which(name)))
        for name in (".ci/preflight", "Makefile"):
            shutil.copy(ROOT / name, self.folder / "project" / name)
        self.user(1000)
        self.program("python3", f'exec {sys.executable} "$@"')
        self.node("v22.3.0")
        for name in (
            "npm",
            "chromium",
            "postgres",
            "nats-server",
            "redis-cli",
            "promtool",
            "prometheus-alertmanager",
        ):
            self.program(name, "echo 1.2.3")

    def program(self, name: str, script: str) -> None:
        path = self.folder / "bin" / name
        path.unlink(missing_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def without(self, *names: str) -> None:
        for name in names:
            (self.folder / "bin" / name).unlink()

    def user(self, number: int) -> None:
        self.program("id", f"echo {number}")

    def node(self, version: str) -> None:
        """A node that runs the check it is given as the real one would: by the number of its version."""
        major = int(version.removeprefix("v").partition(".")[0])
        self.program("node", f'if [ "$1" = -e ]; then exit {int(major < 20)}; fi; echo {version}')

    def apt(self, *installs: str) -> None:
        """An apt-get that records its arguments; each `install` runs the next script."""
        log, bin = self.folder / "apt.log", self.folder / "bin"
        cases = "".join(f"{number}) {script} ;;\n" for number, script in enumerate(installs, 1))
        self.program(
            "apt-get",
            f'cd {bin}\n(IFS=^; printf "%s\\n" "$*" >>{log})\n[ "$1" = install ] || exit 0\n'
            f"case $(grep -c ^install {log}) in\n{cases}*) exit 100 ;;\nesac",
        )

    @property
    def asked(self) -> list[str]:
        """The packages that apt-get was called to install, without its options."""
        lines = (self.folder / "apt.log").read_text().splitlines()
        return [
            re.sub(r"\^(-o\^[^^]+|-[^^]+)", "", one).replace("^", " ")
            for one in lines
            if one.startswith("install")
        ]

    def run(self, *command: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.folder / "project",
            env={"PATH": str(self.folder / "bin"), "HOME": str(self.folder), **env},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def preflight(self, purpose: str = "test", **env: str) -> subprocess.CompletedProcess[str]:
        return self.run(".ci/preflight", purpose, **env)

    def lacks(self, purpose: str = "test", **env: str) -> str:
        """The message when something is missing; nothing is set up by then."""
        ended = self.preflight(purpose, **env)
        assert ended.returncode == 1, ended.stdout + ended.stderr
        assert not (self.folder / "project" / ".venv").exists()
        return ended.stderr


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_nothing_is_printed_or_installed_where_everything_is_there(machine: Machine) -> None:
    machine.user(0)
    machine.apt()
    ended = machine.preflight()
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    assert not (machine.folder / "apt.log").exists()


def test_everything_that_is_missing_is_listed_at_once_with_what_to_do(machine: Machine) -> None:
    machine.without("python3", "node", "chromium")
    said = machine.lacks()
    assert said.startswith("This machine lacks what `make test` needs:\n")
    assert "- Python 3.11 or newer: there is no python3 (PYTHON=… names another)\n" in said
    assert "- Node.js 20 or newer with npm: there is no node (https://nodejs.org/en/download, or " in said
    assert "- Chromium (CHROMIUM=… names one that is elsewhere)\n" in said
    assert said.endswith(
        "as root: apt-get install --no-install-recommends chromium-headless-shell fonts-dejavu-core\n"
    )


def test_the_demo_needs_neither_node_nor_chromium_nor_a_database(machine: Machine) -> None:
    machine.without("node", "npm", "chromium", "postgres", "nats-server", "redis-cli")
    assert machine.preflight("demo").returncode == 0
    machine.without("python3")
    assert "`make demo` needs:\n- Python 3.11 or newer" in machine.lacks("demo")


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("[ $1 = -e ] && exit 1; echo v18.20.8", "node is v18.20.8 ("),
        # A program whose libraries are missing, or one for another processor.
        ("echo node: libatomic.so.1: no such file >&2; exit 127", "node does not run: node: libatomic.so.1"),
        ("exit 126", "node does not run ("),
    ],
)
def test_a_node_that_is_too_old_or_does_not_run_is_named(machine: Machine, script: str, said: str) -> None:
    machine.program("node", script)
    for purpose in ("check", "test"):
        assert said in machine.lacks(purpose)


def test_node_without_npm_is_named(machine: Machine) -> None:
    machine.without("npm")
    assert re.search(r"- Node.js 20 or newer with npm: \S+/node has no npm \(", machine.lacks())


def test_a_python_that_is_too_old_is_named_and_another_can_be_chosen(machine: Machine) -> None:
    machine.program("python3", "[ $1 = -c ] && exit 1; echo Python 3.9.2")
    said = machine.lacks("demo")
    assert "- Python 3.11 or newer: " in said and "/python3 is Python 3.9.2 (" in said
    assert said.count("- ") == 1, "modules are not reported as missing where they cannot be checked"
    assert machine.preflight("demo", PYTHON=sys.executable).returncode == 0
    assert machine.run("make", "preflight-demo", f"PYTHON={sys.executable}").returncode == 0


def test_a_python_without_venv_is_named_before_an_incomplete_environment_is_made(machine: Machine) -> None:
    machine.program("python3", f'case "$2" in *ensurepip*) exit 1 ;; esac; exec {sys.executable} "$@"')
    said = machine.lacks("demo")
    assert "- Python's venv and ensurepip: " in said
    assert "apt-get install --no-install-recommends python3-venv\n" in said


@pytest.mark.parametrize(
    "script", ["exit 127", f'[ "$2" = "import pip" ] && exit 1; exec {sys.executable} "$@"']
)
def test_an_incomplete_environment_is_named(machine: Machine, script: str) -> None:
    left = machine.folder / "project" / ".venv" / "bin"
    left.mkdir(parents=True)
    (left / "python").write_text(f"#!/bin/sh\n{script}\n")
    (left / "python").chmod(0o755)
    ended = machine.preflight("demo")
    assert ended.returncode == 1
    assert "- an environment in .venv that works: " in ended.stderr and "`make clean`" in ended.stderr


def test_a_chromium_that_only_prints_where_to_get_it_does_not_count(machine: Machine) -> None:
    # Ubuntu has such a program.
    machine.program("chromium", "echo requires the chromium snap >&2; exit 1")
    assert "/chromium does not run (CHROMIUM=… names another)" in machine.lacks()
    machine.program("own", "echo Chromium 140")
    own = str(machine.folder / "bin" / "own")
    assert machine.preflight(CHROMIUM=own).returncode == 0
    found = machine.run(".ci/preflight", "find", "chromium", CHROMIUM=own)
    assert found.stdout == f"{own}\n"
    asked = machine.run(".ci/preflight", "find", "chromium")
    assert asked.returncode == 1 and asked.stdout == "" and "apt-get install" in asked.stderr


def test_the_headless_browser_is_used_where_it_exists_and_the_full_one_for_the_long_tests(
    machine: Machine,
) -> None:
    machine.program("chromium-headless-shell", "echo 1.2.3")
    for asked, path in (("chromium", "chromium-headless-shell"), ("whole-chromium", "chromium")):
        assert machine.run(".ci/preflight", "find", asked).stdout == f"{machine.folder}/bin/{path}\n"
    machine.without("chromium")
    assert machine.preflight().returncode == 0
    assert " chromium " in machine.lacks("slow").splitlines()[-1]


def test_root_installs_the_headless_browser_and_uses_the_full_one_where_that_fails(
    machine: Machine,
) -> None:
    machine.user(0)
    machine.program("apt-cache", 'echo "  Candidate: 156.0"')
    machine.apt("exit 100", "cat chromium >chromium-headless-shell; chmod +x chromium-headless-shell")
    assert machine.preflight().returncode == 0
    assert machine.asked == ["install chromium-headless-shell fonts-dejavu-core"]
    assert machine.preflight("demo").returncode == 0
    assert machine.preflight(CHROMIUM=str(machine.folder / "bin" / "chromium")).returncode == 0
    assert len(machine.asked) == 1
    assert machine.preflight().returncode == 0
    assert machine.preflight().returncode == 0
    assert len(machine.asked) == 2


def test_root_installs_what_is_missing_and_updates_a_stale_index(machine: Machine) -> None:
    machine.user(0)
    machine.without("chromium")
    machine.program("whole", f'exec {sys.executable} "$@"')
    machine.program("python3", 'case "$2" in *ensurepip*) exit 1 ;; esac; exec whole "$@"')
    machine.apt("echo 404 Not Found; exit 100", "cat whole >python3; cat node >chromium; chmod +x chromium")
    ended = machine.preflight()
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == "Installing chromium-headless-shell fonts-dejavu-core python3-venv …\n"
    assert machine.asked == ["install chromium-headless-shell fonts-dejavu-core python3-venv"] * 2
    log = (machine.folder / "apt.log").read_text().splitlines()
    assert [line.partition("^")[0] for line in log] == ["update", "install", "update", "install"]


def test_an_install_that_fails_shows_what_apt_said_and_what_is_still_missing(machine: Machine) -> None:
    machine.user(0)
    machine.without("chromium")
    machine.apt(*["echo E: Unable to locate package chromium; exit 100"] * 3)
    said = machine.lacks()
    assert "E: Unable to locate package chromium" in said and "Attempt 3 of 3 failed." in said
    assert "- Chromium (" in said
    assert len(machine.asked) == 3


def test_root_installs_nothing_where_it_would_not_be_enough(machine: Machine) -> None:
    machine.user(0)
    machine.apt("true")
    machine.node("v18.20.8")
    machine.without("chromium")
    said = machine.lacks()
    assert "v18.20.8" in said and "- Chromium" not in said
    assert said.endswith(
        "The rest is installed once that is here: chromium-headless-shell fonts-dejavu-core\n"
    )
    assert not (machine.folder / "apt.log").exists()


def test_the_benchmarks_run_without_optional_programs(machine: Machine) -> None:
    machine.user(0)
    machine.apt(*["exit 100"] * 3)
    assert machine.preflight("bench").returncode == 0
    assert machine.asked[0] == "install libnginx-mod-nchan nginx-light"


def test_containers_need_compose_and_an_engine_that_answers(machine: Machine) -> None:
    said = machine.lacks("up")
    assert "- Docker's compose: `docker compose version` fails (COMPOSE=… names another)\n" in said
    machine.program("docker", '[ "$1" = compose ]')
    said = machine.lacks("up")
    assert "compose" not in said and "- a container engine that is running: `docker info` fails\n" in said
    machine.program("docker", "[ $1 = info ]")
    machine.program("docker-compose", "[ $1 = version ]")
    assert machine.run("make", "preflight-up").returncode == 2
    assert machine.run("make", "preflight-up", "COMPOSE=docker-compose").returncode == 0


def test_an_unknown_purpose_is_an_error_that_lists_the_known_ones(machine: Machine) -> None:
    ended = machine.preflight("nothing")
    assert ended.returncode == 2 and "make test-slow" in ended.stderr


@pytest.mark.parametrize(
    "target", ["demo", "check", "test", "test-slow", "bench", "openapi", "format", "lock", "audit", "up"]
)
def test_every_target_that_sets_something_up_runs_the_preflight_first(machine: Machine, target: str) -> None:
    for folder in (
        ".requirements",
        "upstreams/bff-service",
        "web/client",
        "tests/wire/oidc",
        "tests/publishers/node",
        "tests/wire/strapi",
        "tests/wire/nextjs",
        "tests/web/bundlers",
        "tests/api/openapi",
    ):
        (machine.folder / "project" / folder).mkdir(parents=True)
    for name in (
        "pyproject.toml",
        "upstreams/bff-service/pyproject.toml",
        "web/client/package-lock.json",
        "tests/wire/oidc/package-lock.json",
        "tests/publishers/node/package-lock.json",
        "tests/wire/strapi/package-lock.json",
        "tests/wire/nextjs/package-lock.json",
        "tests/web/bundlers/package-lock.json",
        "tests/api/openapi/package-lock.json",
    ):
        (machine.folder / "project" / name).touch()
    for name in ("demo", "dev", "audit"):
        (machine.folder / "project" / ".requirements" / f"{name}.txt").touch()
    planned = machine.run("make", "-n", "-j8", target)
    assert planned.returncode == 0, planned.stderr
    assert re.match(r'PYTHON="python3" COMPOSE="docker compose" \.ci/preflight \w+\n', planned.stdout), (
        planned.stdout
    )


def test_the_required_node_version_runs_every_package_of_the_tests() -> None:
    """An `engines` that requires more than the preflight checks for would fail midway."""
    text = (ROOT / ".ci" / "preflight").read_text(encoding="utf-8")
    (least,) = set(re.findall(r"process\.versions\.node\) < (\d+)", text))
    assert f"Node.js {least} or newer" in text
    for folder in ("web/client", "tests/wire/oidc", "tests/publishers/node"):
        assert json.loads((ROOT / folder / "package.json").read_text())["engines"]["node"] == f">={least}"
        locked = json.loads((ROOT / folder / "package-lock.json").read_text())["packages"]
        for name, one in locked.items():
            assert "resolved" not in one, f"{folder}: {name} names the registry that it came from"
            asked = one.get("engines", {}).get("node", "")
            # The lowest of the alternatives, for example of `^20.9.0 || >=22`.
            versions = re.findall(r"(?:>=|\^|~)\s*(\d+(?:\.\d+)*)", asked)
            numbers = [tuple(map(int, version.split("."))) for version in versions]
            assert not numbers or min(numbers) <= (int(least), 0, 0), f"{folder}: {name} asks for {asked}"


SHELL = sorted(
    path for path in (ROOT / ".ci").iterdir() if path.is_file() and path.read_bytes().startswith(b"#!/bin/")
)
OTHERS = ("Makefile", "Dockerfile", "docker-compose.yml", "tests/shop/compose_walk.py")


@pytest.mark.parametrize("path", [*SHELL, *(ROOT / name for name in OTHERS)], ids=lambda path: path.name)
def test_no_script_looks_for_several_programs_with_one_command(path: Path) -> None:
    """In bash `command -v a b` succeeds when either exists; dash looks for the first one only."""
    assert re.findall(r"command -v +[^\s|&;)>#]+ +[\w.\"$-].*", path.read_text("utf-8")) == []


@pytest.mark.parametrize("path", SHELL, ids=lambda path: path.name)
def test_every_script_can_be_started_and_read(path: Path) -> None:
    assert os.access(path, os.X_OK)
    shell = path.read_text("utf-8").partition("\n")[0].removeprefix("#!")
    subprocess.run([shell, "-n", path], check=True, timeout=30)
