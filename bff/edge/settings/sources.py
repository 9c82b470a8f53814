"""Where settings come from: a TOML file (named by BFF_SETTINGS), then the environment, which wins.

A variable is `BFF_` and the path of the setting, its parts joined by two underscores: `BFF_UPSTREAMS__CATALOG__URL`. A
value that is a JSON list or object is read as JSON, except a secret. `BFF_…_FILE` names the file that holds a secret
(secrets.py). All mistakes are reported at once: one sentence for each, with the setting's name and the cure. No
sentence repeats a value that may be a secret.

Variables that nobody wrote as a setting are ignored (`injected`): those that Kubernetes and Docker make for a service
whose name begins with `bff`, and the labels of a build, such as `BFF_VERSION` and `BFF_GIT_COMMIT`.
"""

from __future__ import annotations

import contextlib
import difflib
import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError

from ...calls import DeclarationError
from .secrets import SecretFiles, is_secret, read_files

M = TypeVar("M", bound=BaseModel)

PREFIX = "BFF_"
FILE = f"{PREFIX}SETTINGS"

_SERVICE = r"BFF(_[A-Z0-9_]+)?"
_IP_ADDRESS = r"[0-9]{1,3}(\.[0-9]{1,3}){3}|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*"
# Patterns of variables: for the whole name and the whole value. A name may fit several rows, as those of a service that
# is named bff-service do.
_INJECTED: tuple[tuple[str, str], ...] = (
    # Kubernetes: "Service: environment variables".
    (rf"{_SERVICE}_SERVICE_HOST", _IP_ADDRESS),
    (rf"{_SERVICE}_SERVICE_PORT(_[A-Z0-9_]+)?", r"[0-9]+"),
    (rf"{_SERVICE}_PORT(_[0-9]+_(TCP|UDP|SCTP))?", r"(tcp|udp|sctp)://.*"),
    (rf"{_SERVICE}_PORT_[0-9]+_(TCP|UDP|SCTP)_PROTO", r"(?i:tcp|udp|sctp)"),
    (rf"{_SERVICE}_PORT_[0-9]+_(TCP|UDP|SCTP)_PORT", r"[0-9]+"),
    (rf"{_SERVICE}_PORT_[0-9]+_(TCP|UDP|SCTP)_ADDR", _IP_ADDRESS),
    # Docker: "Legacy container links", which have these two beside the ones above.
    (rf"{_SERVICE}_NAME", r"/\S+/\S+"),
    (rf"{_SERVICE}_ENV_[A-Za-z0-9_]+", r".*"),
    # The labels of a build.
    (
        r"BFF_((APP|BUILD|CI|DOCKER|GIT|IMAGE|RELEASE|SOURCE)_)*"
        r"(VERSION|RELEASE|REVISION|COMMIT|SHA|REF|BRANCH|TAG|IMAGE|BUILD|DATE|NUMBER|ID|TIME)",
        r".*",
    ),
)
_BLANKS = " \t\r\n\v\f\x85\xa0\u200b\u2060\ufeff"


class SettingsError(DeclarationError):
    """The settings cannot be used. mistakes: one sentence each, beginning with the setting's name."""

    def __init__(self, mistakes: Iterable[str]) -> None:
        self.mistakes = tuple(dict.fromkeys(mistakes))
        super().__init__("\n".join(["settings:", *(f"  {one}" for one in self.mistakes)]))


def injected(name: str, value: str) -> bool:
    """Whether an orchestrator or a build has made this variable, so that it is no setting."""
    return any(
        re.fullmatch(names, name) and re.fullmatch(values, value, re.DOTALL) for names, values in _INJECTED
    )


