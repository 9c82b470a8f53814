"""The page about the command `bff`, from its parsers."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from bff.cli.main import _parser, _upstream_parser


def page() -> str:
    """Every command with its usage, arguments and options."""
    lines = [
        "# The command bff",
        "",
        "`bff --help` and `bff <command> --help` print the same. Exit codes: 0 success, 1 mistakes found, 2 wrong "
        "arguments. Mistakes are printed to standard error, each with the name of what to correct.",
    ]
    for name, about, parser in _commands(_parser(), "bff"):
        lines += _command(name, about, parser)
    lines += _command("bff new upstream", _upstream_parser().description or "", _upstream_parser())
    return "\n".join(lines) + "\n"


def _subparsers(parser: argparse.ArgumentParser) -> Iterator[tuple[str, str, argparse.ArgumentParser]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            about = {one.dest: one.help or "" for one in action._choices_actions}
            for name, one in action.choices.items():
                yield name, about.get(name, ""), one


def _commands(
    parser: argparse.ArgumentParser, prefix: str
) -> Iterator[tuple[str, str, argparse.ArgumentParser]]:
    for name, about, one in _subparsers(parser):
        yield f"{prefix} {name}", about, one
        yield from _commands(one, f"{prefix} {name}")


def _command(name: str, about: str, parser: argparse.ArgumentParser) -> list[str]:
    found = [
        action
        for action in parser._actions
        if not isinstance(action, argparse._HelpAction | argparse._SubParsersAction)
    ]
    usage = " ".join(parser.format_usage().removeprefix("usage: ").split())
    lines = [
        "",
        f"## {name}",
        "",
        f"{about[:1].upper()}{about[1:].rstrip('.')}.",
        "",
        "```text",
        usage,
        "```",
    ]
    if found:
        lines += ["", "| argument | meaning |", "|---|---|"]
        lines += [f"| {_spelled(action)} | {_help(action)} |" for action in found]
    return lines


def _spelled(action: argparse.Action) -> str:
    if action.option_strings:
        value = "" if action.nargs == 0 else f" {action.metavar or action.dest.upper()}"
        return ", ".join(f"`{one}{value}`" for one in action.option_strings)
    return f"`{action.metavar or action.dest}`"


def _help(action: argparse.Action) -> str:
    text = (
        (action.help or "")
        .replace("%(default)g", f"{action.default}")
        .replace("|", "\\|")
        .replace("[", "\\[")
    )
    return text + (" (required)" if action.option_strings and action.required else "")
