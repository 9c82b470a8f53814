"""Runs a claimed command under the lease of its claim, and decides what becomes of the claim.

Guarantees that an outcome is stored before it is answered, that a command that may have taken effect is never reported
as not done, and that a holder whose claim was taken over stops. A refusal, by a service or by a Problem of the
function, is an outcome: it is stored, or its key is released, as the outcome table has it. A failure is not stored:
where a retry is safe, or no write was done, the key is released at once; otherwise the outcome is unknown.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from ... import calls
from ...calls import OUTCOMES, Call, Refused, Rejected, SagaStatus, UpstreamError
from ...calls.context import Runner
from ...calls.outcomes import Repeat
from ...live.outcomes import OutcomeMeter
from ...policies.idempotency import replayed_headers
from ...stores.claims import Claims, Replay, StoredAnswer, Ticket
from ...stores.redis.client import StoreUnavailable
from ..declared import Route
from ..dependencies import Resources
from ..function_errors import UpstreamFailures, expected_error, self_cancellation, took_too_long
from ..http.public_path import PublicPath
from ..http.request import BodyReader
from ..observe import telemetry
from ..problem import OwnerContacts, Problem
from ..reply import Renderer
from ..settings.gateway import IdempotencySettings
from .guard import Guard
from .screen import GRACE

log = logging.getLogger("bff.edge")

MAX_ABANDONED = 1000
PAUSE = 0.1
"""Seconds between two attempts to release an abandoned claim while Redis is away."""

Spawn = Callable[[Coroutine[Any, Any, Any], str], "asyncio.Task[Any]"]
"""Starts a task that belongs to the gateway and outlives the request; the text is its name in the log."""


class AbandonedClaims:
    """Claims that may exist although the request has ended, because Redis answered too late or the client left. They
    are released when Redis answers again, so that a client that got "nothing was done" can retry with the same key.

    Bounded: the newest `MAX_ABANDONED`, each until its lease has expired.
    """

    def __init__(self, claims: Claims, spawn: Spawn) -> None:
        self._claims = claims
        self._spawn = spawn
        self._tickets: deque[tuple[float, Ticket]] = deque(maxlen=MAX_ABANDONED)
        self._releasing = False
        self._stopped = False

    def add(self, ticket: Ticket) -> None:
        """Release this claim as soon as Redis answers."""
        self._tickets.append((time.monotonic() + ticket.lease, ticket))
        if not self._releasing and not self._stopped:
            self._releasing = True
            self._spawn(self._release(), "release of abandoned claims")

    def stop(self) -> None:
        """Leave the rest to their leases."""
        self._stopped = True

    async def _release(self) -> None:
        try:
            while self._tickets and not self._stopped:
                expires, ticket = self._tickets[0]
                if time.monotonic() < expires:
                    try:
                        await self._claims.release(ticket)
                    except StoreUnavailable:
                        await asyncio.sleep(PAUSE)
                        continue
                self._tickets.popleft()
        finally:
            self._releasing = False


@dataclass(frozen=True, slots=True)
class CommandServices:
    """What the commands of a gateway use.

    runner      runs the calls of their functions
    invalidate  makes cached answers with these tags unusable, for the principal with this id
    public_url  the gateway's address, for links
    resources   of the lifespan
    outcomes    times commands until their outcome is on a stream; None: no SLO needs it
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
    resources: Resources
    outcomes: OutcomeMeter | None = None

    @property
    def prefix(self) -> str:
        """The path of the public address: browsers may reach the gateway below one."""
        return PublicPath.of(self.public_url).prefix


class WriteCounter:
    """Runs calls, and counts the writes that may have reached a service."""

    def __init__(self, runner: Runner) -> None:
        self.reached = 0
        self._runner = runner

    async def run(self, call: Call[Any], request: calls.RequestContext) -> Any:
        """The decoded answer, or an UpstreamError."""
        if not call.is_write:
            return await self._runner.run(call, request)
        self.reached += 1
        try:
            return await self._runner.run(call, request)
        except (Rejected, Refused):
            # The call was not sent, or the service answered that it did nothing.
            self.reached -= 1
            raise


