"""Runs a claimed command and decides what becomes of its claim.

Guarantees that an outcome is stored before it is answered, that a command that may have taken effect is never reported
as not done, and that a holder whose claim was taken over stops. A refusal, by a service or by the function's own
Problem, is an outcome: it is stored, or its key is released where the outcome table says so. A failure is not stored:
where a retry is safe, or no write was done, the key is released at once; otherwise the outcome is unknown.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from ... import calls
from ...calls import OUTCOMES, Call, Refused, Rejected, SagaStatus, UpstreamError
from ...calls.context import Runner
from ...calls.outcomes import Repeat
from ...policies.idempotency import replayed_headers
from ...stores.claims import Claims, StoredAnswer, Ticket
from ...stores.redis.client import StoreUnavailable
from ..declared import Command
from ..function_errors import UpstreamFailures, expected_error, is_self_cancelled, self_cancellation
from ..http.request import BodyReader
from ..observe import telemetry
from ..problem import OwnerContacts, Problem
from ..respond import to_json
from ..settings.gateway import IdempotencySettings
from .claim_leases import AbandonedClaims, LeaseHeartbeat, Spawn
from .guard import Guard
from .screen import GRACE

log = logging.getLogger("bff.edge")


@dataclass(frozen=True, slots=True)
class CommandServices:
    """What the commands of a gateway use.

    runner      runs the calls of their functions
    spawn       starts a task that outlives the request
    invalidate  marks the kept answers with these tags as void, for one owner
    public_url  the gateway's own address, for links
    """

    guard: Guard
    body: BodyReader
    runner: Runner
    spawn: Spawn
    claims: Claims
    abandoned: AbandonedClaims
    failures: UpstreamFailures
    contacts: OwnerContacts
    invalidate: Callable[[str, Sequence[str]], Awaitable[None]]
    public_url: str
    settings: IdempotencySettings


@dataclass(frozen=True, slots=True)
class Finished:
    """What is answered: the outcome just stored, or one stored before."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class WriteCounter:
    """Runs calls, and counts the writes that may have reached a service."""

    def __init__(self, runner: Runner) -> None:
        self.reached = 0
        self._runner = runner

    async def run(self, call: Call[Any], scope: calls.RequestContext) -> Any:
        """The decoded answer, or an UpstreamError."""
        if call.method == "GET":
            return await self._runner.run(call, scope)
        self.reached += 1
        try:
            return await self._runner.run(call, scope)
        except (Rejected, Refused):
            # It was not sent, or the service itself says that it did nothing.
            self.reached -= 1
            raise


