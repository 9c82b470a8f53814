"""`python -m bff.cli.dev.sign_in`: serve the development sign-in on 127.0.0.1 until SIGTERM.

Guarantees that it listens on loopback only. SIGN_IN_CLIENT_SECRET has the secret of the gateway's client; mistakes are
printed to standard error, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import logging
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import uvicorn

from ....calls import DeclarationError
from .app import build
from .settings import AUDIENCE, HOST, SECRET, SignInSettings

# Seconds that open requests get when it ends.
GRACE = 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bff.cli.dev.sign_in",
        description="An OpenID provider for development: people are picked from a list. It listens on loopback only.",
    )
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--port", type=int, help="port to listen on, on 127.0.0.1")
    where.add_argument("--fd", type=int, help="file descriptor of a listening socket on 127.0.0.1")
    parser.add_argument("--issuer", help="its own address for browsers and services (http://localhost:PORT)")
    parser.add_argument("--public-url", required=True, help="the gateway's public URL; it must be loopback")
    parser.add_argument(
        "--logout-url", help="where the gateway takes back-channel logouts, if not below its public URL"
    )
    parser.add_argument("--audience", default=AUDIENCE, help=f"the `aud` of access tokens ({AUDIENCE})")
    parser.add_argument("--people", type=Path, help="TOML file with people and clients (people.toml)")
    parser.add_argument(
        "--state", type=Path, help="file for what is to survive a restart; without it: memory"
    )
    for name, seconds, what in (
        ("access", 300, "lifetime of access tokens"),
        ("refresh", 8 * 3600, "lifetime of a sign-in since its last refresh"),
        ("code", 60, "lifetime of an authorization code"),
    ):
        parser.add_argument(f"--{name}-seconds", type=int, default=seconds, help=f"{what} ({seconds})")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve; returns the exit code."""
    given = _parser().parse_args(arguments)
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    try:
        listener = _listener(given.port, given.fd)
        port = listener.getsockname()[1]
        settings = SignInSettings(
            issuer=given.issuer or f"http://localhost:{port}",
            public_url=given.public_url,
            client_secret=_secret(),
            audience=given.audience,
            people=given.people,
            state=given.state,
            logout_url=given.logout_url,
            access_seconds=given.access_seconds,
            refresh_seconds=given.refresh_seconds,
            code_seconds=given.code_seconds,
        )
        app = build(settings)
    except DeclarationError as error:
        print(error, file=sys.stderr)
        return 1
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=500,
        timeout_graceful_shutdown=GRACE,
    )
    uvicorn.Server(config).run(sockets=[listener])
    return 0


def _listener(port: int | None, fd: int | None) -> socket.socket:
    """A socket on loopback. Raises DeclarationError for a port in use, and for a given socket on any other address."""
    if fd is not None:
        given = socket.socket(fileno=fd)
        if given.getsockname()[0] != HOST:
            raise DeclarationError(
                f"the development sign-in listens on {HOST} only, not on {given.getsockname()[0]}"
            )
        return given
    opened = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        opened.bind((HOST, port or 0))
    except (OSError, OverflowError) as error:
        opened.close()
        raise DeclarationError(
            f"port {port} on {HOST} cannot be used ({error}); choose another with --port"
        ) from None
    return opened


def _secret() -> str:
    secret = os.environ.get(SECRET, "")
    if len(secret) < 8:
        raise DeclarationError(
            f"{SECRET} must have the secret of the gateway's client, at least 8 characters"
        )
    return secret


if __name__ == "__main__":
    sys.exit(main())
