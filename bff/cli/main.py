"""The command `bff`. Mistakes are printed to standard error, each with the name of what to correct. Exit codes: 0
success, 1 mistakes found, 2 wrong arguments.

Each command is imported when it is run, so that `bff --help` and `bff new` need no gateway.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from .._version import __version__
from . import collector
from .completion import SHELLS
from .connection_report import SECONDS
from .project_pages import PAGES


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
    created.add_argument(
        "--page",
        choices=PAGES,
        default="plain",
        help="the project's page: modules without a build, a Vite project, or none (%(default)s)",
    )
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
    serve.add_argument(
        "--workers",
        help="processes that share the port (BFF_WORKERS); SIGHUP restarts them one after the other",
    )
    checked = commands.add_parser("check", help="load a gateway and its settings, and report every mistake")
    checked.add_argument(
        "--connect",
        action="store_true",
        help="also try every address from here, with its certificate, and check that Redis does what the gateway needs",
    )
    checked.add_argument("--json", action="store_true", help="write the result as JSON")
    checked.add_argument(
        "--timeout", type=float, default=SECONDS, help="seconds for one address (%(default)g)"
    )
    listed = commands.add_parser("routes", help="list the routes with their calls, budgets and policies")
    described = commands.add_parser(
        "openapi", help="print the OpenAPI description, from which a frontend generates its types"
    )
    described.add_argument(
        "--check", type=Path, metavar="FILE", help="print nothing, and fail where the file has another one"
    )
    for command in (serve, checked, listed, described):
        command.add_argument(
            "target", metavar="module:gateway", help="the Gateway, for example web.shop.gateway:shop"
        )
    slo_parser = commands.add_parser("slo", help="service level objectives: rules, alerts and dashboards")
    exported = slo_parser.add_subparsers(dest="slo", required=True).add_parser(
        "export", help="write Prometheus' rules, Alertmanager's routes and Grafana's dashboards of a gateway"
    )
    exported.add_argument("target", metavar="module:gateway", help="the Gateway")
    exported.add_argument("--rules", type=Path, metavar="FILE", help="recording rules of the error budgets")
    exported.add_argument("--alerts", type=Path, metavar="FILE", help="alerts")
    exported.add_argument("--routes", type=Path, metavar="FILE", help="Alertmanager's configuration")
    exported.add_argument("--dashboards", type=Path, metavar="DIR", help="a folder for Grafana's dashboards")
    exported.add_argument("--job", default="", help="the label job of its scrapes; default: its name")
    exported.add_argument("--team", default="", help="who owns the gateway; default: its name")
    exported.add_argument("--contact", default="", help="how to reach them")
    exported.add_argument(
        "--runbooks", default="docs/runbooks", help="folder or address of the runbooks (%(default)s)"
    )
    exported.add_argument("--traces", default="", help="address of a Jaeger in which alerts search")
    commands.add_parser("settings", help="print every setting with its default, range and meaning (Markdown)")
    commands.add_parser("metrics", help="print every metric with its labels, unit and meaning (Markdown)")
    completed = commands.add_parser("completion", help="print the script with which a shell completes bff")
    completed.add_argument("shell", choices=SHELLS)
    events_parser = commands.add_parser(
        "events", help="events of services: check, watch or publish them, and those that could not be used"
    )
    event_commands = events_parser.add_subparsers(dest="events", required=True)
    dead = event_commands.add_parser("dead", help="list them, oldest first, as JSON lines")
    dead.add_argument("--count", type=int, default=100, help="list at most this many (100)")
    replay = event_commands.add_parser("replay", help="put them back into their streams")
    replay.add_argument("id", nargs="+", help="ids from `bff events dead`, or all")
    event_check = event_commands.add_parser(
        "check", help="say of each event of a file whether the gateway would use it, and what is wrong if not"
    )
    event_check.add_argument(
        "target", metavar="module:gateway", help="the Gateway, for example web.shop.gateway:shop"
    )
    tail = event_commands.add_parser("tail", help="show what services publish, with its position and age")
    tail.add_argument(
        "--last", type=_number, default=10, help="begin with so many events of each stream (10)"
    )
    tail.add_argument("--count", type=_number, help="end after so many events; default: never")
    publish = event_commands.add_parser(
        "publish", help="publish one event, for trying, and say what the gateway did with it"
    )
    publish.add_argument(
        "--key", help="the stream key, subject or routing key, where the settings leave a choice"
    )
    publish.add_argument("--anyway", action="store_true", help="also an event that the gateway would not use")
    for command in (tail, publish):
        command.add_argument(
            "--broker",
            dest="to",
            metavar="NAME",
            help="redis, nats or rabbitmq, where the settings have several",
        )
    for command in (event_check, publish):
        command.add_argument(
            "file", nargs="?", default="-", help="events as JSON, one a line; default: standard input"
        )
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
    for command in (tail, publish):
        command.add_argument(
            "--gateway",
            metavar="module:gateway",
            help="the Gateway that would use the events, which are then checked; its redis_credentials fetch the login",
        )
    return parser


def _number(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text} is not a number")
    return int(text)


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
    from ..calls import DeclarationError

    try:
        return _run(given)
    except DeclarationError as error:
        print(error, file=sys.stderr)
        return 1


def _run(given: argparse.Namespace) -> int:
    if given.command == "new":
        from . import new

        folder = new.create(given.name, Path.cwd(), page=given.page)
        print(f"{folder.name} is written. Start it with:\n\n    {new.start_command(folder, given.page)}\n")
        return 0
    if given.command == "dev":
        with collector.paused():
            from . import dev

        return dev.run(given.target, given.port, sign_in=given.sign_in)
    if given.command == "settings":
        from . import settings_reference

        print(settings_reference.page(), end="")
        return 0
    if given.command == "metrics":
        from . import metrics_reference

        print(metrics_reference.page(), end="")
        return 0
    if given.command == "completion":
        from . import completion

        print(completion.script(given.shell, _parser(), [_upstream_parser()]), end="")
        return 0
    if given.command == "slo":
        with collector.paused():
            from . import slo
            from .slo.rules import Links

        export = slo.Export(
            given.job, given.team, given.contact, Links(given.runbooks, given.traces.rstrip("/"))
        )
        return slo.run(
            given.target,
            export,
            rules=given.rules,
            alerts_to=given.alerts,
            routes_to=given.routes,
            dashboards_to=given.dashboards,
        )
    if given.command == "keys":
        from . import keys

        return keys.rotate_keys(given.file)
    if given.command == "events" and given.events == "check":
        with collector.paused():
            from . import event_check

        return event_check.run(given.target, given.file)
    if given.command in ("events", "revoke", "forget"):
        from . import stored

        return stored.run(given)
    if given.command == "check":
        with collector.paused():
            from . import checking

        return checking.run(given.target, given.timeout if given.connect else None, as_json=given.json)
    if given.command == "openapi":
        with collector.paused():
            from . import description

        return description.run(given.target, given.check)
    if given.command == "routes":
        with collector.paused():
            from . import routes

        return routes.run(given.target)
    with collector.paused():
        from . import serving

    return serving.run(given.target, host=given.host, port=given.port, workers=given.workers)


def _new_upstream(given: argparse.Namespace) -> int:
    from ..calls import DeclarationError
    from . import from_openapi

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


if __name__ == "__main__":
    sys.exit(main())