def validated(model: type[M], environ: Mapping[str, str]) -> tuple[M, SecretFiles]:
    """The settings as one `model`, and the files that its secrets were read from. Raises SettingsError."""
    mistakes: list[str] = []
    tree = _file(environ.get(FILE, "").strip(_BLANKS), mistakes)
    # A section comes before its parts, because the environment has no order.
    for name in sorted(environ, key=lambda name: (name.count("__"), name)):
        bare = name.strip(_BLANKS)
        if not bare.startswith(PREFIX) or bare == FILE or injected(bare, environ[name].strip(_BLANKS)):
            continue
        if bare != name:
            mistakes.append(
                f"{bare}: the variable's name has blanks or a byte order mark around it; remove them"
            )
        _put(model, tree, bare, environ[name], mistakes)
    tree = _clean(tree, (), mistakes)
    secrets, state, broken = read_files(model, tree, _name, mistakes)

    def validate(changed: dict[str, Any]) -> M:
        try:
            return model.model_validate(changed)
        except ValidationError as error:
            raise SettingsError([*mistakes, *_sentences(model, error, broken)]) from None

    found = validate(tree)
    if mistakes:
        raise SettingsError(mistakes)
    return found, SecretFiles(tree, secrets, validate, state)


def _file(path: str, mistakes: list[str]) -> dict[str, Any]:
    if not path:
        return {}
    try:
        raw = Path(path).read_bytes()
        text = raw.decode("utf-8")
        if text.startswith("\ufeff"):
            mistakes.append(f"{FILE}={path}: it begins with a byte order mark; save it as UTF-8 without one")
        return tomllib.loads(text.removeprefix("\ufeff"))
    except OSError as error:
        mistakes.append(f"{FILE}={path}: {error.strerror}; name a TOML file that this process can read")
    except UnicodeDecodeError:
        mistakes.append(f"{FILE}={path}: it is not written in UTF-8; save it as UTF-8")
    except tomllib.TOMLDecodeError as error:
        mistakes.append(f"{FILE}={path}: not TOML: {error}")
    return {}


def _put(model: type[BaseModel], tree: dict[str, Any], name: str, value: str, mistakes: list[str]) -> None:
    *sections, leaf = name.removeprefix(PREFIX).lower().split("__")
    node = tree
    for depth, section in enumerate(sections):
        inner = node.setdefault(section, {})
        if not isinstance(inner, dict):
            outer = PREFIX + "__".join(sections[: depth + 1]).upper()
            mistakes.append(f"{name}: {outer} is a value already, so it has no parts; set one of the two")
            return
        node = inner
    bare = value.strip(_BLANKS)
    if bare != value:
        mistakes.append(
            f"{name}: its value has blanks, a line end or a byte order mark around it; remove them "
            "(a value that was read from a file often ends with a line end)"
        )
    # A secret may look like JSON.
    given = bare if is_secret(model, [*sections, leaf]) else _value(bare)
    known = node.get(leaf)
    node[leaf] = known | given if isinstance(known, dict) and isinstance(given, dict) else given


def _value(text: str) -> Any:
    if text[:1] in ("[", "{"):
        with contextlib.suppress(ValueError, RecursionError):
            return json.loads(text)
    return text


def _clean(value: Any, loc: tuple[object, ...], mistakes: list[str]) -> Any:
    """The tree with blanks and control characters removed from its texts. Each such text is a mistake."""
    if isinstance(value, dict):
        return {name: _clean(one, (*loc, name), mistakes) for name, one in value.items()}
    if isinstance(value, list):
        return [_clean(one, (*loc, number), mistakes) for number, one in enumerate(value)]
    if not isinstance(value, str):
        return value
    bare = value.strip(_BLANKS)
    if bare != value:
        mistakes.append(
            f"{_name(loc)}: its value has blanks, a line end or a byte order mark around it; remove them"
        )
    clean = re.sub(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]", "", bare)
    if clean != bare:
        mistakes.append(f"{_name(loc)}: its value holds a line end or another control character; remove it")
    return clean


def _name(loc: Iterable[object]) -> str:
    return PREFIX + "__".join(str(part).upper() for part in loc)