class CommandExecution:
    """One command from its claim to its outcome. writes: the runner in `request`."""

    def __init__(
        self,
        command: Command,
        services: CommandServices,
        ticket: Ticket,
        request: calls.RequestContext,
        writes: WriteCounter,
    ) -> None:
        self._command = command
        self._services = services
        self._ticket = ticket
        self._request = request
        self._writes = writes

    async def __call__(self, arguments: dict[str, Any]) -> Finished:
        """Run the function while the claim's lease is renewed, and store its outcome. Raises the Problem of a command
        that has no outcome to store."""
        lease = LeaseHeartbeat(self._services.claims, self._ticket)
        try:
            async with lease:
                try:
                    # A result that does not fit the declared model is a bug of the function, like one in it.
                    answer, saga = self._answer(await self._run(arguments))
                except BaseException as error:
                    return await self._on_error(error)
                return await self._store(answer, saga)
        except asyncio.CancelledError:
            if not lease.lost:
                raise
            # This holder was too slow and another one runs the command: the other's answer is the one to give.
            raise in_flight(self._ticket.lease) from None

    async def _run(self, arguments: dict[str, Any]) -> Any:
        request = self._request
        limit = request.timer.limit(request.deadline.left() + GRACE)
        try:
            with calls.use_context(request), limit:
                return await self._command.function(**arguments)
        except TimeoutError:
            if not limit.expired:
                # The function's own timeout, of something it waited for.
                raise
            raise Problem(
                504,
                "timeout",
                f"The command took longer than its {self._command.deadline:g} s; send it again.",
            ) from None
        finally:
            # Before the answer, and after a failure too: it may have changed something.
            if request.principal is not None:
                tags = [tag.format_map(arguments) for tag in self._command.invalidates]
                await self._services.invalidate(request.principal.id, tags)

    def _answer(self, result: Any) -> tuple[StoredAnswer, SagaStatus | None]:
        command, request = self._command, self._request
        if command.starts is not None and isinstance(result, SagaStatus):
            # A command that moves a saga on is not the one that started it, so its own mutation stays.
            names = {"type": command.starts.name, "mutation": result.mutation or request.mutation}
            saga = result.model_copy(update=names)
            # Browsers may reach the gateway below a path prefix, which its public address holds.
            prefix = urlsplit(self._services.public_url).path
            return _accepted(saga, request.mutation, prefix), saga
        body = to_json(command.binding.returns, result)
        return StoredAnswer(200, (("content-type", "application/json"),), body), None

    async def _on_error(self, error: BaseException) -> Finished:
        """Store a refusal, which is an outcome; after anything else give up the claim and raise the problem."""
        found = expected_error(error)
        if isinstance(found, UpstreamError):
            problem = self._services.failures.problem(found, command=True)
            if isinstance(found, Refused):
                passed = problem.status == found.status
                return await self._refuse(problem, found.outcome.repeat if passed else "released", error)
            await self._give_up()
            raise problem from error
        if found is not None:
            outcome = OUTCOMES.of(found.status)
            if outcome.kind == "refused":
                return await self._refuse(found, outcome.repeat, error)
            await self._give_up()
            raise found
        # A bug: what it did before it failed is not known.
        self._writes.reached += 1
        await self._give_up()
        if isinstance(error, asyncio.CancelledError) and is_self_cancelled():
            raise self_cancellation() from error
        raise error

    async def _refuse(self, problem: Problem, repeat: Repeat, error: BaseException) -> Finished:
        """Release the key, or store the refusal. Where an earlier write of the command was done and may not be
        repeated, the refusal is always stored: every retry gets it."""
        released = repeat == "released" or problem.retry_after is not None
        if released and self._may_repeat():
            await self._give_up()
            raise problem from (None if error is problem else error)
        headers = problem.response_headers(contacts=self._request.contacts)
        return await self._store(self._stored(problem), None, headers)

    async def _store(
        self, answer: StoredAnswer, saga: SagaStatus | None, headers: Mapping[str, str] | None = None
    ) -> Finished:
        """Store the outcome for replays; of an answer too large to keep, only that there was one. headers: of the first
        answer, where they differ from the stored ones."""
        stored = answer
        if len(answer.body_head) > self._services.settings.max_body:
            stored = self._stored(self._too_large(answer))
        try:
            done = await asyncio.shield(
                self._services.claims.complete(self._ticket, stored, saga, telemetry.traceparent())
            )
        except StoreUnavailable as error:
            raise Problem(
                503,
                "unavailable",
                "The command was carried out, but its outcome could not be kept. Send it again with the same key.",
                retry_after=2,
            ) from error
        if done is None:
            raise in_flight(self._ticket.lease)
        sent = answer.headers if headers is None else tuple(headers.items())
        return Finished(answer.status, sent, done.body if stored is answer else answer.body())

    def _too_large(self, answer: StoredAnswer) -> Problem:
        verb = "carried out" if answer.status < 400 else "refused"
        return Problem(
            410,
            "idempotency-answer-gone",
            f"The command was {verb}, with status {answer.status}. Its answer had {len(answer.body_head)} bytes; more "
            f"than {self._services.settings.max_body} are not kept.",
        )

    def _stored(self, problem: Problem) -> StoredAnswer:
        contacts = self._request.contacts
        body = problem.body(
            correlation_id=self._request.correlation_id,
            trace_id=telemetry.trace_id(),
            base=self._services.public_url,
            contacts=contacts,
        )
        return StoredAnswer(
            problem.status, replayed_headers(problem.response_headers(contacts=contacts)), body
        )

    def _may_repeat(self) -> bool:
        return self._command.safe or not self._writes.reached

    async def _give_up(self) -> None:
        """Store nothing: release the key where a retry is safe or no write was done, else mark the outcome unknown."""
        claims = self._services.claims
        step = claims.release if self._may_repeat() else claims.mark_unknown
        try:
            await asyncio.shield(step(self._ticket))
        except StoreUnavailable as error:
            # The claim's lease expires by itself, and the client must get the error that came before.
            log.warning("a claim could not be released: %s", error)


def in_flight(retry_after: float) -> Problem:
    """The 409 of a command that is being carried out. retry_after: seconds, one at most."""
    return Problem(
        409,
        "idempotency-in-flight",
        "It was sent before and is not done yet; ask again with the same key.",
        # The lease is the longest it can take; most commands are done in a second.
        retry_after=min(retry_after, 1.0),
    )


def _accepted(saga: SagaStatus, mutation: str | None, prefix: str) -> StoredAnswer:
    """The 202 of a command that started a saga; the cursor is put in where it is stored."""
    status = {"id": saga.id, "type": saga.type, "status": saga.status, "version": saga.version}
    location = f"{prefix}/bff/sagas/{saga.type}/{quote(saga.id, safe='')}"
    head = json.dumps({"mutation": mutation, "saga": status}, separators=(",", ":"))
    return StoredAnswer(
        202,
        (("content-type", "application/json"), ("location", location)),
        head[:-1].encode() + b',"cursor":"',
        b'"}',
    )
