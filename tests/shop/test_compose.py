"""The containers: every name in their files exists in the code, the steps of the image work, and the whole runs."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from starlette.routing import Route

from bff import DeclarationError
from bff.cli import check
from bff.cli.dev.sign_in.people import read_people
from bff.cli.dev.sign_in.settings import SECRET
from bff.edge import settings as gateway_settings
from bff.edge.declared import RESERVED
from bff.edge.signing_keys import rotate
from tests.conftest import ROOT
from tests.programs import program
from upstreams.kit import ShopSettings
from web.shop.gateway import shop

from . import compose

DOCUMENT = compose.loaded()
SERVICES: dict[str, dict[str, Any]] = DOCUMENT["services"]
SIGN_IN = "identity"
MODULES = {
    name: one["command"][2]
    for name, one in SERVICES.items()
    if one.get("command", [""])[0] == "python" and name != SIGN_IN
}
GATEWAYS = [name for name in SERVICES if name.startswith("gateway-")]
STORES = {"valkey": 6379, "postgres": 5432}
# Used by the program itself, not by the service's settings.
PARTS_OF_IMAGES = {
    "proxy": {"XDG_DATA_HOME", "XDG_CONFIG_HOME"},
    "postgres": {"POSTGRES_USER", "POSTGRES_PASSWORD"},
}


def settings_of(module: str) -> type[ShopSettings]:
    """The settings class that a service uses."""
    own = vars(importlib.import_module(f"{module}.settings"))
    found = [one for one in own.values() if isinstance(one, type) and issubclass(one, ShopSettings)]
    return next(one for one in found if one is not ShopSettings)


def unknown_to(module: str, names: set[str]) -> list[str]:
    """One line for each variable that the service would ignore."""
    known = {f"SHOP_{name.upper()}" for name in settings_of(module).model_fields}
    return [f"{module}: {name} is not a setting" for name in sorted(names - known)]


def sign_in_options() -> dict[str, str]:
    """The options of the sign-in's command line."""
    words = SERVICES[SIGN_IN]["command"]
    assert words[:3] == ["python", "-m", "bff.cli.dev.sign_in"]
    return dict(word.removeprefix("--").split("=", 1) for word in words[3:])


def port_of(name: str) -> int:
    if name in STORES:
        return STORES[name]
    if name == SIGN_IN:
        return int(sign_in_options()["port"])
    found = compose.environment(SERVICES[name])
    return int(found.get("SHOP_PORT") or found["BFF_PORT"])


def test_every_part_of_the_shop_has_a_container() -> None:
    there = {path.parent.name for path in (ROOT / "upstreams").glob("*/__main__.py")}
    assert set(MODULES) == there
    assert {name: f"upstreams.{name}" for name in there} == MODULES
    assert set(SERVICES) == there | set(GATEWAYS) | set(STORES) | {"proxy", SIGN_IN}
    assert len(GATEWAYS) == 2


