"""Writes the models and aliases of a file, each after what it uses where that is possible.

An alias that holds itself is a model of one value. A field keeps its member's name where Python allows that, and has it
as its alias otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .definitions import ANY, Definition
from .naming import FIELDS, Names, comment, docstring, identifier
from .schemas import Schemas


def source(schemas: Schemas) -> Iterator[str]:
    """The lines of all definitions, each after what it uses where that is possible."""
    ordered = _ordered(schemas.definitions)
    numbers = {one.name: number for number, one in enumerate(ordered)}
    incomplete: list[str] = []
    for number, one in enumerate(ordered):
        if one.alias is None:
            yield from _model(one, numbers.keys() - schemas.discriminators)
        elif any(numbers[name] >= number for name in one.uses):
            yield from _recursive_alias(one)
        else:
            for note in one.notes[:1]:
                yield from comment(note)
            yield f"{one.name} = {one.alias}"
            yield ""
        later = any(numbers[name] > number or name in incomplete for name in one.uses)
        if later:
            incomplete.append(one.name)
    defined = {one.name: one for one in ordered}
    for name in incomplete:
        if defined[name].alias is None or _is_class(defined[name], numbers):
            yield f"{name}.model_rebuild()"


def _is_class(one: Definition, numbers: dict[str, int]) -> bool:
    return any(numbers[name] >= numbers[one.name] for name in one.uses)


def _ordered(definitions: dict[str, Definition]) -> list[Definition]:
    """Each definition after those that it uses. In a circle a model comes first, because it may name what follows."""
    waiting, found = dict(definitions), dict[str, Definition]()
    while waiting:
        ready = [
            name
            for name, one in waiting.items()
            if all(used in found or (used == name and one.alias is None) for used in one.uses)
        ]
        models = (name for name, one in waiting.items() if one.alias is None)
        for name in ready or [next(models, next(iter(waiting)))]:
            found[name] = waiting.pop(name)
    return list(found.values())


def _recursive_alias(one: Definition) -> Iterator[str]:
    """An alias that holds itself is a model of one value: pydantic needs a class for it."""
    yield f"class {one.name}(RootModel[Any]):"
    yield from docstring(one.notes, "    ")
    yield f"    root: {one.alias}"
    yield ""
    yield ""


def _model(one: Definition, defined: Iterable[str]) -> Iterator[str]:
    names = Names({*FIELDS, *defined})
    fields = [(names.new(identifier(member.name, "field")), member) for member in one.members]
    config = []
    if one.extra is not None:
        config.append('extra="allow"')
    if any(name != member.name for name, member in fields):
        config.append("validate_by_name=True, validate_by_alias=True")
    yield f"class {one.name}(BaseModel):"
    yield from docstring(one.notes, "    ")
    if one.notes and (config or fields):
        yield ""
    if config:
        yield f"    model_config = ConfigDict({', '.join(config)})"
    if one.extra is not None and one.extra != ANY:
        yield f"    __pydantic_extra__: dict[str, {one.extra}]"
    if config:
        yield ""
    for name, member in fields:
        written = str(member.type)
        if name != member.name:
            written = f"Annotated[{written}, Field(alias={member.name!r})]"
        default = "" if member.default is None else f" = {member.default}"
        if member.notes:
            yield from comment(member.notes, "    ")
        yield f"    {name}: {written}{default}"
    yield ""
    yield ""
