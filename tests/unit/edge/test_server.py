"""The limit of open files, and how long the server serves on after it is told to stop."""

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
    """The connections that are accepted and the limit of open files, where the system allows `files`; and the log."""
    command = [sys.executable, "-c", _ASK, json.dumps([files, http])]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    return [int(one) for one in ended.stdout.split()], ended.stderr


def test_the_limit_of_open_files_is_raised_for_the_connections() -> None:
    assert asked(4000, connections=500) == ([500, 1500], "")


def test_a_low_limit_of_open_files_lowers_the_default_connections_without_a_warning() -> None:
    assert asked(4000) == ([3000, 4000], "")


def test_a_configured_number_of_connections_above_the_limit_is_warned_about_with_the_remedy() -> None:
    numbers, said = asked(4000, connections=10_000)
    assert numbers == [3000, 4000]
    assert "at most 3000 connections are taken at once, not 10000: this process may open 4000 files" in said
    assert "ulimit -n" in said and "BFF_HTTP__CONNECTIONS" in said


def test_very_few_possible_connections_are_warned_about_even_for_the_default() -> None:
    numbers, said = asked(300)
    assert numbers == [150, 300]
    assert "at most 150 connections are taken at once" in said


@pytest.mark.parametrize(
    ("http", "terminal", "seconds"),
    [({}, True, 0.0), ({}, False, LINGER), ({"linger": 2}, True, 2.0), ({"linger": 0}, False, 0.0)],
)
def test_the_linger_is_zero_at_a_terminal_unless_it_is_set(
    http: dict[str, float], terminal: bool, seconds: float
) -> None:
    assert linger_of(Settings.model_validate({"http": http}), terminal) == seconds
