"""The journal: one ordered, resumable history of saga events for each owner, with the snapshot it leads to.

Promises: offsets of one epoch are contiguous, each saga's events stand in version order, a repeat is dropped, history
and snapshot are read at one moment, and a position has one meaning for ever, even when Redis loses what it confirmed.
Refuses to honour a cursor it cannot honour exactly (unknown epoch, trimmed, above the top): it says `reset` and hands
out the snapshot instead; so it does where the history is more than 64 KiB and more than the snapshot.

Keys, all in the slot of `{t}`, the owner's tag (first 16 hex digits of SHA-256 of the principal's id), all with the
same TTL, `retain` seconds after the last event:

    bff:{t}:meta      hash    epoch, offset, life (of Redis' data in which the epoch began, see docs/redis.md), whole
                              (the life in which it was restored or known to need no restore)
    bff:{t}:log       stream  `<offset>-0`, field `e`: the entry; trimmed to exactly `history`
    bff:{t}:state     hash    `<type>/<id>` → its newest entry: the snapshot, at most 100; when it is read it is cut to
                              STATE_BYTES, what ended longest ago first
    bff:{t}:order     zset    `<type>/<id>` → offset of its newest event
    bff:{t}:ended     zset    `<type>/<id>` → ms at which it ended; leaves the snapshot after `keep` seconds
    bff:{t}:versions  hash    `<type>/<id>` → its last version, so that repeats are dropped; at most 1,000
    bff:{t}:touched   zset    `<type>/<id>` → ms of its last event
    bff:{t}:parked    hash    `<type>/<id>|<version>` → an event ahead of its turn; at most 256
    bff:{t}:waiting   zset    `<type>/<id>|<version>` → ms since which it waits; let through after `gap` seconds

Each event is also published to the channel `bff:{t}:channel`, in the same slot, as `<epoch>-<offset> <entry>`.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal, NamedTuple, get_args

from pydantic_core import to_json

from ..calls import ENDED, BffError, SagaStatus
from ..calls.codec import codec_of
from .redis.client import RedisClient, store_errors
from .redis.scripts import Step, run_all

Appended = Literal["appended", "repeat", "held"]
Kind = Literal["history", "snapshot", "reset"]

_POSITION = re.compile(r"([A-Za-z0-9]{1,32})-(0|[1-9][0-9]{0,14})")
_TOGETHER = 64
"""Journals settled in one write."""
STATE_BYTES = 7_000_000
"""Of the entries of one snapshot: 100 sagas of 64 KiB, the largest event, and what the gateway adds to each."""
ENTRY_BYTES = 4 * 1024 * 1024
"""Of one entry. An event is smaller; what a service restores need not be."""
_FIELDS = ("id", "type", "status", "step", "attempt", "version", "reason", "mutation", "at", "data")


class Keys(NamedTuple):
    """Of one owner: KEYS 1–9 of every script that includes `_journal`."""

    meta: str
    log: str
    state: str
    order: str
    ended: str
    versions: str
    touched: str
    parked: str
    waiting: str


def new_epoch() -> str:
    """One that never was before."""
    return secrets.token_hex(8)


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a journal. Its text `<epoch>-<offset>` is the stream's event id and a command's cursor."""

    epoch: str
    offset: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.offset}"

    @classmethod
    def unresumable(cls) -> Position:
        """In no journal: nothing can be resumed from it, and whoever comes with it is told `reset`."""
        return cls(new_epoch(), 0)

    @classmethod
    def parse(cls, text: str) -> Position | None:
        """The position a client sent back, None when it is not one of ours."""
        found = _POSITION.fullmatch(text)
        return cls(found[1], int(found[2])) if found else None


class EntryTooLarge(BffError):
    """A saga's status takes more than ENTRY_BYTES: no stream could carry it."""

    code = "entry-too-large"


