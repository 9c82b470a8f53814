"""Finds the route of a request without trying each one: a look-up for paths without parameters, and one regular
expression for all others. It decides nothing itself: the route it names is the first that Starlette's router would use.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from starlette.routing import BaseRoute, Route

_NAME = re.compile(r"\?P<\w+>")


class RouteTable:
    """routes: in the order in which they are tried. Only those before the first that is no plain `Route` are found."""

    def __init__(self, routes: Iterable[BaseRoute]) -> None:
        by_method: dict[str, list[Route]] = {}
        for route in routes:
            if type(route) is not Route or route.methods is None:
                break
            for method in route.methods:
                by_method.setdefault(method, []).append(route)
        self._methods = {method: _Paths(found) for method, found in by_method.items()}

    def find(self, method: str, path: str) -> Route | None:
        """None: ask the router, which also knows why there is none."""
        paths = self._methods.get(method)
        return None if paths is None else paths.find(path)


class _Paths:
    """The routes of one method."""

    def __init__(self, routes: list[Route]) -> None:
        self._routes: dict[int, Route] = {}
        self._fixed: dict[str, Route] = {}
        patterns: list[str] = []
        groups = 0
        for route in routes:
            if not route.param_convertors and not patterns:
                # Behind a route with parameters, which may take the same path, the expression decides about both.
                self._fixed.setdefault(route.path, route)
                continue
            pattern = _NAME.sub("", route.path_regex.pattern)
            # An empty group at the end of each alternative says which one matched.
            patterns.append(f"{pattern}()")
            groups += re.compile(pattern).groups + 1
            self._routes[groups] = route
        self._pattern = re.compile("|".join(patterns)) if patterns else None

    def find(self, path: str) -> Route | None:
        route = self._fixed.get(path)
        if route is not None or self._pattern is None:
            return route
        match = self._pattern.match(path)
        return None if match is None or match.lastindex is None else self._routes[match.lastindex]
