"""`bff completion SHELL`: the script with which bash, zsh or fish completes commands and options.

The script is made from the parser of the command line, so it has every command and option, and nothing is asked while a
person types. Where neither is possible, and for the value of an option, the shell completes file names.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

SHELLS = ("bash", "fish", "zsh")


@dataclass(slots=True)
class Level:
    """What can follow these words. commands, options: name → help; values: options that take a value."""

    words: str
    commands: dict[str, str] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)
    values: set[str] = field(default_factory=set)


def script(
    shell: str, parser: argparse.ArgumentParser, beside: Sequence[argparse.ArgumentParser] = ()
) -> str:
    """The script for one of SHELLS; the parser's `prog` is the command. beside: parsers that the command uses instead
    of its own after the words that are their `prog`."""
    levels = list(_levels(parser, parser.prog))
    for other in beside:
        outer, _, last = other.prog.rpartition(" ")
        next(level for level in levels if level.words == outer).commands[last] = _plain(
            other.description or ""
        )
        levels += _levels(other, other.prog)
    return {"bash": _bash, "fish": _fish, "zsh": _zsh}[shell](parser.prog, levels)


def _levels(parser: argparse.ArgumentParser, words: str) -> Iterator[Level]:
    level = Level(words)
    nested: dict[str, argparse.ArgumentParser] = {}
    # argparse has no public list of a parser's arguments.
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            nested = dict(action.choices)
            shown = {one.dest: one.help or "" for one in action._choices_actions}
            level.commands = {name: _plain(shown.get(name, "")) for name in nested}
            continue
        for option in action.option_strings:
            if option.startswith("--"):
                level.options[option] = _plain(action.help or "")
                if action.nargs != 0:
                    level.values.add(option)
        if not action.option_strings and action.choices:
            level.commands |= {str(choice): "" for choice in action.choices}
    yield level
    for name, one in nested.items():
        yield from _levels(one, f"{words} {name}")


def _plain(text: str) -> str:
    """One line without what a shell would read as its own."""
    return " ".join("".join(letter for letter in text if letter not in "'\"`$\\[]").split()).replace(
        "%%", "%"
    )


def _deeper(levels: list[Level]) -> str:
    """The patterns of words that lead from one level to the next."""
    return "|".join(f"'{level.words}'" for level in levels[1:])


def _bash(command: str, levels: list[Level]) -> str:
    cases = "".join(
        f"    '{level.words}') values=' {' '.join(sorted(level.values))} '\n"
        f"      words='{' '.join([*level.commands, *level.options])}' ;;\n"
        for level in levels
    )
    return f"""# Completion of {command} for bash: source it, or save it as
# ~/.local/share/bash-completion/completions/{command}.
_{command}_complete() {{
  local at='{command}' word words='' values=''
  for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
    case "$at $word" in {_deeper(levels)}) at="$at $word" ;; esac
  done
  case "$at" in
{cases}  esac
  COMPREPLY=()
  case "$values" in *" ${{COMP_WORDS[COMP_CWORD-1]}} "*) return ;; esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "${{COMP_WORDS[COMP_CWORD]}}")
}}
complete -o default -F _{command}_complete {command}
"""


def _zsh(command: str, levels: list[Level]) -> str:
    def entry(name: str, text: str) -> str:
        return f"'{name}:{text}'"

    cases = "".join(
        f"    '{level.words}') values=' {' '.join(sorted(level.values))} '\n"
        f"      commands=({' '.join(entry(*one) for one in level.commands.items())})\n"
        f"      options=({' '.join(entry(*one) for one in level.options.items())}) ;;\n"
        for level in levels
    )
    return f"""#compdef {command}
# Completion of {command} for zsh: source it after compinit, or save it as _{command} in a folder of $fpath.
_{command}() {{
  local at='{command}' word values=''
  local -a commands options
  for word in "${{(@)words[2,CURRENT-1]}}"; do
    case "$at $word" in {_deeper(levels)}) at="$at $word" ;; esac
  done
  case "$at" in
{cases}  esac
  if [[ "$values" == *" ${{words[CURRENT-1]}} "* ]]; then _files; return; fi
  if [[ "${{words[CURRENT]}}" == -* ]]; then _describe -o option options; return; fi
  if (( ${{#commands}} )); then _describe command commands; else _files; fi
}}
if [ "$funcstack[1]" = "_{command}" ]; then _{command} "$@"; else compdef _{command} {command}; fi
"""


def _fish(command: str, levels: list[Level]) -> str:
    lines: list[str] = []
    for level in levels:
        at = f"complete -c {command} -n \"__{command}_at '{level.words}'\""
        for name, text in level.commands.items():
            lines.append(f"{at} -f -a '{name}' -d '{text}'")
        for name, text in level.options.items():
            value = " -r" if name in level.values else ""
            lines.append(f"{at} -l '{name.removeprefix('--')}'{value} -d '{text}'")
    deeper = " ".join(f"'{level.words}'" for level in levels[1:])
    declared = "\n".join(lines)
    return f"""# Completion of {command} for fish: source it, or save it as ~/.config/fish/completions/{command}.fish.
function __{command}_at
    set -l at '{command}'
    for word in (commandline -opc)[2..]
        switch "$at $word"
            case {deeper}
                set at "$at $word"
        end
    end
    test "$at" = "$argv[1]"
end
{declared}
"""
