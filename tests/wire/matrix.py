"""Who gets what, for every route of a gateway: the table is read off the running gateway, so that a route nobody
thought of has no expectation and fails.

What a view or a command owes to whom follows from its declaration; each address of the gateway's own is classed here.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
from starlette.routing import Mount, Route

from bff.edge.app.build import App
from bff.edge.declared import Declarations
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
REFUSED = {"nobody": 401, "expired": 401, "wrong audience": 401, "ended session": 401}
"""What the first four get wherever somebody has to be somebody."""

Expected = Mapping[str, frozenset[int]]


def everyone(*statuses: int) -> Expected:
    """The same for whoever asks."""
    return dict.fromkeys(CALLERS, frozenset(statuses))


def signed_in(*statuses: int, scope: bool, role: bool, other: int | None = None) -> Expected:
    """scope, role: whether one is needed; other: what somebody else gets where the thing is the right user's own."""
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
    """How to ask a route for something that is there. good: what the right user gets; other: what somebody else gets
    where it is the right user's own, None where it is nobody's."""

    url: str
    good: tuple[int, ...] = (200,)
    other: int | None = None
    json: Any = None
    query: Mapping[str, str] = field(default_factory=dict)


def routes(runtime: App) -> Iterator[tuple[str, str]]:
    """Method and path of everything the public port answers."""
    for route in runtime.routes:
        if isinstance(route, Route):
            for method in sorted(route.methods or {"GET"}):
                yield method, route.path
        elif isinstance(route, Mount):
            yield "GET", route.path
        else:
            raise AssertionError(f"a kind of route that is not known here: {route}")


def declared(gateway: Declarations, method: str, path: str) -> DeclaredRoute | None:
    return gateway.commands.get(path) if method == "POST" else gateway.views.get(path)


def expected(gateway: Declarations, method: str, path: str, example: Example) -> Expected | None:
    """What each caller gets; None for an address nobody has classed."""
    route = declared(gateway, method, path)
    if route is not None and route.public:
        found = dict(everyone(*example.good))
        if route.binding.who is not None:
            # It looks at who asks, and a token that is no good is not taken for nobody.
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
    if path == "/bff/user":
        return signed_in(200, scope=False, role=False)
    # Open to all by their nature, or guarded by a signature or a code of their own.
    own = {
        "/livez": 200,
        "/readyz": 200,
        "/openapi.json": 200,
        "/asyncapi.json": 200,
        "/docs": 200,
        "/docs/problems": 200,
    }
    own |= {"/docs/style.css": 200, "/bff/login": 303, "/bff/callback": 400, "/bff/backchannel-logout": 400}
    if path in ("/bff/changes/{source}", "/bff/events/{source}"):
        # A signature lets in, and nothing else; whoever wants to send may ask whether it is heard.
        return everyone(204 if method == "OPTIONS" else 401)
    if path == "/bff/logout":
        # Whoever only looks (HEAD) must not use up an address that is good once.
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
    """Ask every route as every caller; how many answers there were, and a line for each that is not as declared."""
    gateway, asks, wrong = runtime.declared, 0, []
    for method, path in routes(runtime):
        example = examples.get(path, Example(path))
        expects = expected(gateway, method, path, example)
        if expects is None:
            wrong.append(f"{method} {path} is new: say who may have it")
            continue
        if "{" in example.url:
            wrong.append(f"{method} {path} needs an example")
            continue
        for caller in CALLERS:
            if (method, path) == ("POST", "/bff/logout") and caller == "right user's session":
                continue  # it would end the session the others need; the sign-in tests show it
            headers = dict(callers[caller])
            if method == "POST" and declared(gateway, method, path):
                headers["idempotency-key"] = f'"{uuid.uuid4()}"'
            status, said = await asked(client, method, example, headers)
            asks += 1
            if status not in expects[caller]:
                wrong.append(f"{method} {path} for {caller}: {status}, not {set(expects[caller])} {said}")
    return asks, wrong


async def asked(
    client: httpx.AsyncClient, method: str, example: Example, headers: Mapping[str, str]
) -> tuple[int, str]:
    """The status and, of a problem, what it says; an open stream is left at once."""
    async with client.stream(
        method, example.url, params=example.query or None, json=example.json, headers=dict(headers)
    ) as answer:
        problem = answer.headers.get("content-type", "") == "application/problem+json"
        return answer.status_code, (await answer.aread()).decode() if problem else ""
