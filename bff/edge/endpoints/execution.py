"""Carrying out a claimed command: the function under its lease, and what becomes of the claim.

Promises that what came of it is stored before anybody hears of it, that nothing is called undone which may have been
done, and that a holder whose claim was taken over stops. A refusal, by a service or by the function's own Problem, is
an outcome: it is stored, or its key is released where the outcome table says so. Nothing is stored of a failure: where
trying again is safe, or no write was done, the key is free at once; else the outcome is unknown.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote, urlsplit

from ... import calls
from ...calls import OUTCOMES, Call, Refused, Rejected, SagaStatus, UpstreamError
from ...calls.outcomes import Repeat
from ...calls.scope import Runner
from ...policies.idempotency import kept
from ...stores.claims import Claims, StoredAnswer, Ticket
from ...stores.redis.client import StoreUnavailable
from ..declared import Command
from ..function_errors import UpstreamFailures, expected_error, is_self_cancelled, self_cancellation
from ..observe import telemetry
from ..problem import OwnerContacts, Problem
from ..respond import to_json
from .screen import GRACE

log = logging.getLogger("bff.edge")


class Spawn(Protocol):
    """Makes a task that belongs to the gateway and not to a request; name: what the log calls it."""

    def __call__(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]: ...


@dataclass(frozen=True, slots=True)
class ExecutionServices:
    """What carrying a command out uses. invalidate: told whose kept answers are void, and their tags; public_url: makes
    addresses; most_kept: bytes of an answer that is kept for replays."""

    claims: Claims
    failures: UpstreamFailures
    contacts: OwnerContacts
    invalidate: Callable[[str, Sequence[str]], Awaitable[None]]
    public_url: str
    most_kept: int


@dataclass(frozen=True, slots=True)
class Finished:
    """What is sent: the answer just stored, or one stored before."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class Writes:
    """Runs calls, and counts the writes that may have reached a service."""

    def __init__(self, runner: Runner) -> None:
        self.reached = 0
        self._runner = runner

    async def run(self, call: Call[Any], scope: calls.Scope) -> Any:
        """The decoded answer, or an UpstreamError."""
        if call.method == "GET":
            return await self._runner.run(call, scope)
        self.reached += 1
        try:
            return await self._runner.run(call, scope)
        except (Rejected, Refused):
            # Not sent, or said by the service itself not to have been taken.
            self.reached -= 1
            raise


