"""Reads the upstream calls of a view or command, and the methods of an upstream, from their source. Nothing is called.

Calls made by other functions are not followed, and a number that is not a literal is unknown. Both are left out, never
guessed.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args, get_type_hints

from ..calls import Raw, Upstream

VERBS = ("get", "post", "put", "patch", "delete")
OPTIONS = ("fresh", "public", "keyed", "within", "tries", "tagged", "as_read", "as_write")


@dataclass(frozen=True, slots=True)
class Written:
    """The arguments of an option by position and by name, None for one that is not a constant. An f-string is a
    template with the expressions in braces."""

    given: tuple[Any, ...]
    named: dict[str, Any]


Options = dict[str, Written]


@dataclass(frozen=True, slots=True)
class Step:
    """One upstream call in a function's source.

    upstream  the upstream that is called
    name      the name of its method
    verb      ``GET`` …, empty when the method's source does not show it
    optional  True inside `optional(…)`
    within    seconds of each `optional(…, within=…)` around it, outermost first
    options   option → its arguments, those of the upstream's method and those at the call
    """

    upstream: Upstream
    name: str
    verb: str
    optional: bool
    within: tuple[float, ...]
    options: Options

    @property
    def writes(self) -> bool:
        if "as_read" in self.options or "as_write" in self.options:
            return "as_write" in self.options
        return self.verb not in ("", "GET")

    def number(self, option: str, name: str | None = None) -> float | None:
        """The option's first argument, or the argument `name`, when it is a number; otherwise None."""
        written = self.options.get(option)
        if written is None:
            return None
        value = written.named.get(name) if name else next(iter(written.given), None)
        return value if isinstance(value, int | float) else None

    def words(self, option: str) -> list[str]:
        """The option's arguments that are texts."""
        written = self.options.get(option)
        return [word for word in written.given if isinstance(word, str)] if written is not None else []


def passes_whole(upstream: Upstream, method: str) -> bool:
    """Whether the method returns `Call[Raw]`: the service's answer is passed on to the browser unchanged."""
    try:
        returns = get_type_hints(getattr(type(upstream), method)).get("return")
    except (AttributeError, NameError, TypeError):
        return False
    return get_args(returns) == (Raw,)


def steps(function: Callable[..., Any]) -> list[Step]:
    """The upstream calls in a function's source, in order; none when there is no source."""
    tree = _tree(function)
    if tree is None:
        return []
    return list(_steps(tree, inspect.unwrap(function).__globals__, (), False, {}))


def _upstream(node: ast.AST, known: Mapping[str, Any]) -> Upstream | None:
    """The upstream that `desk` or `clients.desk` names in the function's module, None when it is not an upstream."""
    names = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    found = known.get(node.id) if isinstance(node, ast.Name) else None
    for name in reversed(names):
        found = vars(found).get(name) if isinstance(found, types.ModuleType) else None
    return found if isinstance(found, Upstream) else None


def _steps(
    node: ast.AST, known: Mapping[str, Any], within: tuple[float, ...], optional: bool, options: Options
) -> Iterator[Step]:
    if isinstance(node, ast.Call):
        called = node.func
        upstream = _upstream(called.value, known) if isinstance(called, ast.Attribute) else None
        if isinstance(called, ast.Attribute) and upstream is not None:
            verb, declared = _declared(upstream, called.attr)
            yield Step(upstream, called.attr, verb, optional, within, declared | options)
            options = {}
        elif isinstance(called, ast.Attribute) and called.attr in OPTIONS:
            options = {called.attr: _written(node)} | options
        elif isinstance(called, ast.Name) and called.id == "optional":
            optional = True
            seconds = [_constant(keyword.value) for keyword in node.keywords if keyword.arg == "within"]
            within += tuple(value for value in seconds if isinstance(value, int | float))
    for child in ast.iter_child_nodes(node):
        # Options belong to the call that they follow, not to calls in its arguments.
        mine = options if isinstance(node, ast.Attribute) or child is getattr(node, "func", None) else {}
        yield from _steps(child, known, within, optional, mine)


def _declared(upstream: Upstream, name: str) -> tuple[str, Options]:
    method = getattr(type(upstream), name, None)
    tree = _tree(method) if method is not None else None
    verb, options = "", Options()
    for node in ast.walk(tree) if tree is not None else ():
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            called = node.func
            if called.attr in VERBS and isinstance(called.value, ast.Name) and called.value.id == "self":
                verb = called.attr.upper()
            elif called.attr in OPTIONS:
                options[called.attr] = _written(node)
    return verb, options


def _written(call: ast.Call) -> Written:
    named = {keyword.arg: _constant(keyword.value) for keyword in call.keywords if keyword.arg is not None}
    return Written(tuple(_constant(argument) for argument in call.args), named)


def _constant(node: ast.AST) -> Any:
    if isinstance(node, ast.JoinedStr):
        return "".join(
            f"{{{ast.unparse(one.value)}}}" if isinstance(one, ast.FormattedValue) else str(_constant(one))
            for one in node.values
        )
    return node.value if isinstance(node, ast.Constant) else None


def _tree(function: Callable[..., Any]) -> ast.AST | None:
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, SyntaxError, TypeError):
        return None