class LeaseHeartbeat:
    """Renews a claim's lease while the command runs inside this context. When another holder has taken the claim over,
    it cancels the command's task, and raises Problem 409 in place of the CancelledError."""

    def __init__(self, claims: Claims, ticket: Ticket) -> None:
        self._claims = claims
        self._ticket = ticket
        self._lost = False

    async def __aenter__(self) -> None:
        self._command = asyncio.current_task()
        self._task = asyncio.create_task(self._renew())

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])
        if self._lost and isinstance(error, asyncio.CancelledError):
            # This holder was too slow, and another one runs the command: the client gets the answer of the other one.
            raise in_flight(self._ticket.lease) from None

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._ticket.lease / 3)
            try:
                held = await self._claims.heartbeat(self._ticket)
            except StoreUnavailable:
                continue
            if not held and self._command is not None:
                self._lost = True
                self._command.cancel()
                return


@dataclass(slots=True)
class CommandExecution:
    """One command from its claim to its outcome. writes: the runner in `request`; cookies: values of Set-Cookie, which
    are sent with this answer and not with replays."""

    command: Route
    services: CommandServices
    ticket: Ticket
    request: calls.RequestContext
    writes: WriteCounter
    renderer: Renderer
    cookies: tuple[str, ...] = ()

    async def __call__(self, arguments: dict[str, Any]) -> Replay:
        """Run the function while the claim's lease is renewed, and store its outcome. Raises the Problem of a command
        that has no outcome to store."""
        async with LeaseHeartbeat(self.services.claims, self.ticket):
            try:
                # A result that does not fit the declared model is a bug of the function, too.
                answer, saga = self._answer(await self._run(arguments))
            except BaseException as error:
                return await self._on_error(error)
            repeated = replace(answer, headers=replayed_headers(dict(answer.headers)))
            return await self._store(repeated, saga, dict(answer.headers))

    async def _run(self, arguments: dict[str, Any]) -> Any:
        request = self.request
        limit = request.timer.limit(request.deadline.left() + GRACE)
        try:
            with calls.use_context(request), limit:
                command = self.command
                return await command.binding.call(command.function, arguments, self.services.resources)
        except TimeoutError:
            if not limit.expired:
                # A timeout inside the function, of something that it waited for.
                raise
            late = f"The command took longer than its {self.command.deadline:g} s; send it again."
            raise took_too_long(late, request.record) from None
        finally:
            # Before the answer, and also after a failure: the command may have changed something.
            if request.principal is not None:
                tags = [tag.format_map(arguments) for tag in self.command.invalidates]
                await self.services.invalidate(request.principal.id, tags)

    def _answer(self, result: Any) -> tuple[StoredAnswer, SagaStatus | None]:
        command, request = self.command, self.request
        if command.starts is not None and isinstance(result, SagaStatus):
            # A command that advances a saga did not start it: the saga keeps the mutation that started it.
            names = {"type": command.starts.name, "mutation": result.mutation or request.mutation}
            saga = result.model_copy(update=names)
            return _accepted(saga, request.mutation, self.services.prefix), saga
        answer = self.renderer.render(result)
        self.cookies = answer.cookies
        return StoredAnswer(answer.status, tuple(answer.headers.items()), answer.body), None

    async def _on_error(self, error: BaseException) -> Replay:
        """Store a refusal, which is an outcome; after anything else give up the claim and raise the problem."""
        found = expected_error(error)
        if found is None:
            # A bug of the function: it is not known what it did before it failed.
            self.writes.reached += 1
            await self._give_up()
            if isinstance(error, asyncio.CancelledError) and (replacement := self_cancellation()) is not None:
                raise replacement from error
            raise error
        problem = found if isinstance(found, Problem) else self.services.failures.problem(found, command=True)
        repeat = _repeat_of(found, problem)
        released = repeat == "released" or problem.retry_after is not None
        # Where an earlier write of the command was done and may not be repeated, a refusal is stored in any case: every
        # retry gets it.
        if repeat is None or (released and self._may_repeat()):
            await self._give_up()
            raise problem from (None if error is problem else error)
        headers = problem.response_headers(contacts=self.request.contacts)
        return await self._store(self._stored(problem), None, headers)

    async def _store(
        self, answer: StoredAnswer, saga: SagaStatus | None, headers: Mapping[str, str] | None = None
    ) -> Replay:
        """Store the outcome for replays; of an answer that is too large to store, only its status and size. headers: of
        this answer, where they differ from the stored ones."""
        stored = answer
        if len(answer.body_head) > self.services.settings.max_body:
            stored = self._stored(self._too_large(answer))
        try:
            done = await asyncio.shield(
                self.services.claims.complete(self.ticket, stored, saga, telemetry.traceparent())
            )
        except StoreUnavailable as error:
            raise Problem(
                503,
                "unavailable",
                "The command was carried out, but its outcome could not be stored. Send it again with the same key.",
                retry_after=2,
            ) from error
        if done is None:
            raise in_flight(self.ticket.lease)
        sent = answer.headers if headers is None else tuple(headers.items())
        return Replay(answer.status, sent, done.body if stored is answer else answer.body())

    def _too_large(self, answer: StoredAnswer) -> Problem:
        verb = "carried out" if answer.status < 400 else "refused"
        return Problem(
            410,
            "idempotency-answer-gone",
            f"The command was {verb}, with status {answer.status}. Its answer had {len(answer.body_head)} bytes; more "
            f"than {self.services.settings.max_body} are not stored.",
        )

    def _stored(self, problem: Problem) -> StoredAnswer:
        body = problem.body(
            correlation_id=self.request.correlation_id,
            trace_id=telemetry.trace_id(),
            base=self.services.public_url,
            contacts=self.request.contacts,
        )
        headers = problem.response_headers(contacts=self.request.contacts)
        return StoredAnswer(problem.status, replayed_headers(headers), body)

    def _may_repeat(self) -> bool:
        return self.command.safe or not self.writes.reached

    async def _give_up(self) -> None:
        """Store nothing: release the key where a retry is safe or no write was done, else mark the outcome unknown."""
        claims = self.services.claims
        step = claims.release if self._may_repeat() else claims.mark_unknown
        try:
            await asyncio.shield(step(self.ticket))
        except StoreUnavailable as error:
            # The claim's lease expires, and the client must get the error of the command.
            log.warning("a claim could not be released: %s", error)