class CommandExecution:
    """One command's way from its claim to its outcome."""

    def __init__(
        self,
        command: Command,
        services: ExecutionServices,
        ticket: Ticket,
        request: calls.Scope,
        writes: Writes,
    ) -> None:
        self._command = command
        self._services = services
        self._ticket = ticket
        self._request = request
        self._writes = writes
        self._contacts = request.contacts

    async def __call__(self, arguments: dict[str, Any]) -> Finished:
        """Run the function while the claim's lease is kept alive; store what came of it, or say why nothing did."""
        lease = LeaseHeartbeat(self._services.claims, self._ticket)
        try:
            async with lease:
                return await self._outcome(arguments)
        except asyncio.CancelledError:
            if not lease.lost:
                raise
            # This holder was too slow and another one carries the command out: its answer is the one to give.
            raise in_flight(self._ticket.lease) from None

    async def _outcome(self, arguments: dict[str, Any]) -> Finished:
        try:
            # What does not fit the declared answer is a mistake of the function, too.
            answer, saga = self._answer(await self._run(arguments))
        except BaseException as error:
            return await self._failed(error)
        return await self._store(answer, saga)

    def _answer(self, result: Any) -> tuple[StoredAnswer, SagaStatus | None]:
        command, request = self._command, self._request
        if command.starts is not None and isinstance(result, SagaStatus):
            # A command that moves a saga does not become the one that began it.
            known = {"type": command.starts.name, "mutation": result.mutation or request.mutation}
            saga = result.model_copy(update=known)
            # The gateway may be mounted below a prefix: its own address knows.
            prefix = urlsplit(self._services.public_url).path
            return _started(saga, request.mutation, prefix), saga
        body = to_json(command.binding.returns, result)
        return StoredAnswer(200, (("content-type", "application/json"),), body), None

    async def _failed(self, error: BaseException) -> Finished:
        """A refusal is an outcome and is stored; after anything else the claim is given up, and the problem raised."""
        found = expected_error(error)
        if isinstance(found, UpstreamError):
            problem = self._services.failures.problem(found, command=True)
            if isinstance(found, Refused):
                passed = problem.status == found.status
                repeat = found.outcome.repeat if passed else "released"
                return await self._refused(problem, repeat, error)
            await self._give_up()
            raise problem from error
        if found is not None:
            own = OUTCOMES.of(found.status)
            if own.kind == "refused":
                return await self._refused(found, own.repeat, error)
            await self._give_up()
            raise found
        # A bug: nobody knows what it did on its way.
        self._writes.reached += 1
        await self._give_up()
        if isinstance(error, asyncio.CancelledError) and is_self_cancelled():
            raise self_cancellation() from error
        raise error

    async def _refused(self, problem: Problem, repeat: Repeat, error: BaseException) -> Finished:
        """The command has said no. Where an earlier write of it was done and may not be done again, that no is what
        every repeat gets, whatever its kind."""
        again = repeat == "released" or problem.retry_after is not None
        if again and (self._command.safe or not self._writes.reached):
            await self._release()
            raise problem from (None if error is problem else error)
        return await self._store(self._told(problem), None, problem.response_headers(contacts=self._contacts))

    async def _run(self, arguments: dict[str, Any]) -> Any:
        request = self._request
        limit = request.alarm.limit(request.deadline.left() + GRACE)
        try:
            with calls.opened(request), limit:
                return await self._command.function(**arguments)
        except TimeoutError:
            if not limit.was_cut:
                # The function's own, of something that it waited for.
                raise
            raise Problem(
                504,
                "timeout",
                f"The command took longer than its {self._command.deadline:g} s; send it again.",
            ) from None
        finally:
            # Before anybody hears of it, and whatever came of it: a failure may have changed something, too.
            if request.principal is not None:
                tags = [tag.format_map(arguments) for tag in self._command.invalidates]
                await self._services.invalidate(request.principal.id, tags)

    async def _store(
        self, answer: StoredAnswer, saga: SagaStatus | None, headers: Mapping[str, str] | None = None
    ) -> Finished:
        """Keep the outcome for replays; of an answer too large to be kept, that there was one. headers: what the first
        answer has in place of those that are kept."""
        keep = answer
        if len(answer.body_head) > self._services.most_kept:
            keep = self._gone(answer)
        try:
            done = await asyncio.shield(
                self._services.claims.complete(self._ticket, keep, saga, telemetry.traceparent())
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
        return Finished(answer.status, sent, done.body if keep is answer else answer.body())

    def _gone(self, answer: StoredAnswer) -> StoredAnswer:
        most = self._services.most_kept
        done = "carried out" if answer.status < 400 else "refused"
        size = len(answer.body_head)
        return self._told(
            Problem(
                410,
                "idempotency-answer-gone",
                f"It was {done}, with status {answer.status}; its answer had {size} bytes, and more than {most} are "
                "not kept.",
            )
        )

    def _told(self, problem: Problem) -> StoredAnswer:
        body = problem.body(
            correlation_id=self._request.correlation_id,
            trace_id=telemetry.trace_id(),
            base=self._services.public_url,
            contacts=self._contacts,
        )
        headers = problem.response_headers(contacts=self._contacts)
        return StoredAnswer(problem.status, kept(headers), body)

    async def _give_up(self) -> None:
        """Nothing is stored: the key is free where trying again is safe, or no write was done; else all is unknown."""
        if self._command.safe or not self._writes.reached:
            await self._release()
        else:
            await self._step(self._services.claims.mark_unknown)

    async def _release(self) -> None:
        await self._step(self._services.claims.release)

    async def _step(self, step: Callable[[Ticket], Awaitable[bool]]) -> None:
        try:
            await asyncio.shield(step(self._ticket))
        except StoreUnavailable as error:
            # The claim's lease runs out by itself, and what went wrong before is what the client must hear.
            log.warning("a claim could not be given up: %s", error)


class LeaseHeartbeat:
    """Keeps a claim's lease while its command runs. lost: the claim is another's, and the task was told to stop."""

    def __init__(self, claims: Claims, ticket: Ticket) -> None:
        self.lost = False
        self._claims = claims
        self._ticket = ticket

    async def __aenter__(self) -> None:
        self._work = asyncio.current_task()
        self._task = asyncio.create_task(self._beat())

    async def __aexit__(self, *exc: object) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._ticket.lease / 3)
            try:
                mine = await self._claims.heartbeat(self._ticket)
            except StoreUnavailable:
                continue
            if not mine and self._work is not None:
                self.lost = True
                self._work.cancel()
                return


def in_flight(retry_after: float) -> Problem:
    """409: somebody is at it."""
    return Problem(
        409,
        "idempotency-in-flight",
        "It was sent before and is not done yet; ask again with the same key.",
        # The lease is the longest it can take; most commands are done in a second.
        retry_after=min(retry_after, 1.0),
    )


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