@pytest.mark.parametrize("name", MODULES)
def test_a_service_has_a_setting_for_every_variable_it_gets(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = compose.environment(SERVICES[name])
    assert unknown_to(MODULES[name], set(given)) == []
    for variable, value in given.items():
        monkeypatch.setenv(variable, value)
    read = settings_of(MODULES[name])()
    assert read.host == "0.0.0.0" and read.port == port_of(name)
    assert read.own_database_url == f"postgresql+asyncpg://{name}:demo-only-password@postgres:5432/{name}"
    assert read.own_port == read.port, f"{name} listens on another port by default"


def test_an_unknown_variable_is_reported_by_name() -> None:
    assert unknown_to("upstreams.orders", {"SHOP_STEP_PAUSE", "SHOP_REDIS_URL"}) == [
        "upstreams.orders: SHOP_STEP_PAUSE is not a setting"
    ]
    bent = compose.environment(SERVICES["gateway-1"]) | {"BFF_REDIS__ADDRESS": "x"}
    with pytest.raises(DeclarationError, match="BFF_REDIS__ADDRESS: is not a known setting"):
        gateway_settings.load(bent)


@pytest.mark.parametrize("name", GATEWAYS)
def test_a_gateway_starts_with_its_environment(name: str, tmp_path: Path) -> None:
    given = compose.environment(SERVICES[name])
    assert f"{Path(given['BFF_INTERNAL__KEYS']).parent}" in {
        one.split(":")[1] for one in SERVICES[name]["volumes"]
    }
    rotate(tmp_path / "internal.pem")
    read = gateway_settings.load(given | {"BFF_INTERNAL__KEYS": str(tmp_path / "internal.pem")})
    assert check.mistakes(shop, read) == []
    assert {one.identity for one in read.upstreams.values()} == {"internal"}
    orders = compose.environment(SERVICES["orders"])
    assert orders["SHOP_GATEWAY_ISSUER"] == read.public_url, "services expect what the gateways sign"
    assert read.host == "0.0.0.0" and read.limits.replicas == len(GATEWAYS)
    assert read.oidc is not None and read.issuers[0].issuer == read.oidc.issuer
    assert read.public_url == f"https://localhost:{compose.demo_env()['PUBLIC_PORT']}"
    publishers = {re.match(r"events:(\w+):\{p\}$", key)[1] for key in read.live.stream_keys}  # type: ignore[index]
    assert publishers <= set(MODULES)
    options = sign_in_options()
    assert (options["issuer"], options["public-url"]) == (read.oidc.issuer, read.public_url)
    assert options["audience"] == read.issuers[0].audience
    gateway, port, path = re.fullmatch(r"http://(\w+):(\d+)(/.*)", options["logout-url"]).groups()  # type: ignore[union-attr]
    assert gateway in SERVICES[name]["networks"]["inside"]["aliases"]
    assert (int(port), path) == (read.port, "/bff/backchannel-logout")


def test_the_sign_in_starts_with_its_options_on_loopback_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options, given = sign_in_options(), compose.environment(SERVICES[SIGN_IN])
    for variable, value in given.items():
        monkeypatch.setenv(variable, value)
    people = read_people(ROOT / options["people"])
    assert {client.secret_env for client in people.clients} | {SECRET} == set(given)
    # It has the network of the proxy and no address of its own, because it listens on loopback.
    assert SERVICES[SIGN_IN]["network_mode"] == "service:proxy" and "networks" not in SERVICES[SIGN_IN]
    assert Path(options["state"]).parent == Path(SERVICES[SIGN_IN]["volumes"][0].split(":")[1])
    # Its command line, read as the program reads it.
    started = subprocess.run(
        [
            sys.executable,
            *SERVICES[SIGN_IN]["command"][1:],
            f"--state={tmp_path / 's.db'}",
            "--people=web/none",
        ],
        env={**os.environ, SECRET: ""},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (started.returncode, started.stderr.count("\n")) == (1, 1) and SECRET in started.stderr


def test_every_address_names_a_container_and_its_port() -> None:
    aliases = {
        alias: name
        for name, one in SERVICES.items()
        if isinstance(one.get("networks"), dict)
        for alias in one["networks"]["inside"]["aliases"]
    }
    inside = [int(published.rsplit(":", 1)[1]) for published in SERVICES["proxy"]["ports"]]
    admin = compose.environment(SERVICES["gateway-1"])["BFF_ADMIN_PORT"]
    for name, one in SERVICES.items():
        for variable, value in compose.environment(one).items():
            for host, port in re.findall(r"(?://|@)([\w.-]+):(\d+)", value):
                if host != "localhost":
                    target = aliases.get(host, host)
                    expected = [int(admin)] if target in GATEWAYS else inside
                    expected = expected if target in {*GATEWAYS, "proxy"} else [port_of(target)]
                    assert target in SERVICES and int(port) in expected, f"{name}: {variable}={value}"


def test_every_health_path_is_served(tmp_path: Path) -> None:
    for name, module in MODULES.items():
        _, _, _, script, port, path = SERVICES[name]["healthcheck"]["test"]
        assert (script, int(port), path) == ("/app/probe.py", port_of(name), "/readyz")
        built = importlib.import_module(f"{module}.app")
        settings = settings_of(module)(data_dir=tmp_path)
        assert path in {route.path for route in built.build(settings).routes if isinstance(route, Route)}
    for name in GATEWAYS:
        assert SERVICES[name]["healthcheck"]["test"][3:] == ["/app/probe.py", "8000", "/livez"]
    assert SERVICES[SIGN_IN]["healthcheck"]["test"][3:] == ["/app/probe.py", str(port_of(SIGN_IN)), "/readyz"]
    assert "/livez" in RESERVED and "/readyz" in RESERVED


def test_the_proxy_names_only_containers_and_ports_that_exist() -> None:
    text = (ROOT / ".docker" / "Caddyfile").read_text(encoding="utf-8")
    targets = re.findall(
        r"([a-z\d][\w.-]*):(\d+)", " ".join(re.findall(r"reverse_proxy (.*?)(?: \{)?\n", text))
    )
    assert {host for host, _ in targets} == {*GATEWAYS, "127.0.0.1"}
    assert all(int(port) == port_of(SIGN_IN if host == "127.0.0.1" else host) for host, port in targets)
    # Only loopback names reach the sign-in, which asks for no password.
    names = re.search(r"^(http://[^{]*) \{\n\treverse_proxy 127", text, re.M)
    assert names is not None
    assert names[1].split(", ") == [
        f"http://{host}:8101" for host in ("identity.localhost", "localhost", "127.0.0.1")
    ]
    inside = [published.rsplit(":", 1)[1] for published in SERVICES["proxy"]["ports"]]
    assert inside == ["8443", "8101"] and all(f":{port} {{" in text for port in inside)
    assert "health_uri /readyz" in text and "flush_interval -1" in text


def test_only_the_proxy_is_published_and_every_container_is_restricted() -> None:
    assert DOCUMENT["networks"]["inside"] == {"internal": True}
    for name, one in SERVICES.items():
        assert ("ports" in one) == (name == "proxy")
        assert all(port.startswith("127.0.0.1:") for port in one.get("ports", ()))
        if name != SIGN_IN:
            assert set(one["networks"]) == {"inside", *(["outside"] if name == "proxy" else [])}
        assert one["read_only"] and one["cap_drop"] == ["ALL"] and "privileged" not in one
        assert one["security_opt"] == ["no-new-privileges:true"]
        assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", one["user"]), f"{name} would run as root"
        assert {"mem_limit", "cpus", "pids_limit", "healthcheck", "init"} <= set(one)
        assert one["restart"] == "unless-stopped"
        assert set(one.get("depends_on", {})) <= set(SERVICES)
        for volume in one.get("volumes", ()):
            source = volume.split(":")[0]
            assert source in DOCUMENT["volumes"] or (ROOT / source).exists(), volume


def test_every_value_has_a_source_and_secrets_are_in_the_environment_file_only() -> None:
    text = compose.FILE.read_text(encoding="utf-8")
    asked, given = compose.variables(text), compose.demo_env()
    assert {name for name, has_default in asked.items() if not has_default} <= set(given)
    assert set(given) - {"COMPOSE_PROJECT_NAME"} <= set(asked)
    for name, value in given.items():
        if "SECRET" in name or "PASSWORD" in name:
            assert value.startswith("demo-only-")
    assert "demo-only" not in text + (ROOT / "Dockerfile").read_text(encoding="utf-8")

    def readers(secret: str) -> set[str]:
        return {name for name, one in SERVICES.items() if secret in set(compose.environment(one))}

    assert readers(SECRET) == readers("OPERATOR_CLIENT_SECRET") == {SIGN_IN}
    assert readers("SHOP_ORDERS_CLIENT_SECRET") | readers("ORDERS_CLIENT_SECRET") == {SIGN_IN, "orders"}
    for name, one in SERVICES.items():
        strangers = set(compose.environment(one)) - PARTS_OF_IMAGES.get(name, set())
        assert name in {*MODULES, SIGN_IN} or all(variable.startswith("BFF_") for variable in strangers)


def test_each_service_has_a_database() -> None:
    script = (ROOT / ".docker" / "postgres" / "databases.sh").read_text(encoding="utf-8")
    made = re.search(r"for service in (.*); do", script)
    assert made is not None and set(made[1].split()) == set(MODULES)


def test_the_build_context_holds_everything_that_the_image_copies() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = re.findall(r"^COPY (?!--from)(\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert set(copied) == allowed
    assert all((ROOT / source).exists() for source in copied)


def test_a_probe_fails_when_the_container_does_not_answer(unused_tcp_port: int) -> None:
    probe = [sys.executable, "-I", str(ROOT / ".docker" / "probe.py")]
    away = subprocess.run(
        [*probe, str(unused_tcp_port), "/livez"], capture_output=True, text=True, timeout=10
    )
    assert away.returncode == 1 and str(unused_tcp_port) in away.stdout


@pytest.mark.slow
def test_the_build_steps_of_the_image_make_a_working_gateway(tmp_path: Path) -> None:
    program("strip")  # The build image has it.
    script = compose.build_steps(tmp_path, compose.pip_settings())
    subprocess.run(["sh", "-c", script], check=True, timeout=300, stdout=subprocess.DEVNULL)
    python = tmp_path / "opt" / "venv" / "bin" / "python"
    gateway = {**compose.environment(SERVICES["gateway-1"]), "PATH": os.environ["PATH"]}
    gateway["BFF_INTERNAL__KEYS"] = str(tmp_path / "internal.pem")
    made_keys = [python, "-m", "bff", "keys", "rotate", gateway["BFF_INTERNAL__KEYS"]]
    subprocess.run(made_keys, cwd=tmp_path / "app", env=gateway, check=True, timeout=60)
    checked = subprocess.run(
        [python, "-m", "bff", "check", "web.shop.gateway:shop"],
        cwd=tmp_path / "app",
        env=gateway,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    services = "; ".join(f"import {module}.app" for module in [*MODULES.values(), "bff.cli.dev.sign_in"])
    subprocess.run([python, "-c", services], cwd=tmp_path / "app", check=True, timeout=60)
    assert not (tmp_path / "opt/venv/bin/pip").exists()
    made = (path for top in ("opt", "app") for path in (tmp_path / top).rglob("*"))
    size = sum(path.lstat().st_size for path in made if not path.is_dir())
    # The base image has about 125 MB.
    assert size < 120e6, f"{size / 1e6:.0f} MB"


@pytest.mark.slow
def test_an_order_in_the_containers_completes_although_a_gateway_is_killed() -> None:
    run = subprocess.run(
        [ROOT / ".ci" / "engine", sys.executable, "-m", "tests.shop.compose_walk"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert run.returncode != 75, f"there is no container engine and none can be started here: {run.stderr}"
    assert run.returncode == 0, run.stdout[-8000:] + run.stderr[-8000:]
    told = json.loads(run.stdout.splitlines()[-1])
    assert told["megabytes"] < 250