@dataclass(frozen=True, slots=True)
class Entry:
    """One saga event as stored and sent: `body` is one line of JSON, the contract's `saga` data."""

    saga: str
    version: int
    ended_ms: int
    body: bytes

    @classmethod
    def of(cls, saga: SagaStatus, traceparent: str | None = None, *, now_ms: int) -> Entry:
        """now_ms: stands in for an `at` that cannot be read, and caps one that lies in the future. Raises
        EntryTooLarge."""
        printed = codec_of(type(saga)).encode(saga, include=set(_FIELDS))
        ended = min(_ms(saga.at) or now_ms, now_ms) if saga.status in ENDED else 0
        name = f"{saga.type}/{saga.id}"
        line = b'%b,"traceparent":%b}' % (printed[:-1], to_json(traceparent))
        if len(line) > ENTRY_BYTES:
            raise EntryTooLarge(f"saga {name} takes {len(line)} bytes, and at most {ENTRY_BYTES} are kept")
        return cls(name, saga.version, max(ended, 0), line)


@dataclass(frozen=True, slots=True)
class Opened:
    """What `open` found, all at one moment.

    position  the journal's top; None when there is no journal
    whole     False: there may be sagas the journal has never heard of, so restore it
    kind      history: `entries` follow the cursor one by one up to the top; snapshot and reset: they are the state,
              newest first
    """

    position: Position | None
    complete: bool
    kind: Kind
    entries: tuple[bytes, ...]

    @property
    def reader_position(self) -> Position:
        """Where its reader stands: without a journal there is nothing to resume from, the next event begins one."""
        return self.position or Position.unresumable()


@dataclass(frozen=True, slots=True)
class Head:
    """Where a journal stands. position: None when there is none. whole: see `Opened`; in another life of Redis' data no
    journal is, until it was restored."""

    position: Position | None
    complete: bool


def _ms(at: str) -> int | None:
    try:
        moment = datetime.fromisoformat(at)
    except ValueError:
        return None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


@lru_cache(4096)
def owner_tag(owner: str) -> str:
    """The hash tag of everything that belongs to one principal id."""
    return hashlib.sha256(owner.encode()).hexdigest()[:16]


def channel_of(owner: str) -> str:
    """The pub/sub channel of one owner's events."""
    return f"bff:{{{owner_tag(owner)}}}:channel"


