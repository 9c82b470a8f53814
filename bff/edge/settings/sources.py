"""Where settings come from: a TOML file (named by BFF_SETTINGS), then the environment, which wins.

A variable is `BFF_` and the path of the setting, its parts joined by two underscores: `BFF_UPSTREAMS__CATALOG__URL`. A
value that reads as JSON is taken as JSON. Everything that is wrong is told at once, one sentence for each setting with
what to do about it, and no sentence repeats a value that may be a secret.

What an orchestrator puts into the environment by itself is passed over: the variables that Kubernetes and Docker make
for a service whose name begins with `bff` (`injected`), and the labels of a build (`BFF_VERSION`, `BFF_GIT_COMMIT`).
"""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from ...calls import DeclarationError

PREFIX = "BFF_"
FILE = f"{PREFIX}SETTINGS"

# Kubernetes: `service-discovery environment variables`; Docker: the same for links, with NAME and ENV beside them.
_SERVICE = re.compile(r"BFF(_[A-Z0-9_]+)?_SERVICE_(?P<what>HOST|PORT(_[A-Z0-9_]+)?)")
_PORT = re.compile(r"BFF(_[A-Z0-9_]+)?_PORT_[0-9]+_(TCP|UDP|SCTP)(?P<what>_PROTO|_PORT|_ADDR)?")
_WHOLE = re.compile(r"BFF(_[A-Z0-9_]+)?_PORT")
_INJECTED_URL = re.compile(r"(tcp|udp|sctp)://")
_LINK = re.compile(r"BFF(_[A-Z0-9_]+)?_(NAME|ENV_[A-Za-z0-9_]+)")
_LABEL = re.compile(
    r"BFF_((APP|BUILD|CI|DOCKER|GIT|IMAGE|RELEASE|SOURCE)_)*"
    r"(VERSION|RELEASE|REVISION|COMMIT|SHA|REF|BRANCH|TAG|IMAGE|BUILD|DATE|NUMBER|ID|TIME)"
)
_BLANKS = " \t\r\n\v\f\x85\xa0\u200b\u2060\ufeff"


class SettingsError(DeclarationError):
    """The settings cannot be used. mistakes: one sentence each, beginning with the setting's name."""

    def __init__(self, mistakes: Iterable[str]) -> None:
        self.mistakes = tuple(dict.fromkeys(mistakes))
        super().__init__("\n".join(["settings:", *(f"  {one}" for one in self.mistakes)]))


def injected(name: str, value: str) -> bool:
    """Whether an orchestrator or a build put this variable there, and nobody meant it as a setting."""
    if found := _SERVICE.fullmatch(name):
        return _is_address(value) if found["what"] == "HOST" else _is_port(value)
    if found := _PORT.fullmatch(name):
        match found["what"]:
            case "_PROTO":
                return value.lower() in ("tcp", "udp", "sctp")
            case "_PORT":
                return _is_port(value)
            case "_ADDR":
                return _is_address(value)
        return _INJECTED_URL.match(value) is not None
    if _WHOLE.fullmatch(name):
        return _INJECTED_URL.match(value) is not None
    if found := _LINK.fullmatch(name):
        return "_ENV_" in name or re.fullmatch(r"/\S+/\S+", value) is not None
    return _LABEL.fullmatch(name) is not None


def validated(model: type[BaseModel], environ: Mapping[str, str]) -> Any:
    """The settings as one `model`. Raises SettingsError."""
    mistakes: list[str] = []
    tree = _file(environ.get(FILE, "").strip(_BLANKS), mistakes)
    # Sections before what is inside them: the order of the environment means nothing.
    for name in sorted(environ, key=lambda name: (name.count("__"), name)):
        bare = name.strip(_BLANKS)
        if not bare.startswith(PREFIX) or bare == FILE or injected(bare, environ[name].strip(_BLANKS)):
            continue
        if bare != name:
            mistakes.append(
                f"{bare}: the variable's name has blanks or a byte order mark around it; remove them"
            )
        _put(tree, bare, environ[name], mistakes)
    tree = _clean(tree, (), mistakes)
    try:
        found = model.model_validate(tree)
    except ValidationError as error:
        raise SettingsError([*mistakes, *_sentences(model, error)]) from None
    if mistakes:
        raise SettingsError(mistakes)
    return found


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


