"""Every attribute that is not our own is one of the pinned semantic conventions."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path

from opentelemetry.semconv.schemas import Schemas

import bff.edge.observe
from bff.edge.observe.spans import SCOPE

SOURCES = [
    Path(bff.edge.observe.__path__[0]) / f"{name}.py" for name in ("spans", "request_traces", "live_spans")
]
PACKAGES = ("opentelemetry.semconv.attributes", "opentelemetry.semconv._incubating.attributes")
NAME = re.compile(
    r'"((?:http|url|server|client|network|messaging|cloudevents|error|exception|enduser)(?:\.[a-z_]+)+)"'
)


def constants(package: str) -> Iterator[str]:
    for folder in importlib.import_module(package).__path__:
        for path in Path(folder).glob("*_attributes.py"):
            module = importlib.import_module(f"{package}.{path.stem}")
            yield from (value for value in vars(module).values() if isinstance(value, str))


def test_every_name_is_of_the_conventions_of_this_version() -> None:
    assert SCOPE.schema_url in {one.value for one in Schemas}
    known = {name for package in PACKAGES for name in constants(package)}
    used = {name for path in SOURCES for name in NAME.findall(path.read_text())}
    assert used and used - known == set()
