"""`bff routes`: every route, who may use it, its deadline and limit, and the upstream calls it makes."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from typing import Any, get_args, get_type_hints

from ..calls import Raw, Upstream
from ..edge.gateway import Gateway


def table(gateway: Gateway) -> str:
    """Aligned text, a block for each route."""
    lines: list[str] = []
    for view in gateway.views.values():
        lines.append(_head("GET", view.path, "public" if view.public else "login", view.deadline, view.limit))
        lines += _calls(view.function)
    for command in gateway.commands.values():
        lines.append(_head("POST", command.path, "login", command.deadline, command.limit))
        if command.starts is not None:
            lines.append(f"        saga      {command.starts.name}")
        lines += _calls(command.function)
    for value in gateway.values.values():
        lines.append(f"VALUE {value.template:<42} {'public' if value.public else 'login'}")
    for upstream in gateway.upstreams():
        owner = upstream.owner
        lines.append(f"FROM  {owner.service:<42} {owner.team} {owner.contact}")
    return "\n".join(lines)


def _head(method: str, path: str, who: str, deadline: float, limit: str | None) -> str:
    return f"{method:<5} {path:<42} {who:<7} deadline {deadline:g} s  limit {limit or 'default'}"


def _calls(function: Any) -> list[str]:
    """The calls that the function's own text names, optional ones marked. What it reaches through other functions is
    not followed."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, SyntaxError):
        return []
    known = {
        name: one for name, one in inspect.unwrap(function).__globals__.items() if isinstance(one, Upstream)
    }
    inside = {id(call) for call in _optional(tree)}
    lines = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            target = node.func.value
            if isinstance(target, ast.Name) and target.id in known:
                kind = "optional" if id(node) in inside else "required"
                upstream = known[target.id]
                owner = upstream.owner
                whole = "  RAW: passed on whole" if passes_whole(upstream, node.func.attr) else ""
                lines.append(
                    f"        {kind}  {owner.service}.{node.func.attr}  ({owner.team} {owner.contact}){whole}"
                )
    return lines


def passes_whole(upstream: Upstream, method: str) -> bool:
    """Whether the method says `Call[Raw]`: what its service answers reaches the browser unseen."""
    try:
        returns = get_type_hints(getattr(type(upstream), method)).get("return")
    except (AttributeError, NameError, TypeError):
        return False
    return get_args(returns) == (Raw,)


def _optional(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "optional":
            for argument in node.args:
                yield from ast.walk(argument)
