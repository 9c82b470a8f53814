"""The gateway of these tests with routes that need a role or a scope, for tests with real identity providers."""

from __future__ import annotations

from pydantic import BaseModel

from bff import Gateway, Principal
from bff.edge.settings import Settings

from .gateway import declare


class Rights(BaseModel):
    """What the gateway knows of a caller. client: the client of a bearer token."""

    id: str
    client: str | None
    scopes: list[str]
    roles: list[str]


class Note(BaseModel):
    text: str


def _rights(who: Principal) -> Rights:
    return Rights(
        id=who.id, client=who.claims.get("client_id"), scopes=sorted(who.scopes), roles=sorted(who.roles)
    )


def declare_roles(settings: Settings | None = None) -> Gateway:
    """Routes that need a role. The names are those of the providers in the tests: `clerk` is a role of a whole realm,
    `auditor` one at the API, `editor` one at the client of the browser sign-in."""
    gateway = declare(settings)

    @gateway.view("/api/rights")
    async def rights(who: Principal) -> Rights:
        return _rights(who)

    @gateway.view("/api/clerks", roles=("clerk",))
    async def clerks(who: Principal) -> Rights:
        return _rights(who)

    @gateway.view("/api/auditors", roles=("auditor",))
    async def auditors(who: Principal) -> Rights:
        return _rights(who)

    @gateway.view("/api/editors", roles=("editor",))
    async def editors(who: Principal) -> Rights:
        return _rights(who)

    return gateway


def declare_guarded(settings: Settings | None = None) -> Gateway:
    """Routes that need a role or scopes."""
    gateway = declare_roles(settings)

    @gateway.view("/api/notes", scopes=("desk.read",))
    async def read_notes(who: Principal) -> Rights:
        return _rights(who)

    @gateway.command("/api/notes", scopes=("desk.read", "desk.write"))
    async def write_note(note: Note, who: Principal) -> Rights:
        return _rights(who)

    return gateway


served_roles = declare_roles()
served = declare_guarded()
"""For `bff serve tests.wire.guarded:served`, where sign-in asks for the scopes; and where it does not."""
