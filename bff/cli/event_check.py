"""`bff events check`: says of each event whether the gateway would use it, and if not, what is wrong and what to do.

It reads what the gateway reads, with the gateway's own declarations, and needs neither Redis nor a broker. The data of
an event is never printed, only its type, subject, sequence and owner.
"""

from __future__ import annotations

import difflib
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from ..calls import DeclarationError, SagaStatus
from ..calls.codec.json_text import BOM
from ..edge import settings as settings_file
from ..edge.declared import Declarations
from ..edge.describe.event_schema import MEANINGS
from ..edge.settings import SettingsError
from ..live.ingest.events import CURES, BadEvent, ChangedEvent, Registry, SagaEvent, Undeclared, ValueEvent
from .target import load

_MAX_DOCUMENT = 1_000_000
_STATUS = {"owner", *SagaStatus.model_fields}
_VALUE = {"version", "at", "data", "mutations"}


@dataclass(frozen=True, slots=True)
class Verdict:
    """used: the gateway uses the event; text: a sentence about it, with the cure; notes: what may be a mistake."""

    used: bool
    text: str
    notes: tuple[str, ...] = ()


class EventChecker:
    """ignored: the types that the gateway's settings ignore."""

    def __init__(self, declared: Declarations, ignored: Sequence[str] = ()) -> None:
        self._registry = Registry(
            {saga.name: saga.model for saga in declared.sagas.values()},
            {value.kind: value.model for value in declared.values.values()},
            ignored,
        )
        self._fields = {saga.name: set(saga.model.model_fields) for saga in declared.sagas.values()}

    def check(self, body: bytes | None) -> Verdict:
        """What the gateway does with this event. body: None where the broker's entry has no event."""
        try:
            meaning = self._registry.meaning(body, now_ms=0)
        except BadEvent as error:
            return Verdict(False, _sentence(error))
        except Exception as error:  # of a user's model
            return Verdict(False, f"its model raised {type(error).__name__}. {_cure(CURES['model'])}")
        tree = json.loads((body or b"").removeprefix(BOM))
        match meaning:
            case SagaEvent(owner, entry):
                saga, _, id = entry.saga.partition("/")
                text = f"saga {saga} {id}, version {entry.version}, {tree['data']['status']}, of {owner}"
                return Verdict(True, shown(text), self._saga_notes(saga, tree))
            case ValueEvent(name, version):
                return Verdict(True, f"value {name}, version {version}", _unread(tree, _VALUE))
            case ChangedEvent(tags, whose):
                return Verdict(True, shown(f"invalidates {' and '.join(tags)} for {whose or 'everybody'}"))
            case Undeclared():
                near = f" Did you mean {meaning.near}?" if meaning.near else ""
                text = f"the type {meaning.type} is not declared.{near} {_cure(CURES[meaning.wrong])}"
                return Verdict(False, shown(text))
            case None:
                return Verdict(True, "ignored, because BFF_LIVE__IGNORE_TYPES names its type")

    def _saga_notes(self, saga: str, tree: Mapping[str, Any]) -> tuple[str, ...]:
        data, notes = tree["data"], []
        if "|" not in data["owner"]:
            notes.append("data.owner has no `|`: take it from the header BFF-Owner, `<iss>|<sub>`")
        try:
            datetime.fromisoformat(data["at"])
        except ValueError:
            notes.append(
                "data.at is not a time of RFC 3339: the time of its arrival is used where it matters"
            )
        return (*notes, *_unread(tree, _STATUS | self._fields[saga]))


def run(target: str, file: str) -> int:
    """Check every event of a file, or of standard input ("-"): one a line, or one JSON document. Returns the exit code:
    1 when an event would not be used. Raises DeclarationError."""
    checker = checker_of(target)
    wrong = 0
    for position, body in events_in(file):
        verdict = checker.check(body)
        wrong += not verdict.used
        print(f"{position}: {'' if verdict.used else 'not used: '}{verdict.text}", flush=True)
        for note in verdict.notes:
            print(f"{position}: note: {note}", flush=True)
    return 1 if wrong else 0


def checker_of(target: str) -> EventChecker:
    """The checker of the gateway `module:gateway`. Raises DeclarationError."""
    gateway = load(target)
    try:
        ignored = settings_file.load().live.ignore_types
    except SettingsError:
        # An event can be checked where the settings of the gateway are not known.
        ignored = ()
    return EventChecker(gateway, ignored)


def events_in(file: str) -> Iterator[tuple[str, bytes]]:
    """Each event with its place. Raises DeclarationError where the file cannot be read."""
    if file == "-":
        yield from _events(sys.stdin.buffer)
        return
    try:
        with Path(file).open("rb") as opened:
            yield from _events(opened)
    except OSError as error:
        raise DeclarationError(f"{file}: {error.strerror}") from None


def _events(lines: BinaryIO) -> Iterator[tuple[str, bytes]]:
    """A first line that is not JSON by itself begins one document of several lines."""
    for number, line in _numbered(lines):
        if number == 1 and not _is_json(line):
            rest = line + lines.read(_MAX_DOCUMENT)
            if _is_json(rest):
                yield "event", rest.strip()
                return
            yield from ((f"line {at}", one) for at, one in _numbered(rest.splitlines()))
            continue
        yield f"line {number}", line.strip()


def _numbered(lines: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    return ((number, line) for number, line in enumerate(lines, 1) if line.strip())


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _sentence(error: BadEvent) -> str:
    meanings = dict.fromkeys(_meaning(field) for field in error.fields)
    parts = [f"{error}.", *(f"{one}." for one in meanings if one), _cure(CURES[error.wrong])]
    return shown(" ".join(parts))


def _meaning(field: str) -> str:
    name = ".".join(field.split(".")[:2]) if field.startswith("data.") else field
    return f"{name}: {MEANINGS[name]}" if name in MEANINGS else ""


def _cure(cure: str) -> str:
    return f"What to do: {cure}."


def _unread(tree: Mapping[str, Any], known: set[str]) -> tuple[str, ...]:
    """Members of `data` that the gateway does not read."""
    notes = []
    for name in tree["data"]:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean data.{near[0]}?" if near else ""
            notes.append(shown(f"data.{name} is not read{hint}"))
    return tuple(notes[:10])


def shown(text: str) -> str:
    """In ASCII without control characters, so that an event cannot control the terminal."""
    return json.dumps(text)[1:-1].replace('\\"', '"').replace("\\\\", "\\")
