"""A command: guard → arguments → claim and limits in one round trip → replay, 409, 422, or the function → outcome.

A claimed command does not end with the client's connection: it is finished and its outcome is stored even when the
client disconnects, and a retry with the same key gets that outcome.

The key comes in the header Idempotency-Key (draft-ietf-httpapi-idempotency-key-header-08): a structured-field String
(RFC 9651 section 3.3.3), or a bare token, which many clients send. Around the value only SP and HTAB are removed (RFC
9110 section 5.5). Ambiguous values are refused: lists, repeated headers, parameters, unfinished strings, and keys over
255 characters.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
import uuid
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from starlette.types import Receive, Scope, Send

from ... import calls
from ...calls import Deadline, Principal, RequestRecord
from ...live.outcomes import OutcomeMeter
from ...policies.idempotency import fingerprint, key_hash
from ...policies.rate import BucketState
from ...stores.claims import Busy, Claimed, Mismatch, New, Replay, Ticket
from ...stores.redis.client import StoreUnavailable
from ..declared import Route
from ..http.request import header_values
from ..problem import Problem
from ..reply import Renderer
from ..respond import send_answer
from ..state import state_of
from .execution import CommandExecution, CommandServices, WriteCounter, in_flight
from .guard import Access

CEILING = 20
"""Replays, duplicates and mismatches may spend this multiple of the route's limit."""

MAX_KEY = 255
"""Characters of an idempotency key."""

ACCEPTED = 202

_BARE = re.compile(r"[\x21\x23-\x2b\x2d-\x7e]{1,255}")
_STRING = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"')


class CommandEndpoint:
    """An ASGI endpoint for one command."""

    def __init__(self, command: Route, services: CommandServices) -> None:
        self._command = command
        self._services = services
        self._deadline = command.deadline
        self._access = Access.of(command)
        self._renderer = Renderer(
            command.binding.returns, command.options.redirects or (), services.prefix, command.what
        )
        # Its name in the SLOs of outcomes; "" where it starts no saga.
        self._timed = command.what if command.starts is not None else ""
        self._repeat_access = replace(self._access, times=CEILING)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        command, services = self._command, self._services
        arrived = time.monotonic()
        deadline = Deadline.after(self._deadline)
        principal = await services.guard.admit_authenticated(scope, self._access)
        try:
            key = idempotency_key(scope, required=command.needs_key)
            body = await services.body(scope, receive)
            expected = command.binding.body
            if expected is not None and (body or not expected.optional):
                _require_json(scope)
            arguments = command.binding.arguments(scope, body, principal)
        except Problem as invalid:
            # A request that is no valid command spends the limit of repeats, and gets 429 beyond that limit.
            with contextlib.suppress(StoreUnavailable):
                invalid.headers |= await services.guard.spend(scope, principal, self._repeat_access)
            raise
        # Without the client's key nobody can repeat the command: its outcome is not kept for longer than its lease.
        keep = (command.keep or services.settings.keep) if key is not None else services.settings.lease
        key = key or str(uuid.uuid4())
        ticket = self._ticket(scope, principal, key, body, keep)
        claimed, spent = await self._claim(scope, principal, ticket)
        limits = services.guard.headers(scope, spent)
        if not isinstance(claimed, New):
            await _send(send, _stored(claimed), {"idempotency-replayed": "true"})
            return
        writes = WriteCounter(services.runner)
        state = state_of(scope)
        state.record = RequestRecord()
        request = calls.RequestContext(
            deadline,
            writes,
            state.correlation,
            principal,
            mutation=key,
            record=state.record,
            safe=command.safe,
            contacts=services.contacts.on(scope),
        )
        execution = CommandExecution(command, services, ticket, request, writes, self._renderer)
        work = services.spawn(execution(arguments), f"command {command.path}")
        if self._timed and services.outcomes is not None:
            services.outcomes.begin(self._timed, principal.id, key, arrived)
            work.add_done_callback(partial(_drop_unaccepted, services.outcomes, principal.id, key))
        await _send(send, await asyncio.shield(work), limits, execution.cookies)

    def _ticket(self, scope: Scope, principal: Principal, key: str, body: bytes, keep: float) -> Ticket:
        return Ticket(
            principal.id,
            stored_key(principal, self._command.method, self._command.path, key),
            fingerprint(
                method=self._command.method,
                raw_path=scope.get("raw_path") or scope["path"].encode(),
                query=scope["query_string"],
                content_type=_content_type(scope),
                body=body,
            ),
            self._services.claims.new_holder(),
            self._services.settings.lease,
            keep,
        )

    async def _claim(
        self, scope: Scope, principal: Principal, ticket: Ticket
    ) -> tuple[Claimed, list[BucketState]]:
        new, repeat = self._services.guard.buckets(scope, principal, self._access, self._repeat_access)
        try:
            return await self._services.claims.claim(ticket, safe=self._command.safe, new=new, repeat=repeat)
        except (StoreUnavailable, asyncio.CancelledError):
            # Redis may still make the claim: it was slow, or the client left.
            self._services.abandoned.add(ticket)
            raise


def _drop_unaccepted(outcomes: OutcomeMeter, owner: str, key: str, work: asyncio.Task[Replay]) -> None:
    """A command has ended: unless its saga was accepted, there is no outcome to wait for."""
    if work.cancelled() or work.exception() is not None or work.result().status != ACCEPTED:
        outcomes.drop(owner, key)


def stored_key(principal: Principal, method: str, route: str, key: str) -> str:
    """The key of the claim of this principal's command. route: as declared; key: the client's."""
    return key_hash(
        issuer=principal.issuer,
        subject=principal.subject,
        client=str(principal.claims.get("client_id", "")),
        method=method,
        route=route,
        key=key,
    )


def idempotency_key(scope: Scope, *, required: bool = True) -> str | None:
    """The key's value without its quotes; None where there is none and it is not required. Raises Problem 400."""
    values = [value.strip(b" \t").decode("latin-1") for value in header_values(scope, b"idempotency-key")]
    if not values and not required:
        return None
    if not values or values == [""]:
        raise Problem(
            400,
            "idempotency-key-missing",
            "Send `Idempotency-Key` with a value of your own for each new command (a UUID will do), and the same "
            "value again when you try the same command again.",
        )
    match = _STRING.fullmatch(values[0])
    key = re.sub(r"\\(.)", r"\1", match.group(1)) if match else values[0]
    # RFC 9110 section 5.3: a repeated field is one list, and a list is not a key.
    if len(values) > 1 or not 0 < len(key) <= MAX_KEY or not (match or _BARE.fullmatch(key)):
        raise Problem(
            400,
            "idempotency-key-invalid",
            f'It is one string of 1 to {MAX_KEY} visible characters: "a-value".',
        )
    return key


def _stored(claimed: Claimed) -> Replay:
    """The stored answer of a claim that is not new. Raises the Problem that explains the other cases."""
    match claimed:
        case Replay():
            return claimed
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


async def _send(send: Send, answer: Replay, extra: dict[str, str], cookies: Sequence[str] = ()) -> None:
    headers = dict(answer.headers) | {"cache-control": "no-store", **extra}
    await send_answer(send, answer.status, headers, answer.body, cookies=cookies)


def _require_json(scope: Scope) -> None:
    media = _content_type(scope).partition(";")[0].strip().lower()
    if media != "application/json" and not media.endswith("+json"):
        raise Problem(
            415, "unsupported-media-type", f"Send the body as application/json, not {media or 'nothing'}."
        )


def _content_type(scope: Scope) -> str:
    values = header_values(scope, b"content-type")
    return values[0].decode("latin-1") if values else ""
