"""The way of a POST: session → csrf → bind → claim and limits in one round trip → replay, 409, 422, or your function →
outcome stored.

A claimed command belongs to the gateway, not to the client's connection: it is carried out and its outcome stored
even when the client goes away, and whoever comes back with the same key gets that outcome.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from starlette.types import Receive, Scope, Send

from .. import calls
from ..calls import Deadline, Ledger
from ..policies.idempotency import fingerprint, key_hash
from ..policies.rate import Spent
from ..stores.claims import Busy, Claimed, Mismatch, New, Replay, Ticket
from ..stores.redis.link import StoreUnavailable
from .access import csrf
from .access.permit import permit
from .carry import Carrying, Finished, Writes, in_flight
from .http.body import read_body
from .idempotent import idempotency_key
from .problem import Problem
from .screens import unauthenticated

if TYPE_CHECKING:
    from .declared import Command
    from .runtime import Runtime

# Replays, duplicates and mismatches spend this many times the route's own limit.
CEILING = 20


class CommandRoute:
    """An ASGI endpoint for one command."""

    def __init__(self, command: Command, runtime: Runtime) -> None:
        self._command = command
        self._runtime = runtime

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        command, runtime = self._command, self._runtime
        scope["bff.route"] = command.path
        deadline = Deadline.after(command.deadline)
        principal = await runtime.authenticate(scope)
        if principal is None:
            raise unauthenticated()
        permit(principal, command.needs)
        csrf.check(scope, principal, runtime.settings.public_url)
        try:
            key = idempotency_key(scope)
            body = await read_body(scope, receive, runtime.settings)
            if command.binding.body is not None:
                _require_json(scope)
            arguments = command.binding.arguments(
                scope["path_params"], scope["query_string"], body, principal
            )
        except Problem as invalid:
            await self._charge(scope, principal, invalid)
            raise
        ticket = self._ticket(scope, principal, key, body)
        claimed, spent = await self._claim(scope, principal, ticket)
        limits = runtime.limits.told(spent)
        if not isinstance(claimed, New):
            await _send(send, _known(claimed), {"idempotency-replayed": "true"})
            return
        writes = Writes(runtime.reads.runner)
        request = calls.Scope(
            deadline,
            writes,
            scope["bff.correlation"],
            principal,
            mutation=key,
            ledger=Ledger(),
            safe=command.safe,
            contacts=runtime.contacts.on(scope),
        )
        carrying = Carrying(command, runtime, ticket, request, writes)
        work = runtime.own(carrying(arguments), f"command {command.path}")
        await _send(send, await asyncio.shield(work), limits)

    async def _charge(self, scope: Scope, principal: calls.Principal, invalid: Problem) -> None:
        """A command that cannot be read is no command, and spends what repeats do. Raises Problem 429 in its place."""
        limits, command = self._runtime.limits, self._command
        who = limits.caller(scope, principal)
        with contextlib.suppress(StoreUnavailable):
            invalid.headers |= await limits.spend(command.path, command.limit, who, times=CEILING)

    def _ticket(self, scope: Scope, principal: calls.Principal, key: str, body: bytes) -> Ticket:
        command, settings = self._command, self._runtime.settings.idempotency
        raw: bytes = scope.get("raw_path") or scope["path"].encode()
        return Ticket(
            principal.id,
            key_hash(
                issuer=principal.issuer,
                subject=principal.subject,
                client=str(principal.claims.get("client_id", "")),
                method="POST",
                route=command.path,
                key=key,
            ),
            fingerprint(
                method="POST",
                raw_path=raw,
                query=scope["query_string"],
                content_type=_header(scope, b"content-type"),
                body=body,
            ),
            self._runtime.claims.holder(),
            settings.lease,
            settings.keep,
        )

    async def _claim(
        self, scope: Scope, principal: calls.Principal, ticket: Ticket
    ) -> tuple[Claimed, list[Spent]]:
        command, runtime = self._command, self._runtime
        limits, path = runtime.limits, command.path
        who = limits.caller(scope, principal)
        try:
            return await runtime.claims.claim(
                ticket,
                safe=command.safe,
                new=limits.buckets(path, command.limit, who),
                repeat=limits.buckets(path, command.limit, who, times=CEILING),
            )
        except BaseException as error:
            # It may yet be made, for nobody: Redis was slow, or the client left.
            if isinstance(error, StoreUnavailable | asyncio.CancelledError):
                runtime.orphans.add(ticket)
            raise


def _known(claimed: Claimed) -> Finished:
    """The stored answer of a claim that is not new; raises the Problem that explains the other cases."""
    match claimed:
        case Replay(status, headers, body):
            return Finished(status, headers, body)
        case Busy(retry_after):
            raise in_flight(retry_after)
        case Mismatch():
            raise Problem(
                422,
                "idempotency-mismatch",
                "This key came with another body or address before. Use a new key for a new command.",
            )
    raise Problem(
        409,
        "idempotency-unknown",
        "It was begun, and it cannot be known whether all of it was done. Look at the state of what it was to change "
        "before you try again with a new key.",
    )


async def _send(send: Send, answer: Finished, extra: dict[str, str]) -> None:
    headers = (
        dict(answer.headers) | {"cache-control": "no-store", "content-length": str(len(answer.body))} | extra
    )
    pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": pairs})
    await send({"type": "http.response.body", "body": answer.body, "more_body": False})


def _require_json(scope: Scope) -> None:
    media = _header(scope, b"content-type").partition(";")[0].strip().lower()
    if media != "application/json" and not media.endswith("+json"):
        raise Problem(
            415, "unsupported-media-type", f"Send the body as application/json, not {media or 'nothing'}."
        )


def _header(scope: Scope, name: bytes) -> str:
    return next((value.decode("latin-1") for given, value in scope["headers"] if given == name), "")
