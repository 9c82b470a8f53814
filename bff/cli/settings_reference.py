"""`bff settings`: every setting with its environment variable, type, unit, default, range and meaning, as Markdown.

Everything is read from the settings' models: the meaning from the docstring below a field, the range from its
constraints. A field without a docstring is an error, so the list is complete.
"""

from __future__ import annotations

import ast
import inspect
import types
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from ..edge.settings import Settings
from ..edge.settings.sources import PREFIX

_UNITS = {
    "Seconds": "seconds",
    "Bytes": "bytes",
    "Share": "0 to 1",
    "Messages": "messages a minute",
    "Traces": "a second",
}
_BOUNDS = {"ge": "at least {}", "gt": "above {}", "le": "at most {}", "lt": "below {}"}


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting. path: in the settings file, `<name>` for a name that the user chooses; unit, range: "" if there is
    none; default: as it is written, "required" or "unset"."""

    path: str
    type: str
    unit: str
    default: str
    range: str
    meaning: str

    @property
    def variable(self) -> str:
        """The environment variable."""
        return PREFIX + self.path.replace(".", "__").upper()


def all_settings(model: type[BaseModel] = Settings, path: str = "") -> Iterator[Setting]:
    """Every setting, in the order of the models. Raises LookupError for a field without a docstring."""
    # Fields come before sections: below the heading of a section they would seem to belong to it.
    fields = sorted(model.model_fields.items(), key=lambda one: _section(one[1].annotation) is not None)
    for name, field in fields:
        where, section = f"{path}{name}", _section(field.annotation)
        if section is not None and get_origin(_plain(field.annotation)) is not tuple:
            named = ".<name>" if get_origin(_plain(field.annotation)) is dict else ""
            yield from all_settings(section, f"{where}{named}.")
        elif section is not None:
            yield from all_settings(section, f"{where}[].")
        else:
            yield _setting(where, name, field, model)


def _setting(path: str, name: str, field: FieldInfo, model: type[BaseModel]) -> Setting:
    meaning = next((_meanings(one)[name] for one in model.__mro__ if name in _meanings(one)), None)
    if meaning is None:
        raise LookupError(f"{model.__name__}.{name} has no docstring")
    first = meaning.split()[0]
    kind = _type(field.annotation)
    unit = _UNITS.get(first, "") or ("count" if kind == "integer" and not name.endswith("port") else "")
    bounds = [
        text.format(_number(found))
        for one in field.metadata
        for key, text in _BOUNDS.items()
        if (found := getattr(one, key, None)) is not None
    ]
    return Setting(path, kind, unit, _default(field), ", ".join(bounds), meaning)


@cache
def _meanings(model: type) -> dict[str, str]:
    if not issubclass(model, BaseModel) or model is BaseModel:
        return {}
    [defined] = ast.parse(inspect.cleandoc("\n" + inspect.getsource(model))).body
    body = defined.body if isinstance(defined, ast.ClassDef) else []
    return {
        field.target.id: " ".join(str(text.value.value).split())
        for field, text in pairwise(body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
    }


def _plain(annotation: Any) -> Any:
    """The type without Annotated and None."""
    if get_origin(annotation) is Annotated:
        return _plain(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return _plain(next(one for one in get_args(annotation) if one is not type(None)))
    return annotation


def _section(annotation: Any) -> type[BaseModel] | None:
    plain = _plain(annotation)
    candidates = [plain, *(_plain(one) for one in get_args(plain))]
    return next((one for one in candidates if isinstance(one, type) and issubclass(one, BaseModel)), None)


def _type(annotation: Any) -> str:
    plain = _plain(annotation)
    origin, inside = get_origin(plain), [one for one in get_args(plain) if one is not Ellipsis]
    if origin is Literal:
        return " or ".join(f"`{one}`" for one in inside)
    if origin is tuple:
        return f"list of {_type(inside[0])}"
    if origin is dict:
        return f"table of {_type(inside[1])}"
    names = {int: "integer", float: "number", bool: "boolean", SecretStr: "secret"}
    return names.get(plain, "path" if getattr(plain, "__name__", "") == "Path" else "string")


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) and value >= 10_000 else f"{value:g}"


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return "required"
    if value is None or value in ((), {}):
        return "unset"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return _number(value)
    return ", ".join(f"`{one}`" for one in value) if isinstance(value, tuple) else f"`{value}`"


def page() -> str:
    """The reference as a Markdown page: an entry for each setting, because a table would be too wide for a phone."""
    lines = [
        "# Settings",
        "",
        "Written by `bff settings`. A setting is an environment variable, or a key of the TOML file that "
        "`BFF_SETTINGS` names (`BFF_REDIS__URL` is `url` in its table `redis`); the variable wins. Lists and tables in "
        "a variable are JSON. `<NAME>` stands for a name that you choose, `[]` for each entry of a list.",
        "",
        "Every *secret* can be in a file: `BFF_…_FILE` names it in place of the secret, and `…_file` in TOML and JSON. "
        "For a list of secrets it names one file, or a JSON list of files with one secret each; in a table of secrets "
        "each name can end with `_file`. The secret is the content without one line end at its end. A changed file is "
        "followed within two seconds; "
        "one that cannot be used is logged, and the last secret stays.",
    ]
    section = None
    for one in all_settings():
        if (head := one.path.rpartition(".")[0]) != section:
            section = head
            lines += ["", f"## `{head}`" if head else "## The gateway"]
        default = one.default if one.default == "required" else f"default {one.default}"
        kind = f"{one.type}, {one.unit}" if one.unit else one.type
        facts = " · ".join(filter(None, (kind, default, one.range)))
        lines += ["", f"**`{one.variable}`**<br>", f"{one.meaning}<br>", f"*{facts}*"]
    return "\n".join(lines) + "\n"
