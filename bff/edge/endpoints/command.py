"""A command: guard → arguments → claim and limits in one round trip → replay, 409, 422, or your function → outcome
stored.

A claimed command belongs to the gateway, not to the client's connection: it is carried out and its outcome stored
even when the client goes away, and whoever comes back with the same key gets that outcome.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, replace

from starlette.types import Receive, Scope, Send

from ... import calls
from ...calls import Deadline, Ledger
from ...policies.idempotency import fingerprint, key_hash
from ...policies.rate import Spent
from ...stores.claims import Busy, Claimed, Mismatch, New, Replay, Ticket
from ...stores.redis.client import StoreUnavailable
from ..declared import Command
from ..http.request import BodyReader
from ..problem import Problem
from ..rate_limiter import RateLimiter
from ..state import state_of
from .abandoned import AbandonedClaims
from .execution import CommandExecution, ExecutionServices, Finished, Spawn, Writes, in_flight
from .guard import Access, Guard
from .idempotency_key import idempotency_key

# Replays, duplicates and mismatches spend this many times the route's own limit.
CEILING = 20


@dataclass(frozen=True, slots=True)
class CommandServices:
    """What a command uses. spawn: makes a task that goes on when the client has left; runner: what its calls go
    through; abandoned: where claims go that nobody heard of; lease, keep: seconds of a claim and of its outcome."""

    guard: Guard
    limits: RateLimiter
    body: BodyReader
    runner: calls.Runner
    spawn: Spawn
    abandoned: AbandonedClaims
    execution: ExecutionServices
    lease: float
    keep: float


class CommandEndpoint:
    """An ASGI endpoint for one command."""

    def __init__(self, command: Command, services: CommandServices) -> None:
        self._command = command
        self._services = services
        self._access = Access(command.path, command.requirements, limit=command.limit)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        command, services = self._command, self._services
        deadline = Deadline.after(command.deadline)
        principal = await services.guard.admit_somebody(scope, self._access)
        try:
            key = idempotency_key(scope)
            body = await services.body(scope, receive)
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
        limits = services.limits.told(spent)
        if not isinstance(claimed, New):
            await _send(send, _known(claimed), {"idempotency-replayed": "true"})
            return
        writes = Writes(services.runner)
        request = calls.Scope(
            deadline,
            writes,
            state_of(scope).correlation,
            principal,
            mutation=key,
            ledger=Ledger(),
            safe=command.safe,
            contacts=services.execution.contacts.on(scope),
        )
        execution = CommandExecution(command, services.execution, ticket, request, writes)
        work = services.spawn(execution(arguments), f"command {command.path}")
        await _send(send, await asyncio.shield(work), limits)

    async def _charge(self, scope: Scope, principal: calls.Principal, invalid: Problem) -> None:
        """A command that cannot be read is no command, and spends what repeats do. Raises Problem 429 in its place."""
        repeats = replace(self._access, times=CEILING)
        with contextlib.suppress(StoreUnavailable):
            invalid.headers |= await self._services.guard.spend(scope, principal, repeats)

    def _ticket(self, scope: Scope, principal: calls.Principal, key: str, body: bytes) -> Ticket:
        command, services = self._command, self._services
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
            services.execution.claims.new_holder(),
            services.lease,
            services.keep,
        )

    async def _claim(
        self, scope: Scope, principal: calls.Principal, ticket: Ticket
    ) -> tuple[Claimed, list[Spent]]:
        command, services = self._command, self._services
        limits, path = services.limits, command.path
        who = limits.caller(scope, principal)
        try:
            return await services.execution.claims.claim(
                ticket,
                safe=command.safe,
                new=limits.buckets(path, command.limit, who),
                repeat=limits.buckets(path, command.limit, who, times=CEILING),
            )
        except BaseException as error:
            # It may yet be made, for nobody: Redis was slow, or the client left.
            if isinstance(error, StoreUnavailable | asyncio.CancelledError):
                services.abandoned.add(ticket)
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