def _put(tree: dict[str, Any], name: str, value: str, mistakes: list[str]) -> None:
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
    given = _value(bare)
    known = node.get(leaf)
    node[leaf] = known | given if isinstance(known, dict) and isinstance(given, dict) else given


def _value(text: str) -> Any:
    if text[:1] in ("[", "{"):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text
    return text


def _clean(value: Any, loc: tuple[object, ...], mistakes: list[str]) -> Any:
    """The tree with its texts stripped, each one that was not so a mistake."""
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
    if any(letter < " " or "\x7f" <= letter <= "\x9f" or "\ud800" <= letter <= "\udfff" for letter in bare):
        mistakes.append(f"{_name(loc)}: its value holds a line end or another control character; remove it")
        return re.sub(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]", "", bare)
    return bare


def _name(loc: Iterable[object]) -> str:
    return PREFIX + "__".join(str(part).upper() for part in loc)


def _sentences(model: type[BaseModel], error: ValidationError) -> Iterator[str]:
    for one in error.errors(include_url=False):
        sentence = _sentence(model, one)
        # What is wrong with several settings together names them itself.
        yield f"{_name(one['loc'])}: {sentence}" if one["loc"] else sentence


def _sentence(model: type[BaseModel], one: Any) -> str:
    kind, given, context = one["type"], one.get("input"), one.get("ctx", {})
    # A number is no secret; any other value may be one and is not shown.
    shown = (
        f", not {given}"
        if isinstance(given, int | float | str) and re.fullmatch(r"-?[0-9.]{1,20}", str(given))
        else ""
    )
    match kind:
        case "extra_forbidden":
            return "is not a known setting" + _nearest(model, one["loc"])
        case "missing":
            return "is missing; set it"
        case "int_parsing" | "int_type" | "int_from_float":
            return f"must be a whole number{shown}{_quoted(given)}"
        case "float_parsing" | "float_type" | "finite_number":
            return f"must be a number{shown}{_quoted(given)}"
        case "bool_parsing" | "bool_type":
            return f"must be true or false{_quoted(given)}"
        case "greater_than":
            return f"must be above {context['gt']:g}{shown}"
        case "greater_than_equal":
            return f"must be at least {context['ge']:g}{shown}"
        case "less_than":
            return f"must be below {context['lt']:g}{shown}"
        case "less_than_equal":
            return f"must be at most {context['le']:g}{shown}"
        case "literal_error":
            return f"must be {context['expected']}{_quoted(given)}"
        case "tuple_type" | "list_type":
            return 'must be a JSON list, such as ["a", "b"]' + _json_fault(given)
        case "dict_type" | "model_type" | "model_attributes_type":
            return f"is a section: set its parts, such as {_name(one['loc'])}__…, or write a JSON object" + (
                _json_fault(given) or _nearest(model, one["loc"])
            )
        case "string_too_short":
            return f"must have at least {context['min_length']} characters"
        case "too_short":
            return f"must have at least {context['min_length']} items"
    return str(one["msg"]).removeprefix("Value error, ") + _quoted(given)


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
    """A known setting that was probably meant, as the end of a sentence."""
    if not all(isinstance(part, str) for part in loc):
        return ""
    name = _name(loc)
    for known in _known(model, ()):
        # One underscore where two belong: the most frequent slip.
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
    """The path of every setting; * stands for a name of the user's own."""
    for name, field in model.model_fields.items():
        path = (*before, name)
        yield path
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                own = getattr(field.annotation, "__origin__", None)
                if own is not tuple:
                    yield from _known(kind, (*path, "*") if own is dict else path)


def _is_port(value: str) -> bool:
    return value.isascii() and value.isdigit()


def _is_address(value: str) -> bool:
    try:
        ip_address(value)
    except ValueError:
        return False
    return True
