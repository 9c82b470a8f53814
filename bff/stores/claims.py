"""Claims: each command runs once, and a repeat gets the stored answer byte for byte.

    absent → P, New | other fingerprint → Mismatch | D → Replay
    P, lease holds → Busy | P, lease over → safe ? New(takeover) : U | U → Unknown
    P, lease holds, its process has ended → safe ? New(takeover) : Busy

P is in progress, D is done, U is unknown. The rate limits are spent in the same step: a new command spends the route's
limit, a repeat spends a higher limit. A command that a limit refuses is Limited and changes nothing else. Only the
holder may renew, complete or release a claim (fencing): the call fails for a holder whose claim was taken over, and
writes the claim again if Redis lost it. While Redis is away every call raises StoreUnavailable; the result is never
guessed.

Key (after the prefix of keys.py): `{t}:claim:<key hash>`, hash, in the owner's slot: state, fingerprint, holder, lease
(ms), once done status, headers, head, cursor, tail, and reported once a browser has reported about the command. TTL:
`ttl` seconds from the claim, and again from its outcome.
"""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from ..calls import SagaStatus
from ..policies.rate import Bucket, BucketState
from .journal import Entry, EntryTooLarge, Journal, Position
from .keys import owner_tag, redis_key
from .processes import Processes
from .rates import RateStore, script_args, spent_from
from .redis.client import RedisClient

log = logging.getLogger("bff.stores")


@dataclass(frozen=True, slots=True)
class Ticket:
    """Proves that the caller holds a claim; required for each further step. holder: a new random id for this attempt;
    key, fingerprint: from `policies.idempotency`; lease, ttl: seconds."""

    owner: str
    key: str
    fingerprint: str
    holder: str
    lease: float
    ttl: float


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """An answer to store. Its body is `body_head`, then the saga's cursor (if there is one), then `body_tail`."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body_head: bytes
    body_tail: bytes = b""

    def body(self, cursor: str = "") -> bytes:
        return self.body_head + cursor.encode() + self.body_tail


@dataclass(frozen=True, slots=True)
class New:
    """Run the command. takeover: an earlier holder stopped renewing; what it sent to services may have arrived."""

    ticket: Ticket
    takeover: bool = False


@dataclass(frozen=True, slots=True)
class Replay:
    """The command is done; this is its stored answer, byte for byte."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass(frozen=True, slots=True)
