"""What the server asks of its machine."""

from __future__ import annotations

import subprocess
import sys

_ASK = """
import resource
from bff.edge import server
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (256, min(hard, 4000) if hard > 0 else 4000))
server._make_room(500)
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
server._make_room(10_000)
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


def test_as_many_files_may_be_open_as_connections_need_and_where_they_may_not_it_is_said() -> None:
    asked = subprocess.run([sys.executable, "-c", _ASK], capture_output=True, text=True, check=True)
    assert asked.stdout.split() == ["1500", "4000"]
    assert "10000 connections may be open, but only 4000 files" in asked.stderr
