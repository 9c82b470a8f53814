"""The way of a POST: session → csrf → bind → claim → limits → replay or your function → outcome stored.

A claimed command belongs to the gateway, not to the client's connection: it is carried out and its outcome stored
even when the client goes away, and whoever comes back with the same key gets that outcome.
"""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from starlette.types import Receive, Scope, Send

from .. import calls
from ..calls import CircuitOpen, Deadline, Ledger, Overloaded, Refused, SagaStatus, UpstreamError
from ..policies.idempotency import fingerprint, key_hash
from ..stores.claims import Busy, Claimed, Mismatch, New, Replay, StoredAnswer, Ticket
from ..stores.link import StoreUnavailable
from . import telemetry
from .access import csrf
from .access.permit import permit
from .body import read_body
from .idempotent import idempotency_key
from .problem import Problem, problem_of
from .respond import to_json
from .screens import GRACE, unauthenticated

if TYPE_CHECKING:
    from .declared import Command
    from .runtime import Runtime

log = logging.getLogger("bff.edge")

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
        key = idempotency_key(scope)
        body = await read_body(scope, receive, runtime.settings.max_body)
        if command.binding.body is not None:
            _require_json(scope)
        arguments = command.binding.arguments(scope["path_params"], scope["query_string"], body, principal)
        claimed = await self._claim(scope, principal, key, body)
        who = runtime.who(scope, principal)
        if not isinstance(claimed, New):
            await runtime.limits.spend(f"{command.path} (repeats)", command.limit, who, times=CEILING)
            await _send(send, _known(claimed), {"idempotency-replayed": "true"})
            return
        ticket = claimed.ticket
        try:
            limits = await runtime.limits.spend(command.path, command.limit, who)
        except BaseException:
            await self._give_up(ticket, sent=False)
            raise
        request = calls.Scope(
            deadline,
            runtime.reads.runner,
            scope["bff.correlation"],
            principal,
            mutation=key,
            ledger=Ledger(),
            safe=command.safe,
        )
        work = runtime.own(self._carry_out(ticket, request, arguments), f"command {command.path}")
        await _send(send, await asyncio.shield(work), limits)

    async def _claim(self, scope: Scope, principal: calls.Principal, key: str, body: bytes) -> Claimed:
        command, settings = self._command, self._runtime.settings.idempotency
        raw: bytes = scope.get("raw_path") or scope["path"].encode()
        return await self._runtime.claims.claim(
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
            str(uuid.uuid4()),
            lease=settings.lease,
            ttl=settings.keep,
            safe=command.safe,
        )

    async def _carry_out(self, ticket: Ticket, request: calls.Scope, arguments: dict[str, Any]) -> Finished:
        """Run the function while the claim's lease is kept alive; store what came of it, or say why nothing did."""
        command = self._command
        async with _Heart(self._runtime, ticket):
            try:
                result = await self._run(request, arguments)
            except Refused as error:
                problem = problem_of(error)
                if problem.status >= 500:
                    await self._give_up(ticket, sent=True)
                    raise problem from error
                # The service has said no for good: the same key gets the same no.
                return await self._store(ticket, self._refusal(problem, request), None)
            except UpstreamError as error:
                await self._give_up(ticket, sent=not isinstance(error, CircuitOpen | Overloaded))
                raise problem_of(error) from error
            except TimeoutError:
                await self._give_up(ticket, sent=True)
                raise Problem(
                    504, "timeout", f"The command took longer than its {command.deadline:g} s; send it again."
                ) from None
            except Problem:
                await self._give_up(ticket, sent=False)
                raise
            except BaseException:
                await self._give_up(ticket, sent=True)
                raise
            if command.starts is not None and isinstance(result, SagaStatus):
                # A command that moves a saga does not become the one that began it.
                known = {"type": command.starts.name, "mutation": result.mutation or request.mutation}
                saga = result.model_copy(update=known)
                # The gateway may be mounted below a prefix: its own address knows.
                prefix = urlsplit(self._runtime.settings.public_url).path
                return await self._store(ticket, _started(saga, request.mutation, prefix), saga)
            body = to_json(command.binding.returns, result)
            return await self._store(
                ticket, StoredAnswer(200, (("content-type", "application/json"),), body), None
            )

    async def _run(self, request: calls.Scope, arguments: dict[str, Any]) -> Any:
        try:
            with calls.opened(request), request.alarm.limit(request.deadline.left() + GRACE):
                return await self._command.function(**arguments)
        finally:
            # Before anybody hears of it, and whatever came of it: a failure may have changed something, too.
            if request.principal is not None:
                tags = [tag.format_map(arguments) for tag in self._command.changes]
                await self._runtime.reads.changes.changed_by(request.principal.id, tags)

    async def _store(self, ticket: Ticket, answer: StoredAnswer, saga: SagaStatus | None) -> Finished:
        if len(answer.body_head) > self._runtime.settings.idempotency.max_body:
            raise Problem(500, "internal", "The command's answer is too large to be kept for a replay.")
        try:
            done = await asyncio.shield(
                self._runtime.claims.complete(ticket, answer, saga, telemetry.traceparent())
            )
        except StoreUnavailable as error:
            raise Problem(
                503,
                "unavailable",
                "The command was carried out, but its outcome could not be kept. Send it again with the same key.",
                retry_after=2,
            ) from error
        if done is None:
            # This holder was too slow and another one carries the command out: its answer is the one to give.
            raise _in_flight(self._runtime.settings.idempotency.lease)
        return Finished(answer.status, answer.headers, done.body)

    def _refusal(self, problem: Problem, request: calls.Scope) -> StoredAnswer:
        body = problem.body(
            correlation_id=request.correlation_id,
            trace_id=telemetry.trace_id(),
            base=self._runtime.settings.public_url,
        )
        return StoredAnswer(problem.status, tuple(problem.response_headers().items()), body)

    async def _give_up(self, ticket: Ticket, *, sent: bool) -> None:
        """Nothing is stored. Where trying again is safe the key is free at once; else its outcome is unknown."""
        claims = self._runtime.claims
        step = claims.release if self._command.safe or not sent else claims.mark_unknown
        try:
            await asyncio.shield(step(ticket))
        except StoreUnavailable as error:
            # The claim's lease runs out by itself, and what went wrong before is what the client must hear.
            log.warning("a claim could not be given up: %s", error)


