"""What the server asks of its machine, and how long it serves on when it is told to stop."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from bff.edge.server import LINGER, linger_of
from bff.edge.settings import Settings

_ASK = """
import json, logging, resource, sys
from bff.edge import server
from bff.edge.settings import Settings
files, given = json.loads(sys.argv[1])
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (256, min(hard, files) if hard > 0 else files))
made = server.with_file_limit(Settings.model_validate({"http": given}))
print(made.http.connections, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


def asked(files: int, **http: int) -> tuple[list[int], str]:
    """Connections that are taken and files that may be open, where the system allows so many; and what was said."""
    command = [sys.executable, "-c", _ASK, json.dumps([files, http])]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    return [int(one) for one in ended.stdout.split()], ended.stderr


def test_as_many_files_may_be_open_as_connections_need() -> None:
    assert asked(4000, connections=500) == ([500, 1500], "")


def test_fewer_connections_are_taken_where_fewer_files_may_be_open_and_nothing_is_said_of_the_default() -> (
    None
):
    assert asked(4000) == ([3000, 4000], "")


def test_a_number_that_was_set_and_cannot_be_had_is_told_with_the_cure() -> None:
    numbers, said = asked(4000, connections=10_000)
    assert numbers == [3000, 4000]
    assert "at most 3000 connections are taken at once, not 10000: this process may open 4000 files" in said
    assert "ulimit -n" in said and "BFF_HTTP__CONNECTIONS" in said


def test_room_for_hardly_any_connection_is_told_also_of_the_default() -> None:
    numbers, said = asked(300)
    assert numbers == [150, 300]
    assert "at most 150 connections are taken at once" in said


@pytest.mark.parametrize(
    ("http", "terminal", "seconds"),
    [({}, True, 0.0), ({}, False, LINGER), ({"linger": 2}, True, 2.0), ({"linger": 0}, False, 0.0)],
)
def test_it_serves_on_for_a_while_unless_somebody_waits_at_a_terminal(
    http: dict[str, float], terminal: bool, seconds: float
) -> None:
    assert linger_of(Settings.model_validate({"http": http}), terminal) == seconds
