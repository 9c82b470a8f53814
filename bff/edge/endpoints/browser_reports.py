"""`POST /bff/browser`: a page of this site reports when its mutations were painted, and web vitals of its screens.

A mutation is taken once, and only of the person whose command it was: the claim of the command proves it, and remembers
the report, so that a command costs nothing for it. What cannot be used is dropped and counted: unknown ids, another
person's ids, repeats, unknown routes, durations outside 0 to 60 s. The answer is 204 in each of these cases, because a
page can do nothing about them. Unknown members are ignored.

Everything is bounded: the body (MOST_BODY bytes), what one request reports (MOST_MUTATIONS, MOST_SCREENS), the requests
of one person or address (LIMIT).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from ...calls import Clock, Principal
from ...stores.claims import Claims
from ...stores.redis.client import StoreUnavailable
from ..declared import BROWSER
from ..http.request import BodyReader
from ..observe.browser import (
    MOST_MUTATIONS,
    MOST_SCREENS,
    PHASES,
    VITALS,
    BrowserMetrics,
    BrowserSpans,
    Painted,
    Result,
    Vital,
    click_of,
)
from ..problem import Problem
from .browser import NO_STORE
from .command import stored_key
from .guard import Access, Guard

LIMIT = "60/minute"
"""Requests of a person, or of an address without a session."""
MOST_BODY = 32_768
"""Bytes."""
LONGEST = 60.0
"""Seconds; a longer duration is dropped."""
OLDEST = 120.0
"""Seconds that a click may be past."""
_MOST_PATH = 2_048
_MOST_SHIFT = 100.0
_OUTCOMES = frozenset({"accepted", "confirmed", "compensated", "rejected"})
_ACCESS = Access(BROWSER, public=True, own_page=True, limit=LIMIT)
_Name = TypeVar("_Name", bound=str)


class BrowserReports:
    """The endpoint.

    route_of  the declared path that answers a method and path, None for no view or command
    prefix    the path of the public address, which browsers may name
    clock     Unix seconds
    """

    def __init__(
        self,
        guard: Guard,
        body: BodyReader,
        claims: Claims,
        metrics: BrowserMetrics,
        spans: BrowserSpans,
        *,
        route_of: Callable[[str, str], str | None],
        prefix: str = "",
        clock: Clock = time.time,
    ) -> None:
        self._guard = guard
        self._body = body
        self._claims = claims
        self._metrics = metrics
        self._spans = spans
        self._route_of = route_of
        self._prefix = prefix
        self._clock = clock

    async def respond(self, request: Request) -> Response:
        """204. Raises Problem 400 for a body that is not a JSON object, 413 and 429."""
        principal, limits = await self._guard.admit_limited(request.scope, _ACCESS)
        now = self._clock()
        report = _object(await self._body(request.scope, request.receive))
        for screen in self._first(report.get("screens"), MOST_SCREENS):
            self._metrics.count(self._take_screen(screen))
        mutations: dict[str, Painted] = {}
        for mutation in self._first(report.get("mutations"), MOST_MUTATIONS):
            painted = self._painted(mutation)
            if not isinstance(painted, Painted):
                self._metrics.count(painted)
            elif painted.id in mutations:
                self._metrics.count("repeated")
            else:
                mutations[painted.id] = painted
        if mutations:
            await self._take(principal, mutations, now)
        return Response(status_code=204, headers=NO_STORE | limits)

    def _first(self, found: object, most: int) -> Iterator[Mapping[str, Any]]:
        """The objects of a list, at most that many of them; what is not used is counted."""
        if found is None:
            return
        if not isinstance(found, list):
            self._metrics.count("invalid")
            return
        for one in found[:most]:
            if isinstance(one, dict):
                yield one
            else:
                self._metrics.count("invalid")
        for _ in found[most:]:
            self._metrics.count("surplus")

    def _take_screen(self, screen: Mapping[str, Any]) -> Result:
        route = self._route(screen, "GET")
        if route is None:
            return "unknown-route"
        values = _numbers(screen.get("vitals"), VITALS)
        vitals: dict[Vital, float] = {
            name: value if name == "cls" else value / 1000
            for name, value in values.items()
            if value <= (_MOST_SHIFT if name == "cls" else LONGEST * 1000)
        }
        if not vitals:
            return "invalid"
        self._metrics.take_vitals(route, vitals)
        return "taken"

    def _painted(self, mutation: Mapping[str, Any]) -> Painted | Result:
        id, method, outcome = mutation.get("id"), mutation.get("method"), mutation.get("outcome")
        if not isinstance(id, str) or click_of(id) is None or not isinstance(method, str):
            return "invalid"
        age = _number(mutation.get("age"))
        found = _numbers(mutation.get("phases"), PHASES)
        phases = {name: value for name, value in found.items() if value <= LONGEST * 1000}
        # What is said to be painted after the report was sent cannot be true.
        if age is None or not phases or not max(phases.values()) <= age <= OLDEST * 1000:
            return "invalid"
        route = None if method == "GET" else self._route(mutation, method)
        if route is None:
            return "unknown-route"
        known = outcome if isinstance(outcome, str) and outcome in _OUTCOMES else None
        # Only the first paint may come from Event Timing, which says when its frame was on the screen: what followed
        # was not there before it. The names are in the order of PHASES.
        reached = accumulate(phases.values(), max)
        seconds = {name: value / 1000 for name, value in zip(phases, reached, strict=True)}
        return Painted(id, method, route, age / 1000, seconds, known)

    def _route(self, reported: Mapping[str, Any], method: str) -> str | None:
        path = reported.get("path")
        if not isinstance(path, str) or len(path) > _MOST_PATH:
            return None
        return self._route_of(method, path.partition("?")[0].removeprefix(self._prefix))

    async def _take(self, principal: Principal | None, mutations: Mapping[str, Painted], now: float) -> None:
        """Take those that are commands of this person and were not reported before."""
        if principal is None:
            # Nobody has given a command.
            for _ in mutations:
                self._metrics.count("unknown")
            return
        keys = [stored_key(principal, one.method, one.route, one.id) for one in mutations.values()]
        try:
            firsts = await self._claims.report(principal.id, keys)
        except StoreUnavailable:
            for _ in mutations:
                self._metrics.count("unavailable")
            raise
        for painted, first in zip(mutations.values(), firsts, strict=True):
            if first:
                self._metrics.count("taken")
                self._metrics.take(painted)
                self._spans.take(painted, round(now * 1e9))
            else:
                self._metrics.count("unknown" if first is None else "repeated")


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        report: Any = json.loads(body, parse_constant=_refuse)
    except (ValueError, RecursionError):
        report = None
    if not isinstance(report, dict):
        raise Problem(400, "invalid-request", "The body is not a JSON object.")
    return report


def _refuse(constant: str) -> None:
    """NaN and Infinity, which Python reads, are not JSON."""
    raise ValueError(constant)


def _numbers(found: object, names: tuple[_Name, ...]) -> dict[_Name, float]:
    """The members with these names that are numbers of 0 or more."""
    if not isinstance(found, dict):
        return {}
    return {name: value for name in names if (value := _number(found.get(name))) is not None}


def _number(value: object) -> float | None:
    """None for anything but a finite number of 0 or more."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        return None
    return value