class Busy:
    """The command is in progress. retry_after: seconds until its lease ends at the earliest; holder: who runs it."""

    retry_after: float
    holder: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Mismatch:
    """The key was used for another request."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """Its holder stopped renewing, and it is not safe to run again."""


@dataclass(frozen=True, slots=True)
class Limited:
    """A rate limit refuses it for now; the returned states of the buckets show which."""


@dataclass(frozen=True, slots=True)
class Done:
    """The outcome is stored. cursor: position of the saga's newest event, None without a saga; body: the body of every
    replay."""

    cursor: Position | None
    body: bytes


Claimed: TypeAlias = New | Replay | Busy | Mismatch | Unknown | Limited

FirstReport: TypeAlias = bool | None
_REPORTS: dict[int, FirstReport] = {1: True, 0: False, -1: None}


class Claims:
    """processes: finds holders whose process has ended; None: their leases have to end. clock: Unix seconds, None uses
    Redis' clock. Every method raises StoreUnavailable when Redis is away."""

    def __init__(
        self,
        redis: RedisClient,
        journal: Journal,
        processes: Processes | None = None,
        *,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._processes = processes
        self._redis = redis
        self._rates = RateStore(redis, wait=redis.timeout)
        self._journal = journal
        self._clock = clock
        self._claim = redis.script("claim")
        self._hold = redis.script("claim_hold")
        self._complete = redis.script("claim_complete")
        self._report = redis.script("claim_report")

    def _key(self, ticket: Ticket) -> str:
        return redis_key(owner_tag(ticket.owner), f"claim:{ticket.key}")

    def _now(self) -> int:
        return 0 if self._clock is None else int(self._clock() * 1000)

    async def claim(
        self, ticket: Ticket, *, safe: bool, new: Sequence[Bucket] = (), repeat: Sequence[Bucket] = ()
    ) -> tuple[Claimed, list[BucketState]]:
        """Claim a command and spend its limits. A safe command can be claimed again as soon as its holder's process has
        ended: its services get the same idempotency keys again, and the old holder is fenced.

        ticket       the ticket of the new holder
        safe         the command may be run again after its holder stopped renewing
        new, repeat  the buckets to spend for a new command, and for a repeat; in a cluster those outside the owner's
                     slot are spent at the same time, as for a new command
        """
        claimed, spent = await self._claim_and_spend(ticket, safe, new, repeat)
        if isinstance(claimed, Busy) and safe and await self._ended(claimed.holder):
            claimed, spent = await self._claim_and_spend(ticket, safe, new, repeat, ended=claimed.holder)
        return claimed, spent

    def new_holder(self) -> str:
        """A new name for one attempt to run a command. It contains the id of this process."""
        process = "" if self._processes is None else self._processes.id
        return f"{process}.{uuid.uuid4()}"

    async def _ended(self, holder: str) -> bool:
        process, dot, _ = holder.partition(".")
        processes = self._processes
        return (
            bool(dot and process)
            and processes is not None
            and process != processes.id
            and await processes.ended(process)
        )

    async def _claim_and_spend(
        self, ticket: Ticket, safe: bool, new: Sequence[Bucket], repeat: Sequence[Bucket], ended: str = ""
    ) -> tuple[Claimed, list[BucketState]]:
        if not self._redis.cluster:
            return await self._claim_in_slot(ticket, safe, new, repeat, ended)
        slot = self._key(ticket).partition("}")[0]
        near, far = ([each for each in new if each.key.startswith(slot) == here] for here in (True, False))
        near_repeat = [bucket for bucket in repeat if bucket.key.startswith(slot)]
        (claimed, spent), spent_far = await asyncio.gather(
            self._claim_in_slot(ticket, safe, near, near_repeat, ended),
            self._rates.spend(far),
        )
        if isinstance(claimed, New) and not all(each.allowed for each in spent_far):
            await self.release(ticket)
            claimed = Limited()
        return claimed, spent + spent_far

    async def _claim_in_slot(
        self, ticket: Ticket, safe: bool, new: Sequence[Bucket], repeat: Sequence[Bucket], ended: str
    ) -> tuple[Claimed, list[BucketState]]:
        keys = [self._key(ticket), *(bucket.key for bucket in (*new, *repeat))]
        args: list[str | int | float] = [ticket.fingerprint, ticket.holder, int(ticket.lease * 1000)]
        args += [int(ticket.ttl * 1000), "1" if safe else "0", self._now(), len(new), len(repeat), ended]
        args += script_args((*new, *repeat))
        spent, result, *details = await self._claim(keys, args)
        is_new = result in (b"new", b"takeover", b"limited")
        return _claimed(ticket, result, details), spent_from(new if is_new else repeat, spent)

    async def heartbeat(self, ticket: Ticket) -> bool:
        """Renew the lease. Returns False when the claim is no longer this holder's."""
        return await self._step(ticket, "heartbeat")

    async def release(self, ticket: Ticket) -> bool:
        """Delete the claim so that a retry runs, because nothing was sent. Returns False when it is another
        holder's."""
        return await self._step(ticket, "release")

    async def mark_unknown(self, ticket: Ticket) -> bool:
        """Mark the outcome as unknown, because something was sent. Returns False when it is another holder's."""
        return await self._step(ticket, "unknown")

    async def _step(self, ticket: Ticket, step: str) -> bool:
        args: list[str | int] = [ticket.holder, step, int(ticket.lease * 1000), self._now()]
        args += [ticket.fingerprint, int(ticket.ttl * 1000)]
        return bool(await self._hold([self._key(ticket)], args))

    async def complete(
        self,
        ticket: Ticket,
        stored: StoredAnswer,
        saga: SagaStatus | None = None,
        traceparent: str | None = None,
    ) -> Done | None:
        """Store the outcome. For a saga that the owner's journal does not have, also append its first event.

        That event is version 0, PENDING. Only when the service reports a version above 1, so that the journal must
        have lost the saga, the service's status is stored as it is. Returns None when the claim was taken over: then
        the other holder's answer counts.
        """
        args: list[str | bytes | int] = [*self._journal.script_args(ticket.owner), ticket.holder]
        args += [int(ticket.ttl * 1000), stored.status, json.dumps(stored.headers)]
        args += [stored.body_head, stored.body_tail]
        if saga is None:
            args += ["", 0, 0, b"", "0"]
        else:
            late = saga.version > 1
            first = saga if late else saga.model_copy(update={"version": 0, "status": "PENDING"})
            try:
                entry = Entry.of(first, traceparent, now_ms=self._journal.now_ms())
            except EntryTooLarge as error:
                log.error("the saga of a command is stored in the journal without its data: %s", error)
                bare = first.model_copy(update={"data": None})
                entry = Entry.of(bare, traceparent, now_ms=self._journal.now_ms())
            args += [entry.saga, entry.version, entry.ended_ms, entry.body, "1" if late else "0"]
        args.append(ticket.fingerprint)
        keys = [*self._journal.keys(ticket.owner), self._key(ticket)]
        stored_now, cursor = await self._complete(keys, args)
        if not stored_now:
            return None
        text = cursor.decode()
        return Done(Position.parse(text), stored.body(text))

    async def report(self, owner: str, keys: Sequence[str]) -> list[FirstReport]:
        """Note that a browser reports about these commands of one owner, in one round trip. keys: as in `Ticket`. For
        each: True for the first report, False for a later one, None where the owner has no such claim."""
        if not keys:
            return []
        names = [redis_key(owner_tag(owner), f"claim:{key}") for key in keys]
        return [_REPORTS[answer] for answer in await self._report(names, [])]


def _claimed(ticket: Ticket, result: bytes, details: Sequence[bytes]) -> Claimed:
    match result, *details:
        case [b"new"]:
            return New(ticket)
        case [b"takeover"]:
            return New(ticket, takeover=True)
        case [b"mismatch"]:
            return Mismatch()
        case [b"limited" | b"repeats-limited"]:
            return Limited()
        case [b"busy", left, holder]:
            return Busy(int(left) / 1000, holder.decode())
        case [b"replay", status, headers, head, cursor, tail]:
            pairs = tuple((name, value) for name, value in json.loads(headers))
            return Replay(int(status), pairs, head + cursor + tail)
    return Unknown()
