"""Which caller gets which answer on every route. The routes are read from the running gateway, so a route without an
expectation fails.

Expectations for views and commands follow from their declarations; each builtin address is listed here.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
from starlette.routing import Mount, Route

from bff.edge.app.build import App
from bff.edge.declared import Declarations, Forward
from bff.edge.declared import Route as DeclaredRoute

CALLERS = (
    "nobody",
    "expired",
    "wrong audience",
    "wrong scope",
    "wrong role",
    "other user",
    "right user",
    "right user's session",
    "ended session",
)
UNSAFE = ("POST", "PUT", "PATCH", "DELETE")
ENDS = (("POST", "/bff/logout"), ("DELETE", "/bff/sessions"))
SIGN_IN = ("/bff/login", "/bff/callback", "/bff/backchannel-logout")
REFUSED = {"nobody": 401, "expired": 401, "wrong audience": 401, "ended session": 401}
"""The answer of the first four callers wherever sign-in is required."""

Expected = Mapping[str, frozenset[int]]


def everyone(*statuses: int) -> Expected:
    """The same answer for every caller."""
    return dict.fromkeys(CALLERS, frozenset(statuses))


def signed_in(*statuses: int, scope: bool, role: bool, other: int | None = None) -> Expected:
    """scope, role: whether one is required; other: the answer for another person where the thing belongs to the right
    user."""
    found = {caller: frozenset(statuses) for caller in CALLERS}
    found |= {caller: frozenset({status}) for caller, status in REFUSED.items()}
    if other is not None:
        found["other user"] = frozenset({other})
    if scope:
        found["wrong scope"] = frozenset({403})
    if role:
        found["wrong role"] = frozenset({403})
    return found


@dataclass(frozen=True)
class Example:
    """How to ask a route for something that exists. good: the right user's answer; other: another person's answer where
    the thing belongs to the right user, else None."""

    url: str
    good: tuple[int, ...] = (200,)
    other: int | None = None
    json: Any = None
    query: Mapping[str, str] = field(default_factory=dict)


def routes(runtime: App) -> Iterator[tuple[str, str]]:
    """Method and path of everything that the public port answers."""
    for route in runtime.routes:
        if isinstance(route, Route):
            for method in sorted(route.methods or {"GET"}):
                yield method, route.path
        elif isinstance(route, Mount):
            yield "GET", route.path
        else:
            raise AssertionError(f"a kind of route that is not known here: {route}")


def declared(gateway: Declarations, method: str, path: str) -> DeclaredRoute | Forward | None:
    method = "GET" if method == "HEAD" else method
    forwards = (one for one in gateway.forwards if one.path == path and method in one.methods)
    routes = (one for one in gateway.routes if (one.method, one.path) == (method, path))
    return next(routes, None) or next(forwards, None)


def expected(gateway: Declarations, method: str, path: str, example: Example) -> Expected | None:
    """The expected answer for each caller; None for an address that is not listed."""
    route = declared(gateway, method, path)
    if route is not None and route.public:
        found = dict(everyone(*example.good))
        if isinstance(route, DeclaredRoute) and route.binding.takes_principal:
            # It is told who asks, so an invalid token is refused, not treated as anonymous.
            found |= {caller: frozenset({401}) for caller in ("expired", "wrong audience")}
        return found
    if route is not None:
        requirements = route.requirements
        return signed_in(
            *example.good, scope=bool(requirements.scopes), role=bool(requirements.roles), other=example.other
        )
    requirements = gateway.requirements
    if path in ("/bff/live", "/bff/live/snapshot", "/bff/sagas/{type}/{id}"):
        return signed_in(
            *example.good, scope=bool(requirements.scopes), role=bool(requirements.roles), other=example.other
        )
    if path in ("/bff/sessions", "/bff/sessions/{id}"):
        # A token has no sessions.
        found = dict(signed_in(403, scope=False, role=False))
        return found | {"right user's session": frozenset({404 if "{" in path else 200})}
    if path == "/bff/user":
        return signed_in(200, scope=False, role=False)
    # Public, or protected by a signature or code instead of a sign-in.
    own = {
        "/livez": 200,
        "/readyz": 200,
        "/openapi.json": 200,
        "/asyncapi.json": 200,
        "/bff/events.schema.json": 200,
        "/docs": 200,
        "/docs/problems": 200,
    }
    own |= {"/docs/style.css": 200, "/bff/login": 303, "/bff/callback": 400, "/bff/backchannel-logout": 400}
    own |= {f"{path}/{{provider}}": own[path] for path in SIGN_IN}
    if path in ("/bff/changes/{source}", "/bff/events/{source}"):
        # Only a signature authorizes; OPTIONS asks whether the source may send.
        return everyone(204 if method == "OPTIONS" else 401)
    if path == "/bff/logout":
        # HEAD must not use up an address that works once.
        return everyone({"GET": 303, "HEAD": 405}.get(method, 200))
    if path in own:
        return everyone(own[path])
    page = gateway.page
    if page is not None and (path in page.paths or path in page.folders):
        return everyone(200)
    return None


async def wrongs(
    runtime: App,
    client: httpx.AsyncClient,
    callers: Mapping[str, Mapping[str, str]],
    examples: Mapping[str, Example],
) -> tuple[int, list[str]]:
    """Ask every route as every caller. Returns how many answers there were, and a line for each that differs from the
    expectation."""
    gateway, asks, wrong = runtime.declared, 0, []
    for method, path in routes(runtime):
        example = examples.get(path, Example(path))
        expects = expected(gateway, method, path, example)
        if expects is None:
            wrong.append(f"{method} {path} is new: list which callers may use it")
            continue
        if "{" in example.url:
            wrong.append(f"{method} {path} needs an example")
            continue
        for caller in CALLERS:
            if (method, path) in ENDS and caller == "right user's session":
                continue  # It would end the session that the other callers need; the sign-in tests cover it.
            headers = dict(callers[caller])
            if method in UNSAFE and isinstance(declared(gateway, method, path), DeclaredRoute):
                headers["idempotency-key"] = f'"{uuid.uuid4()}"'
            status, said = await asked(client, method, example, headers)
            asks += 1
            if status not in expects[caller]:
                wrong.append(f"{method} {path} for {caller}: {status}, not {set(expects[caller])} {said}")
    return asks, wrong


async def asked(
    client: httpx.AsyncClient, method: str, example: Example, headers: Mapping[str, str]
) -> tuple[int, str]:
    """The status and, of a problem, its code; an open stream is closed at once."""
    async with client.stream(
        method, example.url, params=example.query or None, json=example.json, headers=dict(headers)
    ) as answer:
        problem = answer.headers.get("content-type", "") == "application/problem+json"
        return answer.status_code, (await answer.aread()).decode() if problem else ""
