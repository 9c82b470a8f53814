"""The page about the browser client, from its type declarations; client_api.mjs beside this file does the work."""

from __future__ import annotations

import subprocess
from pathlib import Path


def page() -> str:
    """Every exported name of every entry of the package with its declaration and comments."""
    script = Path(__file__).with_name("client_api.mjs")
    ran = subprocess.run(["node", str(script)], capture_output=True, text=True, check=False)
    if ran.returncode:
        raise SystemExit(f"client_api.mjs: {ran.stderr}")
    return ran.stdout