# By pydantic's type of error. Other types keep pydantic's message, or that of a check in these settings.
_SENTENCES = {
    "extra_forbidden": "is not a known setting{nearest}",
    "missing": "is missing; set it",
    **dict.fromkeys(("int_parsing", "int_type", "int_from_float"), "must be a whole number{number}{quoted}"),
    **dict.fromkeys(("float_parsing", "float_type", "finite_number"), "must be a number{number}{quoted}"),
    **dict.fromkeys(("bool_parsing", "bool_type"), "must be true or false{quoted}"),
    "greater_than": "must be above {gt:g}{number}",
    "greater_than_equal": "must be at least {ge:g}{number}",
    "less_than": "must be below {lt:g}{number}",
    "less_than_equal": "must be at most {le:g}{number}",
    "literal_error": "must be {expected}{quoted}",
    **dict.fromkeys(("tuple_type", "list_type"), 'must be a JSON list, such as ["a", "b"]{fault}'),
    **dict.fromkeys(
        ("dict_type", "model_type", "model_attributes_type"),
        "is a section: set its parts, such as {name}__…, or write a JSON object{fault_or_nearest}",
    ),
    "string_too_short": "must have at least {min_length} characters",
    "too_short": "must have at least {min_length} items",
}


def _sentences(
    model: type[BaseModel], error: ValidationError, broken: Iterable[tuple[object, ...]]
) -> Iterator[str]:
    """One for each error. broken: the secrets that could not be read, and so are not to be judged, nor what holds
    them."""
    for one in error.errors(include_url=False):
        if any(place[: len(one["loc"])] == one["loc"] for place in broken):
            continue
        name, given, fault = _name(one["loc"]), one["input"], _json_fault(one["input"])
        nearest = _nearest(model, one["loc"])
        # A number is no secret. Any other value may be one and is not shown.
        is_number = isinstance(given, int | float | str) and re.fullmatch(r"-?[0-9.]{1,20}", str(given))
        sentence = _SENTENCES.get(one["type"], "{message}{quoted}").format(
            **one.get("ctx", {}),
            message=one["msg"].removeprefix("Value error, "),
            name=name,
            number=f", not {given}" if is_number else "",
            quoted=_quoted(given),
            fault=fault,
            nearest=nearest,
            fault_or_nearest=fault or nearest,
        )
        # A mistake of several settings together has no place, and its message names them.
        yield f"{name}: {sentence}" if one["loc"] else sentence


def _quoted(given: object) -> str:
    if isinstance(given, str) and len(given) > 1 and given[0] == given[-1] and given[0] in "\"'":
        return "; the quotes around it are part of the value here, remove them"
    return "; it is empty: give it a value or leave it out" if given == "" else ""


def _json_fault(given: object) -> str:
    if not isinstance(given, str):
        return ""
    if given[:1] in ("[", "{"):
        try:
            json.loads(given)
        except ValueError as error:
            return f"; this is not JSON ({error})"
        except RecursionError:
            return "; this is not JSON that can be read"
    return _quoted(given)


def _nearest(model: type[BaseModel], loc: tuple[object, ...]) -> str:
    """The known setting that was probably meant, as the end of a sentence."""
    if not all(isinstance(part, str) for part in loc):
        return ""
    name = _name(loc)
    for known in _known(model, ()):
        # The most frequent slip is one underscore in place of two.
        pattern = "_+".join(
            "(.+?)" if part == "*" else re.escape(part.upper()).replace("_", "_+") for part in known
        )
        if found := re.fullmatch(PREFIX + pattern, name):
            named = iter(found.groups())
            right = [next(named).strip("_") if part == "*" else part for part in known]
            if _name(right) != name:
                return f"; write {_name(right)}"
    close = difflib.get_close_matches(
        name, [_name(one) for one in _known(model, ()) if "*" not in one], 1, 0.8
    )
    return f"; the nearest is {close[0]}" if close else ""


def _known(model: type[BaseModel], before: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The path of every setting; * stands for a name that the user chooses."""
    for name, field in model.model_fields.items():
        path, origin = (*before, name), get_origin(field.annotation)
        yield path
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel) and origin is not tuple:
                yield from _known(kind, (*path, "*") if origin is dict else path)
