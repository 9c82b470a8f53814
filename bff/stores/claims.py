"""Claims: each command runs once, and its stored answer is given again byte for byte.

    absent → P, New | other fingerprint → Mismatch | D → Replay
    P, lease holds → Busy | P, lease over → safe ? New(takeover) : U | U → Unknown
    P, lease holds, its process has ended → safe ? New(takeover) : Busy

The rate limits are spent in the same step: the route's by what is new, a ceiling by what is not; refused, it is Limited
and nothing else has changed. Only the holder may beat, complete or release (fencing): a holder whose claim was taken
over is told so, and one whose claim Redis has lost writes it again. Redis away is StoreUnavailable, never a guess.

Key: `bff:{t}:claim:<key hash>`, hash, in the owner's slot: state, fingerprint, holder, lease (ms), and once done
status, headers, head, cursor, tail. TTL: `ttl` seconds from the claim, and again from its outcome.
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
from ..policies.rate import Bucket, Spent
from .journal import Entry, EntryTooLarge, Journal, Position, owner_tag
from .processes import Processes
from .rates import RateStore, script_args, spent_from
from .redis.client import RedisClient

log = logging.getLogger("bff.stores")


@dataclass(frozen=True, slots=True)
class Ticket:
    """Proof of holding a claim, to be shown with each further step. holder: a fresh random id of this attempt; key,
    fingerprint: from `policies.idempotency`; lease, ttl: seconds."""

    owner: str
    key: str
    fingerprint: str
    holder: str
    lease: float
    ttl: float


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """An answer worth repeating: its body is `body_head`, the saga's cursor (if there is one), `body_tail`."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body_head: bytes
    body_tail: bytes = b""

    def body(self, cursor: str = "") -> bytes:
        return self.body_head + cursor.encode() + self.body_tail


@dataclass(frozen=True, slots=True)
class New:
    """Run it. takeover: an earlier holder went silent, so what it sent may have arrived."""

    ticket: Ticket
    takeover: bool = False


@dataclass(frozen=True, slots=True)
class Replay:
    """It was done; this is its answer, byte for byte."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass(frozen=True, slots=True)
class Busy:
    """It is being done right now. retry_after: seconds until its lease is over at the earliest; holder: by whom."""

    retry_after: float
    holder: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Mismatch:
    """The key was used for another request."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """Its holder went silent and it is not safe to run again."""


@dataclass(frozen=True, slots=True)
class Limited:
    """A limit forbids it for now; what was spent says which."""


@dataclass(frozen=True, slots=True)
class Done:
    """Stored. cursor: position of the saga's newest event, None without a saga; body: what every replay will say."""

    cursor: Position | None
    body: bytes


Claimed: TypeAlias = New | Replay | Busy | Mismatch | Unknown | Limited


