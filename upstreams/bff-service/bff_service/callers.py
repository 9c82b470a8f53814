"""Who calls an endpoint, as FastAPI dependencies: a person, or a service with a scope; whose thing it is and which
click it was made for. Guarantees that what a header says is never believed against a token. Refuses whoever has no
token (401) or may not do this (403).

    Saga = Annotated[Caller, Depends(RequireScope("saga"))]
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends
from fastapi.security import HTTPBearer
from starlette.requests import Request

from bff_service.problems import Problem, Refusal
from bff_service.tokens import Caller

OWNER_MISMATCH = Refusal(403, "owner-mismatch", "BFF-Owner is not who the token says.")
_SCHEME = HTTPBearer(bearerFormat="JWT", scheme_name="token", auto_error=False)


async def _authenticated(request: Request, _described: Annotated[object, Depends(_SCHEME)]) -> Caller:
    caller: Caller = await request.app.state.service.verifier.caller(request.headers.get("authorization", ""))
    return caller


Authenticated = Annotated[Caller, Depends(_authenticated)]
"""Whoever has a token that this service takes."""


class RequireScope:
    """A dependency: callers whose token has this scope; with `or_person` people, too (the endpoint then looks at whose
    thing it is). Without a scope: people alone."""

    def __init__(self, scope: str | None = None, *, or_person: bool = False) -> None:
        self._scope = scope
        self._people = or_person or scope is None

    async def __call__(self, caller: Authenticated) -> Caller:
        if self._scope is not None and self._scope in caller.scopes:
            return caller
        if self._people and caller.is_person:
            return caller
        raise Problem(403, "forbidden", "This token may not do that.")


Person = Annotated[Caller, Depends(RequireScope())]
"""A person; no service of its own right."""


async def _owner(request: Request, caller: Person) -> str:
    if request.headers.get("bff-owner", caller.header_id) != caller.header_id:
        raise OWNER_MISMATCH.problem()
    return caller.id


Owner = Annotated[str, Depends(_owner)]
"""The id of the person whose thing this is, `<iss>|<sub>`; 403 where `BFF-Owner` names another."""


async def _mutation(request: Request, caller: Authenticated) -> str | None:
    # What a header says is only a hint where a token says it, too.
    return caller.mutation if caller.by_gateway else request.headers.get("bff-mutation")


Mutation = Annotated[str | None, Depends(_mutation)]
"""The click that the request was made for, as the gateway names it; None where it names none."""
