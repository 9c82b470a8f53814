"""The journal: one ordered, resumable history of saga events for each owner, with the resulting snapshot.

Guarantees: the offsets of one epoch have no gaps, the events of each saga are in version order, a repeat is dropped,
history and snapshot are read at one moment, and a position never names another event later, even when Redis loses data
that it confirmed. When a cursor cannot be followed exactly (unknown epoch, trimmed, beyond the head), the answer is
`reset` with the snapshot; also when the history is larger than 64 KiB and larger than the snapshot.

Keys (after the prefix of keys.py), all in the slot of `{t}`, the owner's tag, and with the same TTL: `retain` seconds
after the last event:

    {t}:meta      hash    epoch, offset, replication_id (of Redis when the epoch began, see docs/redis.md), complete_in
                          (the replication id under which the journal was restored or known to need no restore)
    {t}:log       stream  `<offset>-0`, field `e`: the entry; trimmed to exactly `history`
    {t}:state     hash    `<type>/<id>` → its newest entry: the snapshot, at most 100; cut to STATE_BYTES when it is
                          read, the sagas that ended longest ago first
    {t}:order     zset    `<type>/<id>` → offset of its newest event
    {t}:ended     zset    `<type>/<id>` → ms at which it ended; leaves the snapshot after `keep` seconds
    {t}:versions  hash    `<type>/<id>` → its last version, to drop repeats; at most 1,000
    {t}:touched   zset    `<type>/<id>` → ms of its last event
    {t}:parked    hash    `<type>/<id>|<version>` → an event that came before its predecessor; at most 256
    {t}:waiting   zset    `<type>/<id>|<version>` → ms since when it waits; appended anyway after `gap` seconds

Each event is also published to the channel `{t}:channel`, in the same slot, as `<epoch>-<offset> <entry>`.
"""

from __future__ import annotations

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
from .keys import owner_tag, redis_key
from .redis.client import RedisClient, store_errors
from .redis.scripts import Step, run_all

Appended = Literal["appended", "repeat", "held"]
Kind = Literal["history", "snapshot", "reset"]

_POSITION = re.compile(r"([A-Za-z0-9]{1,32})-(0|[1-9][0-9]{0,14})")
_BATCH = 64
"""Journals whose overdue events are released in one write."""
STATE_BYTES = 7_000_000
"""Size limit of one snapshot: 100 sagas of 64 KiB, the largest event, and what the gateway adds to each."""
ENTRY_BYTES = 4 * 1024 * 1024
"""Size limit of one entry. An event is smaller; a saga that a service restores may be larger."""
_FIELDS = (
    "id",
    "type",
    "status",
    "step",
    "attempt",
    "version",
    "reason",
    "mutation",
    "mutations",
    "at",
    "data",
)


class Keys(NamedTuple):
    """The keys of one owner: KEYS 1–9 of every script that includes `_journal`."""

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
    """A new, random epoch."""
    return secrets.token_hex(8)


@dataclass(frozen=True, slots=True)
class Position:
    """A position in a journal. Its text `<epoch>-<offset>` is the stream's event id and a command's cursor."""

    epoch: str
    offset: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.offset}"

    @classmethod
    def unresumable(cls) -> Position:
        """A position in no journal: a client that resumes from it gets `reset`."""
        return cls(new_epoch(), 0)

    @classmethod
    def parse(cls, text: str) -> Position | None:
        """The position in a text from a client, None when the text is not a position."""
        found = _POSITION.fullmatch(text)
        return cls(found[1], int(found[2])) if found else None


class EntryTooLarge(BffError):
    """A saga's status is larger than ENTRY_BYTES, too large for a stream."""

    code = "entry-too-large"


@dataclass(frozen=True, slots=True)
class Entry:
    """One saga event as it is stored and sent. ended_ms: Unix ms at which the saga ended, 0 while it has not; body: one
    line of JSON, the data of the event `saga` in docs/contract.md."""

    saga: str
    version: int
    ended_ms: int
    body: bytes

    @classmethod
    def of(cls, saga: SagaStatus, traceparent: str | None = None, *, now_ms: int) -> Entry:
        """The entry of a saga. now_ms: replaces an `at` that cannot be read or is in the future. Raises
        EntryTooLarge."""
        printed = codec_of(type(saga)).encode(saga, include=set(_FIELDS))
        ended = at_ms(saga.at, now_ms) if saga.status in ENDED else 0
        name = f"{saga.type}/{saga.id}"
        line = b'%b,"traceparent":%b}' % (printed[:-1], to_json(traceparent))
        if len(line) > ENTRY_BYTES:
            raise EntryTooLarge(f"saga {name} takes {len(line)} bytes; the limit is {ENTRY_BYTES}")
        return cls(name, saga.version, max(ended, 0), line)


@dataclass(frozen=True, slots=True)
class Opened:
    """The result of `open`, read at one moment.

    position  the journal's head; None when there is no journal
    complete  False: the journal may lack sagas, so restore it
    kind      history: `entries` are all events after the cursor up to the head; snapshot and reset: they are the state,
              newest first
    """

    position: Position | None
    complete: bool
    kind: Kind
    entries: tuple[bytes, ...]

    @property
    def reader_position(self) -> Position:
        """The position at which its reader continues. Without a journal it is one that cannot be resumed, because the
        next event starts a journal."""
        return self.position or Position.unresumable()


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a journal. position: None when there is no journal. complete: see `Opened`; under another replication
    id of Redis no journal is complete until it is restored."""

    position: Position | None
    complete: bool


def at_ms(at: str, now_ms: int) -> int:
    """Unix ms of an `at`; now for one that cannot be read or is in the future."""
    return min(_ms(at) or now_ms, now_ms)


def _ms(at: str) -> int | None:
    try:
        moment = datetime.fromisoformat(at)
    except ValueError:
        return None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


@lru_cache(4096)
def channel_of(owner: str) -> str:
    """The pub/sub channel of one owner's events."""
    return redis_key(owner_tag(owner), "channel")


