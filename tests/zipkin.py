"""A real Zipkin: installed on demand from Maven Central into `.bff/zipkin`, and what an OpenTelemetry collector does in
front of it: spans in Zipkin's format (version 2)."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from .conftest import ROOT, free_port, start_program
from .otlp import Seen
from .programs import program
from .upstreams.world import eventually

VERSION = "3.5.1"
SHA256 = "7ac633a6832647e71e50012a5e3e91fbc7054414955261724526030faf271d8d"
CACHE = ROOT / ".bff" / "zipkin"
_KINDS = frozenset({"SERVER", "CLIENT", "PRODUCER", "CONSUMER"})


def installed() -> Path:
    """The program. The first call downloads 131 MB. Raises RuntimeError for a file with another content."""
    file = CACHE / f"zipkin-server-{VERSION}-exec.jar"
    if not file.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            [
                program("mvn"),
                "-q",
                "-B",
                "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy",
                f"-Dartifact=io.zipkin:zipkin-server:{VERSION}:jar:exec",
                f"-DoutputDirectory={CACHE}",
                f"-Dmaven.repo.local={CACHE / 'repository'}",
            ],
            cwd=CACHE,
            check=True,
            timeout=1800,
        )
    if hashlib.sha256(file.read_bytes()).hexdigest() != SHA256:
        raise RuntimeError(f"{file} is not the Zipkin that is expected; delete it")
    return file


@contextmanager
def zipkin(folder: Path) -> Iterator[str]:
    """A running Zipkin that keeps spans in memory; yields its address."""
    port = free_port()
    command = [program("java"), "-Xmx256m", "-jar", str(installed())]
    with (folder / "zipkin.log").open("w"):
        running = start_program(command, log=folder / "zipkin.log", env={"QUERY_PORT": str(port)})
    url = f"http://127.0.0.1:{port}"
    try:
        eventually(lambda: _is_up(url))
        yield url
    finally:
        running.kill()


def _is_up(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def spans_of(seen: Iterable[Seen]) -> list[dict[str, Any]]:
    """The same spans in Zipkin's format."""
    made = []
    for span in seen:
        one: dict[str, Any] = {
            "traceId": span.trace,
            "id": span.id,
            "name": span.name,
            "timestamp": span.began // 1000,
            "duration": max(1, (span.ended - span.began) // 1000),
            "localEndpoint": {"serviceName": span.service},
            "tags": {name: str(value) for name, value in span.attributes.items()},
        }
        if span.kind in _KINDS:
            one["kind"] = span.kind
        if span.parent:
            one["parentId"] = span.parent
        made.append(one)
    return made