@dataclass(frozen=True, slots=True)
class Finished:
    """What is sent: the answer just stored, or one stored before."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class _Heart:
    """Keeps a claim's lease while its command runs."""

    def __init__(self, runtime: Runtime, ticket: Ticket) -> None:
        self._runtime = runtime
        self._ticket = ticket

    async def __aenter__(self) -> None:
        self._task = asyncio.create_task(self._beat())

    async def __aexit__(self, *exc: object) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._ticket.lease / 3)
            try:
                await self._runtime.claims.beat(self._ticket)
            except StoreUnavailable:
                continue


def _started(saga: SagaStatus, mutation: str | None, prefix: str) -> StoredAnswer:
    seen = {"id": saga.id, "type": saga.type, "status": saga.status, "version": saga.version}
    place = f"{prefix}/bff/sagas/{saga.type}/{quote(saga.id, safe='')}"
    head = json.dumps({"mutation": mutation, "saga": seen}, separators=(",", ":"))
    return StoredAnswer(
        202,
        (
            ("content-type", "application/json"),
            ("location", place),
        ),
        head[:-1].encode() + b',"cursor":"',
        b'"}',
    )


def _known(claimed: Claimed) -> Finished:
    """The stored answer of a claim that is not new; raises the Problem that explains the other cases."""
    match claimed:
        case Replay(status, headers, body):
            return Finished(status, headers, body)
        case Busy(retry_after):
            raise _in_flight(retry_after)
        case Mismatch():
            raise Problem(
                422,
                "idempotency-mismatch",
                "This key came with another body or address before. Use a new key for a new command.",
            )
    raise Problem(
        409,
        "idempotency-unknown",
        "It was sent to a service and no answer came back. Look at the state of what it was to change before you "
        "try again with a new key.",
    )


def _in_flight(retry_after: float) -> Problem:
    return Problem(
        409,
        "idempotency-in-flight",
        "It was sent before and is not done yet; ask again with the same key.",
        # The lease is the longest it can take; most commands are done in a second.
        retry_after=min(retry_after, 1.0),
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