class Claims:
    """processes: the gateways' processes, and this one's id; None: nobody's end is looked for. clock: Unix seconds,
    None asks the server. Every method raises StoreUnavailable when Redis is away."""

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

    def _key(self, ticket: Ticket) -> str:
        return f"bff:{{{owner_tag(ticket.owner)}}}:claim:{ticket.key}"

    def _now(self) -> int:
        return 0 if self._clock is None else int(self._clock() * 1000)

    async def claim(
        self, ticket: Ticket, *, safe: bool, new: Sequence[Bucket] = (), repeat: Sequence[Bucket] = ()
    ) -> tuple[Claimed, list[Spent]]:
        """Claim a command, and what was spent on it. One whose holder's process has ended is free at once where it may
        be run again: its services are handed the same keys, and the holder is fenced like any that was too slow.

        ticket       what it will be held by
        safe         the command may be run again after its holder went silent
        new, repeat  what it spends when it is carried out, and when it is not; in a cluster those that are not in the
                     owner's slot are spent beside it, by whatever comes
        """
        claimed, spent = await self._spending(ticket, safe, new, repeat)
        if isinstance(claimed, Busy) and safe and await self._ended(claimed.holder):
            claimed, spent = await self._spending(ticket, safe, new, repeat, ended=claimed.holder)
        return claimed, spent

    def new_holder(self) -> str:
        """A fresh name for one attempt to carry a command out, which tells the process that makes it."""
        process = "" if self._processes is None else self._processes.id
        return f"{process}.{uuid.uuid4()}"

    async def _ended(self, holder: str) -> bool:
        process, named, _ = holder.partition(".")
        known = self._processes
        return (
            bool(named and process)
            and known is not None
            and process != known.id
            and await known.ended(process)
        )

    async def _spending(
        self, ticket: Ticket, safe: bool, new: Sequence[Bucket], repeat: Sequence[Bucket], ended: str = ""
    ) -> tuple[Claimed, list[Spent]]:
        if not self._redis.cluster:
            return await self._one(ticket, safe, new, repeat, ended)
        slot = self._key(ticket).partition("}")[0]
        near, far = ([one for one in new if one.key.startswith(slot) == here] for here in (True, False))
        (claimed, spent), beside = await asyncio.gather(
            self._one(ticket, safe, near, [one for one in repeat if one.key.startswith(slot)], ended),
            self._rates.spend(far),
        )
        if isinstance(claimed, New) and not all(one.allowed for one in beside):
            await self.release(ticket)
            claimed = Limited()
        return claimed, spent + beside

    async def _one(
        self, ticket: Ticket, safe: bool, new: Sequence[Bucket], repeat: Sequence[Bucket], ended: str
    ) -> tuple[Claimed, list[Spent]]:
        keys = [self._key(ticket), *(bucket.key for bucket in (*new, *repeat))]
        args: list[str | int | float] = [ticket.fingerprint, ticket.holder, int(ticket.lease * 1000)]
        args += [int(ticket.ttl * 1000), "1" if safe else "0", self._now(), len(new), len(repeat), ended]
        args += script_args((*new, *repeat))
        spent, word, *rest = await self._claim(keys, args)
        carried = word in (b"new", b"takeover", b"limited")
        return _claimed(ticket, word, rest), spent_from(new if carried else repeat, spent)

    async def heartbeat(self, ticket: Ticket) -> bool:
        """Hold the claim for another lease; False when it is no longer this holder's."""
        return await self._step(ticket, "beat")

    async def release(self, ticket: Ticket) -> bool:
        """Nothing was sent anywhere: forget the claim, so that a retry runs. False when it is another's."""
        return await self._step(ticket, "release")

    async def mark_unknown(self, ticket: Ticket) -> bool:
        """Something was sent and its outcome is not known: repeats are told so. False when it is another's."""
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
        """Store the outcome; with a saga the owner's journal does not know, also its first word.

        That word is version 0, PENDING. Only when the service says the saga is past version 1 and the journal has
        lost it, the service's own word is taken. Returns None when the claim is no longer this holder's: it was taken
        over, and the answer to give is the other's.
        """
        args: list[str | bytes | int] = [*self._journal.script_args(ticket.owner), ticket.holder]
        args += [int(ticket.ttl * 1000), stored.status, json.dumps(stored.headers)]
        args += [stored.body_head, stored.body_tail]
        if saga is None:
            args += ["", 0, 0, b"", "0"]
        else:
            late = saga.version > 1
            word = saga if late else saga.model_copy(update={"version": 0, "status": "PENDING"})
            try:
                entry = Entry.of(word, traceparent, now_ms=self._journal.now_ms())
            except EntryTooLarge as error:
                log.error("the journal has the saga of a command without its data: %s", error)
                bare = word.model_copy(update={"data": None})
                entry = Entry.of(bare, traceparent, now_ms=self._journal.now_ms())
            args += [entry.saga, entry.version, entry.ended_ms, entry.body, "1" if late else "0"]
        args.append(ticket.fingerprint)
        keys = [*self._journal.keys(ticket.owner), self._key(ticket)]
        mine, cursor = await self._complete(keys, args)
        if not mine:
            return None
        text = cursor.decode()
        return Done(Position.parse(text), stored.body(text))


def _claimed(ticket: Ticket, word: bytes, rest: Sequence[bytes]) -> Claimed:
    match word, *rest:
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