def _repeat_of(found: UpstreamError | Problem, problem: Problem) -> Repeat | None:
    """What becomes of the key after a refusal, None after a failure. problem: the answer to `found`. A refusal that is
    not passed on is a mistake of this gateway: nothing was done."""
    if isinstance(found, Refused):
        return found.outcome.repeat if problem.status == found.status else "released"
    if isinstance(found, UpstreamError):
        return None
    outcome = OUTCOMES.of(found.status)
    return outcome.repeat if outcome.kind == "refused" else None


def in_flight(retry_after: float) -> Problem:
    """The 409 of a command that is being carried out. retry_after: seconds, one at most."""
    return Problem(
        409,
        "idempotency-in-flight",
        "It was sent before and is not done yet; ask again with the same key.",
        # The command takes as long as its lease at most; most commands are done in a second.
        retry_after=min(retry_after, 1.0),
    )


def _accepted(saga: SagaStatus, mutation: str | None, prefix: str) -> StoredAnswer:
    """The 202 of a command that started a saga; storing it puts the cursor in."""
    status = {"id": saga.id, "type": saga.type, "status": saga.status, "version": saga.version}
    location = f"{prefix}/bff/sagas/{saga.type}/{quote(saga.id, safe='')}"
    head = json.dumps({"mutation": mutation, "saga": status}, separators=(",", ":"))
    return StoredAnswer(
        202,
        (("content-type", "application/json"), ("location", location)),
        head[:-1].encode() + b',"cursor":"',
        b'"}',
    )
