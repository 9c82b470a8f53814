"""The command `bff`. Mistakes are printed to standard error, each with the name of what to correct. Exit codes: 0
success, 1 mistakes found, 2 wrong arguments."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from .._version import __version__
from ..calls import DeclarationError
from ..calls.errors import collecting
from ..edge import settings as settings_file
from ..edge.gateway import Gateway
from ..edge.settings import Settings, SettingsError
from ..edge.settings.upstream import UpstreamSettings
from . import (
    check,
    connect,
    connection_report,
    events,
    forget,
    from_openapi,
    keys,
    new,
    redis,
    revoke,
    routes,
    settings_reference,
)
from .target import load


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bff", description="A backend-for-frontend gateway with live updates."
    )
    parser.add_argument("--version", action="version", version=f"bff {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    created = commands.add_parser(
        "new",
        help="write a small gateway that runs, with its tests and two services; or one upstream's class",
        epilog="bff new upstream FILE: write an Upstream class from an OpenAPI description; "
        "see bff new upstream --help",
    )
    created.add_argument("name", help="lower-case letters, digits and dashes; also the name of the folder")
    developed = commands.add_parser(
        "dev", help="serve a gateway on this machine with an embedded Valkey, and reload it on save"
    )
    developed.add_argument(
        "target", nargs="?", metavar="module:gateway", help="default: gateway in [tool.bff] of pyproject.toml"
    )
    developed.add_argument(
        "--port", type=int, help="port to listen on (BFF_PORT); the admin port is the next one"
    )
    developed.add_argument(
        "--sign-in",
        action=argparse.BooleanOptionalAction,
        help="start the development sign-in, where people are picked from a list (default: unless BFF_OIDC is set)",
    )
    serve = commands.add_parser("serve", help="serve a gateway")
    serve.add_argument("--host", help="address to listen on (BFF_HOST)")
    serve.add_argument("--port", help="port to listen on (BFF_PORT)")
    checked = commands.add_parser("check", help="load a gateway and its settings, and report every mistake")
    checked.add_argument(
        "--connect",
        action="store_true",
        help="also try every address from here, with its certificate, and check that Redis does what the gateway needs",
    )
    checked.add_argument("--json", action="store_true", help="write the result as JSON")
    checked.add_argument(
        "--timeout", type=float, default=connect.SECONDS, help="seconds for one address (%(default)g)"
    )
    listed = commands.add_parser("routes", help="list the routes with their calls, budgets and policies")
    for command in (serve, checked, listed):
        command.add_argument(
            "target", metavar="module:gateway", help="the Gateway, for example web.shop.gateway:shop"
        )
    commands.add_parser("settings", help="print every setting with its default, range and meaning (Markdown)")
    events_parser = commands.add_parser("events", help="dead letters: events that could not be used")
    event_commands = events_parser.add_subparsers(dest="events", required=True)
    dead = event_commands.add_parser("dead", help="list them, oldest first, as JSON lines")
    dead.add_argument("--count", type=int, default=100, help="list at most this many (100)")
    replay = event_commands.add_parser("replay", help="put them back into their streams")
    replay.add_argument("id", nargs="+", help="ids from `bff events dead`, or all")
    keys_parser = commands.add_parser("keys", help="the keys that sign internal tokens (BFF_INTERNAL__KEYS)")
    rotate = keys_parser.add_subparsers(dest="keys", required=True).add_parser(
        "rotate", help="sign with the next key, keep the last one published, and publish a new next key"
    )
    rotate.add_argument("file", type=Path, help="the file with the keys; created if there is none")
    revoked = commands.add_parser(
        "revoke", help="revoke a token, or all tokens and sessions of a person, before they expire"
    )
    revoked.add_argument("--issuer", required=True, help="the issuer (`iss`) of the token or person")
    which = revoked.add_mutually_exclusive_group(required=True)
    which.add_argument("--subject", help="the person's `sub`")
    which.add_argument("--token", metavar="ID", help="the token's `jti`")
    revoked.add_argument(
        "--keep",
        type=float,
        default=86_400.0,
        help="longest time in seconds until the revoked tokens expire (86400)",
    )
    forgotten = commands.add_parser(
        "forget", help="erase a person: sessions, stored answers, journal, and private cached answers"
    )
    forgotten.add_argument("--issuer", required=True, help="the issuer (`iss`) of the person")
    forgotten.add_argument("--subject", required=True, help="the person's `sub`")
    forgotten.add_argument(
        "--keep",
        type=float,
        default=86_400.0,
        help="longest time in seconds until the person's tokens expire (86400)",
    )
    for command in (dead, replay, revoked, forgotten):
        command.add_argument(
            "--gateway",
            metavar="module:gateway",
            help="the Gateway whose redis_credentials fetch the login; default: the login of the settings",
        )
    return parser


def _upstream_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bff new upstream",
        description="Write an Upstream class and its models from a service's OpenAPI description (3.0 or 3.1).",
    )
    parser.add_argument("file", type=Path, help="the description, JSON or YAML")
    parser.add_argument(
        "--name", default="", help="the class, such as Catalog; default: the title of the description"
    )
    parser.add_argument("--team", default="", help="who owns the service; default: info.contact.name")
    parser.add_argument(
        "--contact", default="", help="how to reach them; default: info.contact's email or url"
    )
    parser.add_argument(
        "--tag", action="append", default=[], help="only operations with this tag; may be repeated"
    )
    parser.add_argument(
        "--output", type=Path, help="the file; default: the name in lower case, in this folder"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:2] == ["new", "upstream"]:
        # No gateway can have this name, so that the word is free for it.
        return _new_upstream(_upstream_parser().parse_args(words[2:]))
    given = _parser().parse_args(words)
    try:
        if given.command == "new":
            folder = new.create(given.name, Path.cwd())
            print(f"{folder.name} is written. Start it with:\n\n    cd {folder.name} && bff dev\n")
            return 0
        if given.command == "dev":
            from . import dev

            return dev.run(given.target, given.port, sign_in=given.sign_in)
        if given.command == "settings":
            print(settings_reference.page(), end="")
            return 0
        if given.command == "keys":
            return keys.rotate_keys(given.file)
        if given.command in ("events", "revoke", "forget"):
            return _with_redis(given)
        if given.command == "check":
            return _check(given.target, given.timeout if given.connect else None, as_json=given.json)
        gateway = load(given.target)
        if given.command == "routes":
            print(routes.table(gateway, _upstreams()))
            return 0
        return _serve(gateway, given.host, given.port)
    except DeclarationError as error:
        print(error, file=sys.stderr)
        return 1


def _with_redis(given: argparse.Namespace) -> int:
    """A command that works on what is in Redis."""
    settings, credentials = settings_file.load(), redis.credentials_of(given.gateway)
    if given.command == "revoke":
        return revoke.revoke(
            settings,
            given.issuer,
            subject=given.subject,
            token=given.token,
            keep=given.keep,
            credentials=credentials,
        )
    if given.command == "forget":
        return forget.forget(settings, given.issuer, given.subject, keep=given.keep, credentials=credentials)
    if given.events == "dead":
        return events.dead(settings, given.count, credentials)
    return events.replay(settings, given.id, credentials)


def _new_upstream(given: argparse.Namespace) -> int:
    choices = from_openapi.Choices(given.name, given.team, given.contact, frozenset(given.tag), given.output)
    try:
        written = from_openapi.write(given.file, choices)
    except DeclarationError as error:
        print(error, file=sys.stderr)
        return 1
    for each in written.left_out:
        print(f"no method for {each}", file=sys.stderr)
    print(f"{written.file} is written, with {written.methods} calls. Its address is a setting:\n")
    print(f"    {written.setting}\n")
    return 0


def _upstreams() -> dict[str, UpstreamSettings]:
    """The settings of each upstream; none when the settings cannot be read. The routes are then listed with the
    defaults, and `bff check` reports the mistakes."""
    try:
        return settings_file.load().upstreams
    except DeclarationError as error:
        print(f"{error}\nThe defaults are shown.", file=sys.stderr)
        return {}


def _check(target: str, seconds: float | None = None, *, as_json: bool = False) -> int:
    """seconds: for each address that is tried; None: none is."""
    tried: list[connect.Connection] = []
    warnings: list[str] = []
    gateway: Gateway | None = None
    settings: Settings | None = None
    with collecting() as mistakes:
        try:
            gateway = load(target)
        except DeclarationError as error:
            mistakes.append(str(error))
    try:
        settings = settings_file.load()
    except SettingsError as error:
        mistakes += error.mistakes
    if gateway is not None and settings is not None:
        mistakes += check.mistakes(gateway, settings)
        warnings += check.warnings(settings, os.environ)
        if seconds is not None:
            try:
                tried = connect.connections_of(gateway, settings, seconds)
            except (DeclarationError, ValueError) as error:
                mistakes.append(str(error))
            warnings += [f"{one.what} at {one.address}: {note}" for one in tried for note in one.notes]
    mistakes = list(dict.fromkeys(mistakes))
    if as_json:
        print(connection_report.document(mistakes, tried, warnings))
        return 1 if gateway is None or mistakes or not all(one.ok for one in tried) else 0
    if tried:
        print(connection_report.table(tried), end="\n\n")
    mistakes += [one.mistake for one in tried if not one.ok]
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    for mistake in mistakes:
        print(mistake, file=sys.stderr)
    if gateway is None or settings is None or mistakes:
        print(f"\n{len(mistakes)} to correct.", file=sys.stderr)
        return 1
    for note in check.notes(gateway, settings):
        print(f"note: {note}")
    print(
        f"{gateway.name}: {len(gateway.views)} views, {len(gateway.commands)} commands, "
        f"{len(gateway.upstreams())} upstreams, nothing to correct."
    )
    return 0


def _serve(gateway: Gateway, host: str | None, port: str | None) -> int:
    from ..edge.server import serve

    if host:
        os.environ["BFF_HOST"] = host
    if port:
        os.environ["BFF_PORT"] = port
    settings = settings_file.load()
    found = list(dict.fromkeys(check.mistakes(gateway, settings)))
    if found:
        raise DeclarationError("\n".join(found))
    serve(gateway, settings)
    return 0


if __name__ == "__main__":
    sys.exit(main())
