"""A real Keycloak: installed on demand from Maven Central into `.bff/keycloak`, and started with a realm of a test."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx

from .conftest import ROOT, Program, free_port, start_program
from .programs import program

VERSION = "26.7.3"
SHA256 = "27a6535553c3cdcd083872ba40629efafb3475e3b758e0c6f691395561dd0f1f"
CACHE = ROOT / ".bff" / "keycloak"
ADMIN = "admin"
PASSWORD = "only-for-this-test"
STARTS_WITHIN = 600.0


def installed() -> Path:
    """The folder of an installed Keycloak, which is configured for a database in memory.

    The first call downloads 180 MB and takes some minutes. Raises RuntimeError for a file with another content.
    """
    folder = CACHE / f"keycloak-{VERSION}"
    if (CACHE / f"{VERSION}.ready").exists():
        return folder
    CACHE.mkdir(parents=True, exist_ok=True)
    file = CACHE / f"keycloak-quarkus-dist-{VERSION}.zip"
    if not file.exists():
        artifact = f"-Dartifact=org.keycloak:keycloak-quarkus-dist:{VERSION}:zip"
        plugin = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
        subprocess.run(
            [program("mvn"), "-q", "-B", plugin, artifact, f"-DoutputDirectory={CACHE}"]
            + [f"-Dmaven.repo.local={CACHE / 'repository'}"],
            cwd=CACHE,
            check=True,
            timeout=1800,
        )
    if hashlib.sha256(file.read_bytes()).hexdigest() != SHA256:
        raise RuntimeError(f"{file} is not the Keycloak that is expected; delete it")
    shutil.rmtree(folder, ignore_errors=True)
    # The program of Python's own `zipfile` forgets which files can be executed.
    shutil.unpack_archive(file, CACHE)
    (folder / "bin" / "kc.sh").chmod(0o755)
    subprocess.run(
        [folder / "bin" / "kc.sh", "build", "--db", "dev-mem"],
        env={**os.environ, "JAVA": program("java")},
        check=True,
        timeout=900,
        stdout=subprocess.DEVNULL,
    )
    (CACHE / f"{VERSION}.ready").touch()
    shutil.rmtree(CACHE / "repository", ignore_errors=True)
    return folder


class Keycloak:
    """A running server. url: its address; issuer(realm): the `iss` of that realm's tokens."""

    def __init__(self, port: int, process: Program) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.program = process

    def issuer(self, realm: str) -> str:
        return f"{self.url}/realms/{realm}"

    def admin(self) -> httpx.Client:
        """A client of the admin API, with a new token."""
        form = {"grant_type": "password", "client_id": "admin-cli", "username": ADMIN, "password": PASSWORD}
        url = f"{self.issuer('master')}/protocol/openid-connect/token"
        token = (
            httpx.post(url, data=form, trust_env=False, timeout=120).raise_for_status().json()["access_token"]
        )
        headers = {"authorization": f"Bearer {token}"}
        return httpx.Client(base_url=self.url, headers=headers, trust_env=False, timeout=120)

    def make_scopes(self, realm: str, file: Path) -> None:
        """Make the client scopes of this file, and add them to the clients that it lists. They are not in the file of
        the realm, because Keycloak then leaves out its own scopes."""
        with self.admin() as admin:
            path = f"/admin/realms/{realm}"
            clients = {
                one["clientId"]: one["id"] for one in admin.get(f"{path}/clients").raise_for_status().json()
            }
            for entry in json.loads(file.read_text()):
                made = admin.post(f"{path}/client-scopes", json=entry["scope"]).raise_for_status()
                id = made.headers["location"].rpartition("/")[2]
                for kind in ("default", "optional"):
                    for client in entry.get(kind, ()):
                        where = f"{path}/clients/{clients[client]}/{kind}-client-scopes/{id}"
                        admin.put(where).raise_for_status()


@contextlib.contextmanager
def running(realm: Path, log: Path, env: Mapping[str, str]) -> Iterator[Keycloak]:
    """A server with the realm of this file, in which `${NAME}` stands for a variable of `env`. Its data is lost at the
    end."""
    folder = installed()
    imports = folder / "data" / "import"
    imports.mkdir(parents=True, exist_ok=True)
    shutil.copy(realm, imports / "realm.json")
    port = free_port()
    started = start_program(
        [
            str(folder / "bin" / "kc.sh"),
            "start",
            "--optimized",
            "--cache=local",
            "--import-realm",
            "--http-enabled=true",
        ]
        + ["--hostname-strict=false", "--http-host=127.0.0.1", f"--http-port={port}"],
        log=log,
        env={
            "KC_BOOTSTRAP_ADMIN_USERNAME": ADMIN,
            "KC_BOOTSTRAP_ADMIN_PASSWORD": PASSWORD,
            "JAVA": program("java"),
            # A test is too short for the second compiler to pay.
            "JAVA_OPTS_APPEND": "-XX:TieredStopAtLevel=1",
            **env,
        },
    )
    try:
        keycloak = Keycloak(port, started)
        end = time.monotonic() + STARTS_WITHIN
        while not _serves(keycloak.issuer(realm_name(realm))):
            if started.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"Keycloak did not start:\n{log.read_text()[-4000:]}")
            time.sleep(0.25)
        yield keycloak
    finally:
        started.stop()


def realm_name(realm: Path) -> str:
    """The name of the realm in this file."""
    name: str = json.loads(realm.read_text())["realm"]
    return name


def _serves(issuer: str) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        answer = httpx.get(f"{issuer}/.well-known/openid-configuration", trust_env=False, timeout=5)
        return answer.status_code == 200
    return False