class Journal:
    """The owners' journals. Every method raises StoreUnavailable when Redis is away.

    history  events stored for resuming (default 500, 10–10,000)
    keep     seconds for which an ended saga stays in the snapshot (default 24 h)
    retain   seconds for which a journal is stored after its last event (default 7 days, never less than `keep`)
    gap      seconds for which an event waits for the one before it (default 2)
    clock    Unix seconds; None uses Redis' clock, so that processes agree
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
        self._release = redis.script("journal_release")
        self._head = redis.script("journal_head")

    def now_ms(self) -> int:
        """Unix milliseconds by the injected clock, otherwise by this machine's."""
        return int((self._clock or time.time)() * 1000)

    def keys(self, owner: str) -> Keys:
        """The keys of this owner's journal."""
        start = redis_key(owner_tag(owner))
        return Keys._make(f"{start}:{name}" for name in Keys._fields)

    def script_args(self, owner: str) -> list[str | int]:
        """ARGV 1–8 of every script that includes `_journal`."""
        now = 0 if self._clock is None else int(self._clock() * 1000)
        gap_ms = int(self.gap * 1000)
        limits = (self._history, self._keep_ms, self._retain, gap_ms)
        return [channel_of(owner), now, self._new_id(), *limits, self._redis.publish_command]

    async def append(self, owner: str, entry: Entry) -> Appended:
        """Append an event unless it is a repeat. An event that arrives before its predecessor is held until the
        predecessor arrives, or until `release_overdue`."""
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
        """Append held events that have waited longer than `gap`. Returns the number that still waits."""
        return int(await self._release(self.keys(owner), self.script_args(owner)))

    async def _release_all(self, owners: Sequence[str]) -> None:
        for start in range(0, len(owners), _BATCH):
            batch = owners[start : start + _BATCH]
            steps = [Step(self._release, self.keys(owner), self.script_args(owner)) for owner in batch]
            await run_all(self._redis, steps)

    async def open(self, owner: str, after: Position | None, *, make: bool = False) -> Opened:
        """Read the head and the history after the cursor, or the snapshot, in one round trip.

        make: create a missing journal and mark it complete, for gateways that cannot restore sagas.
        """
        step = self.open_step(owner, after, make=make)
        return self.parse_opened(await step.script(step.keys, step.args))

    def open_step(self, owner: str, after: Position | None, *, make: bool = False) -> Step:
        """`open` as a step to be sent with others."""
        epoch, offset = (after.epoch, after.offset) if after else ("", 0)
        return Step(
            self._open,
            self.keys(owner),
            [*self.script_args(owner), epoch, offset, "1" if make else "0", STATE_BYTES],
        )

    @staticmethod
    def parse_opened(answer: Sequence[Any]) -> Opened:
        """The result of `open_step`."""
        epoch, head, complete, kind, entries = answer
        position = Position(epoch.decode(), int(head)) if epoch else None
        return Opened(position, bool(complete), kind.decode(), tuple(entries))

    async def seed(self, owner: str, entries: Sequence[Entry]) -> bool:
        """Store restored sagas (newest first) in an incomplete journal. Returns False when it is complete already.

        A saga is not changed when the journal has the same version or a later one.
        """
        args: list[str | bytes | int] = [*self.script_args(owner)]
        for entry in reversed(entries[:100]):
            args += [entry.saga, entry.version, entry.ended_ms, entry.body]
        return bool(await self._seed(self.keys(owner), args))

    async def mark_incomplete(self) -> int:
        """Mark all journals incomplete, so that each is restored when it is next opened or compared. Returns their
        number. Scans all keys of Redis, a thousand at a time."""
        count = 0
        async for metas in self._redis.scan_keys(redis_key("*", "meta")):
            with store_errors("marking journals incomplete"):
                await self._redis.batch([("HDEL", meta, "complete_in") for meta in metas])
            count += len(metas)
        return count

    async def heads(self, owners: Iterable[str]) -> dict[str, Head]:
        """Read the heads of many journals in one round trip. Also releases overdue events: the process that held them
        may have ended."""
        names = list(owners)
        keys = [self.keys(owner) for owner in names]
        answers = await run_all(
            self._redis, [Step(self._head, [each.meta, each.waiting], ()) for each in keys]
        )
        await self._release_all([owner for owner, answer in zip(names, answers, strict=True) if answer[3]])
        return {
            owner: Head(Position(epoch.decode(), int(offset)) if epoch else None, bool(complete))
            for owner, (epoch, offset, complete, _) in zip(names, answers, strict=True)
        }

    async def saga(self, owner: str, type: str, id: str) -> bytes | None:
        """The newest entry of one saga of this owner, None when the snapshot has none."""
        with store_errors("journal saga"):
            entry: bytes | None = await self._redis.call("HGET", self.keys(owner).state, f"{type}/{id}")
        return entry