class Journal:
    """The owners' journals. Every method raises StoreUnavailable when Redis is away.

    history  events kept for resuming (default 500, 10–10,000)
    keep     seconds an ended saga stays in the snapshot (default 24 h)
    retain   seconds a journal outlives its last event (default 7 days, never less than `keep`)
    gap      seconds an event waits for the one before it (default 2)
    clock    Unix seconds; None asks the server, so that processes agree
    new_id   makes an epoch: letters and digits, at most 32
    """

    def __init__(
        self,
        redis: RedisClient,
        *,
        history: int = 500,
        keep: float = 86_400.0,
        retain: float = 7 * 86_400.0,
        gap: float = 2.0,
        clock: Callable[[], float] | None = None,
        new_id: Callable[[], str] = new_epoch,
    ) -> None:
        self.gap = gap
        self._redis = redis
        self._history = history
        self._keep_ms = int(keep * 1000)
        self._retain = int(max(retain, keep))
        self._clock = clock
        self._new_id = new_id
        self._append = redis.script("journal_append")
        self._open = redis.script("journal_open")
        self._seed = redis.script("journal_seed")
        self._settle = redis.script("journal_settle")
        self._head = redis.script("journal_head")

    def now_ms(self) -> int:
        """Unix milliseconds by the injected clock, else this machine's."""
        return int((self._clock or time.time)() * 1000)

    def keys(self, owner: str) -> Keys:
        """Where this owner's journal is."""
        tag = owner_tag(owner)
        return Keys._make(f"bff:{{{tag}}}:{name}" for name in Keys._fields)

    def script_args(self, owner: str) -> list[str | int]:
        """ARGV 1–8 of every script that includes `_journal`."""
        now = 0 if self._clock is None else int(self._clock() * 1000)
        gap_ms = int(self.gap * 1000)
        kept = (self._history, self._keep_ms, self._retain, gap_ms)
        return [channel_of(owner), now, self._new_id(), *kept, self._redis.publish_command]

    async def append(self, owner: str, entry: Entry) -> Appended:
        """Write an event unless it is a repeat; one ahead of its turn is held, and `settle` lets it through."""
        answer = await self._append(
            self.keys(owner),
            [*self.script_args(owner), entry.saga, entry.version, entry.ended_ms, entry.body],
        )
        word = answer.decode()
        for outcome in get_args(Appended):
            if word == outcome:
                return outcome  # type: ignore[no-any-return]  # get_args is untyped
        raise ValueError(f"journal_append answered {word!r}")

    async def release_overdue(self, owner: str) -> int:
        """Let through what has waited longer than `gap`. Returns how many events still wait."""
        return int(await self._settle(self.keys(owner), self.script_args(owner)))

    async def _settle_all(self, owners: Sequence[str]) -> None:
        for start in range(0, len(owners), _TOGETHER):
            some = owners[start : start + _TOGETHER]
            await run_all(
                self._redis, [Step(self._settle, self.keys(one), self.script_args(one)) for one in some]
            )

    async def open(self, owner: str, after: Position | None, *, make: bool = False) -> Opened:
        """Top and history after the cursor, or the snapshot, in one round trip.

        make: create an absent journal and call it whole, for owners whose sagas cannot be restored.
        """
        step = self.open_step(owner, after, make=make)
        return self.parse_opened(await step.script(step.keys, step.args))

    def open_step(self, owner: str, after: Position | None, *, make: bool = False) -> Step:
        """`open` as a step among others."""
        epoch, offset = (after.epoch, after.offset) if after else ("", 0)
        return Step(
            self._open,
            self.keys(owner),
            [*self.script_args(owner), epoch, offset, "1" if make else "0", STATE_BYTES],
        )

    @staticmethod
    def parse_opened(answer: Sequence[Any]) -> Opened:
        """What `opening` answered."""
        found, top, whole, kind, entries = answer
        position = Position(found.decode(), int(top)) if found else None
        return Opened(position, bool(whole), kind.decode(), tuple(entries))

    async def seed(self, owner: str, entries: Sequence[Entry]) -> bool:
        """Put restored sagas (newest first) into a journal that is not whole; False when another was quicker.

        A saga the journal already knows at that version or a later one is left alone.
        """
        args: list[str | bytes | int] = [*self.script_args(owner)]
        for entry in reversed(entries[:100]):
            args += [entry.saga, entry.version, entry.ended_ms, entry.body]
        return bool(await self._seed(self.keys(owner), args))

    async def mark_incomplete(self) -> int:
        """Every journal there is may lack something: none is whole any more, so each is restored when it is next
        opened or compared. Returns how many there are. It looks through all of Redis, a thousand keys at a time."""
        count = 0
        async for metas in self._redis.scan_keys("bff:{*}:meta"):
            with store_errors("doubting journals"):
                await self._redis.batch([("HDEL", meta, "whole") for meta in metas])
            count += len(metas)
        return count

    async def heads(self, owners: Iterable[str]) -> dict[str, Head]:
        """Where each journal stands, all in one round trip. Gaps that are overdue are let through on the way, for
        whoever held them may be gone."""
        names = list(owners)
        keys = [self.keys(owner) for owner in names]
        answers = await run_all(self._redis, [Step(self._head, [one.meta, one.waiting], ()) for one in keys])
        await self._settle_all([owner for owner, answer in zip(names, answers, strict=True) if answer[3]])
        return {
            owner: Head(Position(epoch.decode(), int(offset)) if epoch else None, bool(whole))
            for owner, (epoch, offset, whole, _) in zip(names, answers, strict=True)
        }

    async def saga(self, owner: str, type: str, id: str) -> bytes | None:
        """The newest entry of one saga of this owner, None when the snapshot has none."""
        with store_errors("journal saga"):
            entry: bytes | None = await self._redis.call("HGET", self.keys(owner).state, f"{type}/{id}")
        return entry
