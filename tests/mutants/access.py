"""The trial of modules of bff/edge/access/: who somebody is, and what they may do. `python -m tests.mutants.access
[module …]` runs it by hand and prints each new survivor as an entry for access_survivors.toml, without its reason."""

from __future__ import annotations

import sys
from pathlib import Path

from .target import Target, main

_UNIT = "tests/unit/edge/access"
_TESTS = {
    "authenticate": ("authenticate",),
    "authorization": ("authorization", "authorization_refusals", "step_up"),
    "client_authentication": ("client_authentication",),
    "csrf": ("csrf", "csrf_refusals"),
    "fetch": ("fetch",),
    "issuer": ("issuer",),
    "jwks": ("jwks", "jwks_edges"),
    "jwt": ("introspection", "jwt", "jwt_edges", "profiles"),
    "login_state": ("login_state", "login_cookie"),
    "person": ("person",),
    "provider": ("sign_in", "provider"),
    "providers": ("providers",),
    "refresh": ("refresh",),
    "revocation_list": ("revocation_list",),
    "session": ("session",),
    "session_cache": ("session_cache", "refresh"),
    "session_cookies": ("session_cookies",),
    "session_record": ("login_state", "session_record"),
    "step_up": ("step_up", "step_up_challenge"),
    "token_endpoint": ("token_endpoint",),
    "token_revocation": ("token_revocation",),
    "token_watch": ("token_watch",),
}
"""The modules whose own unit tests try all that they do."""
ACCESS = Target(
    "bff/edge/access",
    {module: [f"{_UNIT}/test_{name}.py" for name in names] for module, names in _TESTS.items()},
    Path(__file__).with_name("access_survivors.toml"),
    [
        f"{_UNIT}/*.py",
        "tests/unit/hasty.py",
        "tests/*.py",
        "tests/*.pem",
        "tests/wire/*.py",
    ],
)

if __name__ == "__main__":
    main(ACCESS, sys.argv[1:])
