"""The trial of modules of bff/edge/access/: who somebody is, and what they may do. `python -m tests.mutants.access
[module …]` runs it by hand and prints each new survivor as an entry for access_survivors.toml, without its reason."""

from __future__ import annotations

import sys
from pathlib import Path

from .target import Target, main

_UNIT = "tests/unit/edge/access"
ACCESS = Target(
    "bff/edge/access",
    {
        "authorization": [f"{_UNIT}/test_authorization.py", f"{_UNIT}/test_authorization_refusals.py"],
        "csrf": [f"{_UNIT}/test_csrf.py", f"{_UNIT}/test_csrf_refusals.py"],
        "jwks": [f"{_UNIT}/test_jwks.py", f"{_UNIT}/test_jwt.py"],
        "jwt": [f"{_UNIT}/test_jwt.py"],
        "login_state": [f"{_UNIT}/test_login_state.py"],
        "session_record": [f"{_UNIT}/test_login_state.py"],
    },
    Path(__file__).with_name("access_survivors.toml"),
    [f"{_UNIT}/*.py", "tests/*.py"],
)

if __name__ == "__main__":
    main(ACCESS, sys.argv[1:])
