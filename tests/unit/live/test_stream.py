import asyncio
import json
from typing import Any

import pytest

from bff.calls import Principal
from bff.edge.http import sse
from bff.edge.http.outlet import SseOutlet
from bff.live import ValueTopic
from bff.live.outlet import BUFFER_BYTES
from bff.live.stream import Stream
from bff.live.timing_wheel import TimingWheel
from bff.live.topics import topic_of
from bff.stores.journal import Opened, Position

ADA = Principal("https://id.example", "ada", token="t", expires_at=0)


class Socket(SseOutlet):
    """An outlet whose connection accepts everything while it is `open`."""

    paused = False
    unsent = 0

    def __init__(self, queue: int) -> None:
        super().__init__(queue)
        self.open = True
        self.chunks: list[bytes] = []
        self.ended = self.cut = False

    def write(self, chunk: bytes, *, last: bool = False) -> bool:
        if self.open:
            self.chunks.append(chunk)
            self.ended = self.ended or last
        return self.open

    async def send(self, chunk: bytes, *, last: bool = False) -> None:
        while self.paused or not self.open:
            await asyncio.sleep(0)
        if chunk:
            self.write(chunk, last=last)

    def abort(self) -> None:
        self.cut = True

    @property
    def waiting_bytes(self) -> int:
        return self._buffer.size if self._buffer else 0


class Listener:
    """Records what streams report."""

    def __init__(self) -> None:
        self.buffering: list[Stream] = []
        self.resets: list[str | None] = []

    def on_buffering(self, stream: Stream) -> None:
        self.buffering.append(stream)

    def on_joined(self, stream: Stream, reset: str | None) -> None:
        self.resets.append(reset)


class AbortingListener(Listener):
    """Behaves like a hub that has stopped."""

    def on_buffering(self, stream: Stream) -> None:
        stream.abort()


LISTENER: Any = Listener()
ABORTING: Any = AbortingListener()
SOCKETS: dict[Stream, Socket] = {}


def stream(
    after: str | None = None, *, queue: int = 8, names: tuple[str, ...] = (), listener: Any = LISTENER
) -> Stream:
    socket = Socket(queue)
    one = Stream(ADA, after, names, socket, listener, queue=queue, ends_at=0, end_reason="age")
    SOCKETS[one] = socket
    return one


def opened(offset: int, kind: str = "snapshot", *entries: bytes) -> Opened:
    return Opened(Position("e", offset), True, kind, entries)  # type: ignore[arg-type]


def event(offset: int, epoch: bytes = b"e", entry: bytes = b"{}") -> tuple[bytes, int, bytes, bytes]:
    return epoch, offset, b"%b-%d" % (epoch, offset), entry


def join(one: Stream, found: Opened, *values: bytes) -> bool:
    return one.join(found, values)


def waiting(one: Stream) -> int:
    return SOCKETS[one].waiting_bytes


def sent(one: Stream) -> list[tuple[str, str]]:
    """(event, id) of the frames written since the last call."""
    chunks, SOCKETS[one].chunks = SOCKETS[one].chunks, []
    events = []
    for block in b"".join(chunks).decode().split("\n\n")[:-1]:
        lines = dict(line.split(": ", 1) for line in block.splitlines())
        if "event" in lines:
            events.append((lines["event"], lines.get("id", "")))
    return events


def test_events_published_while_joining_follow_the_snapshot_without_repeats() -> None:
    one = stream()
    for offset in (4, 5, 6):
        assert one.on_event(*event(offset))
    assert join(one, opened(5))
    assert sent(one) == [("snapshot", "e-5"), ("saga", "e-6")]
    assert one.state == "live"
    assert one.on_event(*event(6))
    assert sent(one) == []


def test_a_history_is_numbered_from_the_cursor() -> None:
    one = stream("e-3")
    assert join(one, opened(5, "history", b"{}", b"{}"))
    assert one.on_event(*event(5))
    assert one.on_event(*event(6))
    assert sent(one) == [("saga", "e-4"), ("saga", "e-5"), ("saga", "e-6")]


def test_a_gap_sends_nothing_until_the_journal_has_filled_it() -> None:
    one = stream()
    join(one, opened(5))
    sent(one)
    assert not one.on_event(*event(8))
    assert one.state == "joining"
    assert one.on_event(*event(9))
    assert sent(one) == []
    assert join(one, opened(8, "history", b"{}", b"{}", b"{}"))
    assert sent(one) == [("saga", f"e-{offset}") for offset in (6, 7, 8, 9)]


def test_another_epoch_is_a_gap_that_ends_in_a_reset() -> None:
    one = stream()
    join(one, opened(5))
    sent(one)
    assert not one.on_event(*event(1, b"f"))
    assert one.join(Opened(Position("f", 1), True, "reset", ()), ())
    assert sent(one) == [("reset", "f-1")]


def test_an_event_published_before_the_journal_was_read_and_not_in_it_is_dropped() -> None:
    """It came from a server that is not the master any more, so the journal will never have it."""
    one = stream()
    for stray in (event(9, b"old"), event(7)):
        one.on_event(*stray)
        assert not join(one, opened(5))
        one.rejoin()
        assert join(one, opened(5))
    assert one.on_event(*event(6))


def test_an_invalid_cursor_gets_a_reset() -> None:
    one = stream("not ours")
    assert one.position is None
    join(one, opened(5))
    assert sent(one) == [("reset", "e-5")]


def test_too_many_events_held_while_joining_are_read_from_the_journal_instead() -> None:
    one = stream(queue=8)
    for offset in range(1, 30):
        one.on_event(*event(offset))
    assert not join(one, opened(2))
    assert join(one, opened(29, "history", *[b"{}"] * 27))
    assert [id for _, id in sent(one)] == [f"e-{offset}" for offset in range(2, 30)]


def test_events_held_while_joining_are_bounded_in_bytes_too() -> None:
    one = stream(queue=1000)
    for offset in range(1, 200):
        one.on_event(*event(offset, entry=b"x" * 10_000))
        assert sum(len(entry) for *_, entry in one._held or ()) <= BUFFER_BYTES
    assert not join(one, opened(0)), "dropped events have to be read from the journal"
    assert join(one, opened(199))
    assert sent(one)[-1][1] == "e-199"


async def test_messages_that_a_paused_connection_does_not_take_follow_in_order() -> None:
    one = stream(queue=100, names=("stock/a",))
    join(one, opened(0))
    socket = SOCKETS[one]
    one.on_event(*event(1))
    socket.open = False
    for offset in range(2, 50):
        one.on_event(*event(offset))
        one.on_value("stock/a", b"%d" % offset)
    assert LISTENER.buffering.count(one) == 1
    flushing = asyncio.ensure_future(one.flush(lambda: 0.0))
    await asyncio.sleep(0)
    for offset in range(50, 80):
        one.on_event(*event(offset))
    socket.open = True
    assert await flushing is False
    one.on_event(*event(80))
    written = b"".join(socket.chunks)
    assert [id for _, id in sent(one) if id] == ["e-0", *(f"e-{offset}" for offset in range(1, 81))]
    assert written.count(b"event: value") == 1 and b"data: 49\n" in written


@pytest.mark.parametrize("size", [2, 60_000])
async def test_a_client_that_does_not_read_has_a_bounded_queue_and_then_gets_the_state(
    size: int,
) -> None:
    one = stream(queue=16)
    join(one, opened(0))
    sent(one)
    SOCKETS[one].open = False
    flushing = asyncio.ensure_future(one.flush(lambda: 0.0))
    most = 0
    for offset in range(1, 100):
        one.on_event(*event(offset, entry=b"x" * size))
        most = max(most, waiting(one))
    assert most <= 98_304
    assert one.state == "lagging" and one.position is None and not waiting(one)
    SOCKETS[one].open = True
    assert await flushing, "it needs the journal"
    assert join(one, opened(99, "snapshot", b"{}"))
    assert sent(one) == [("reset", "e-99")]
    one.on_event(*event(100))
    assert sent(one) == [("saga", "e-100")]


async def test_no_journal_is_read_for_a_client_that_does_not_read() -> None:
    one = stream(queue=4)
    join(one, opened(0))
    SOCKETS[one].open = False
    flushing = asyncio.ensure_future(one.flush(lambda: 0.0))
    for offset in range(1, 10):
        one.on_event(*event(offset))
    assert one.state == "lagging"
    one.rejoin()
    assert join(one, opened(9)) and not waiting(one)
    SOCKETS[one].open = True
    assert await flushing and one.state == "joining"
    assert join(one, opened(9))
    assert sent(one)[-1] == ("reset", "e-9")


def test_an_ended_stream_does_not_wait_for_a_journal() -> None:
    one = stream(names=("stock/a",))
    one.end("limit", 1.0)
    one.rejoin()
    one.await_restore([b"7"])
    assert join(one, opened(3))
    assert sent(one) == [("bye", "")] and one.ended


async def test_a_stream_that_lagged_gets_the_newest_values_while_its_sagas_are_unknown() -> None:
    """A slow client, and the journal is lost before it reads again."""
    one = stream(queue=4, names=("stock/a",))
    join(one, opened(0), b"1")
    SOCKETS[one].open = False
    flushing = asyncio.ensure_future(one.flush(lambda: 0.0))
    for offset in range(1, 10):
        one.on_event(*event(offset))
    one.on_value("stock/a", b"2")
    SOCKETS[one].open = True
    assert await flushing
    one.await_restore([b"2"])
    assert b"data: 2\n" in b"".join(SOCKETS[one].chunks)


async def test_a_large_value_is_not_lost_while_the_sagas_are_unknown() -> None:
    """With an outlet that never accepts a chunk at once, as with servers other than uvicorn."""
    one = stream(names=("stock/a",))
    SOCKETS[one].open = False
    large = b"1" * (BUFFER_BYTES + 1)
    one.await_restore([large])
    flushing = asyncio.ensure_future(one.flush(lambda: 0.0))
    SOCKETS[one].open = True
    if await flushing:
        one.rejoin()
        one.await_restore([large])
    assert large in b"".join(SOCKETS[one].chunks)


def test_a_stream_disconnected_while_it_joins_stays_closed() -> None:
    one = stream(listener=ABORTING)
    SOCKETS[one].open = False
    join(one, opened(3))
    assert SOCKETS[one].cut
    assert one.ended, one.state


def test_a_stream_disconnected_by_a_large_event_stays_closed() -> None:
    one = stream(listener=ABORTING)
    join(one, opened(3))
    SOCKETS[one].open = False
    one.on_event(*event(4, entry=b"x" * (BUFFER_BYTES + 1)))
    assert SOCKETS[one].cut
    assert one.ended, one.state


def test_gaps_do_not_fill_the_buffer_of_a_client_that_does_not_read() -> None:
    """The history of a join is buffered once, not once for each gap."""
    one = stream()
    join(one, opened(0))
    SOCKETS[one].open = False
    for top in range(2, 80, 2):
        one.on_event(*event(top))
        join(one, opened(top, "history", b"x" * 30_000, b"x" * 30_000))
    assert waiting(one) <= 4 * 65_536


def test_values_wait_for_the_snapshot() -> None:
    one = stream(names=("stock/a",))
    one.on_value("stock/a", b"3")
    join(one, opened(0), b'{"version":3}')
    assert SOCKETS[one].chunks[0].endswith(b'"values":[{"version":3}]}\n\n')
    one.on_value("stock/a", b"4")
    assert SOCKETS[one].chunks[1:] == [b"event: value\ndata: 4\n\n"]


def test_all_values_are_sent_after_a_resume_and_not_again_after_a_gap() -> None:
    one = stream("e-3", names=("stock/a",))
    join(one, opened(4, "history", b"{}"), b"7")
    assert sent(one) == [("saga", "e-4"), ("value", "")]
    one.on_event(*event(6))
    one.on_value("stock/a", b"8")
    join(one, opened(6, "history", b"{}", b"{}"), b"8")
    # Values and sagas have different feeds, and neither waits for the other.
    assert sent(one) == [("value", ""), ("saga", "e-5"), ("saga", "e-6")]


def test_a_stream_sends_bye_once_and_nothing_after_it() -> None:
    one = stream(names=("stock/a",))
    join(one, opened(0))
    one.end("age", 1.0)
    one.end("drain", 1.0)
    one.on_event(*event(1))
    one.on_value("stock/a", b"8")
    one.heartbeat("now")
    assert sent(one) == [("snapshot", "e-0"), ("bye", "")]
    assert SOCKETS[one].ended


async def test_bye_follows_everything_that_waits() -> None:
    one = stream()
    join(one, opened(0))
    SOCKETS[one].open = False
    one.on_event(*event(1))
    one.end("drain", 1.0)
    SOCKETS[one].open = True
    await one.flush(lambda: 0.0)
    assert sent(one) == [("snapshot", "e-0"), ("saga", "e-1"), ("bye", "")]
    assert SOCKETS[one].ended


def test_the_timing_wheel_returns_only_the_streams_that_are_due() -> None:
    wheel = TimingWheel(0.25, 15.0, now=100.0)
    streams = [stream() for _ in range(40)]
    for number, one in enumerate(streams):
        wheel.put(one, 100.0 + number * 0.5)
    wheel.put(streams[3], 130.0)
    wheel.drop(streams[5])
    met: dict[Stream, float] = {}
    for turn in range(80):
        now = 100.0 + turn * 0.25
        for one in wheel.due(now):
            met[one] = now
    for number, one in enumerate(streams[:30]):
        at = {3: 115.25}.get(number, 100.0 + number * 0.5)
        assert number == 5 or at <= met[one] <= at + 0.25, number
    assert streams[5] not in met
    wheel.put(streams[0], 121.0)
    assert wheel.due(10_000.0) != []


def test_bye_has_the_time_to_reconnect_in_its_data_and_in_a_retry_field() -> None:
    frame = sse.bye("drain", 1.5)
    assert frame.endswith(b"\n\n")
    assert sorted(frame.split(b"\n")[:-2]) == [
        b'data: {"reason":"drain","retry_after":1.5}',
        b"event: bye",
        b"retry: 1500",
    ]
    assert json.loads(sse.bye("expired", None).split(b"data: ")[1]) == {
        "reason": "expired",
        "retry_after": None,
    }


def test_a_name_belongs_to_the_topic_whose_template_it_fits() -> None:
    topics = [ValueTopic("stock/{sku}", public=True), ValueTopic("fx/{from}/{to}")]
    assert topic_of(topics, "stock/mug-01") is topics[0]
    assert topic_of(topics, "fx/eur/usd") is topics[1]
    for name in ("stock", "stock/", "stock/a/b", "other/a", "stock/a b"):
        assert topic_of(topics, name) is None


# ---- while its journal is being restored ----


def lost(offset: int, *entries: bytes, epoch: str = "f") -> Opened:
    return Opened(Position(epoch, offset), False, "reset", entries)


def test_a_stream_that_had_a_state_gets_sagas_without_positions_until_it_joins() -> None:
    one = stream()
    join(one, opened(3))
    sent(one)
    one.rejoin()
    assert one.await_restore((), lost(7, b'{"n":2}', b'{"n":1}'))
    assert [event for event, _ in sent(one)] == ["saga", "saga"]
    assert one.on_event(*event(8, b"f", b'{"n":3}'))
    assert sent(one) == [("saga", "")]
    assert one.position == Position("e", 3)
    one.rejoin()
    assert join(one, Opened(Position("f", 8), True, "reset", (b"{}",)))
    assert sent(one) == [("reset", "f-8")]


def test_an_event_is_not_sent_again_each_time_the_lost_journal_is_read() -> None:
    one = stream("e-3")
    assert one.await_restore((), lost(7, b"{}"))
    sent(one)
    one.rejoin()
    assert one.on_event(*event(8, b"f"))
    assert one.await_restore((), lost(7, b"{}"))
    assert sent(one) == [("saga", "")]
    one.rejoin()
    assert one.await_restore((), lost(8, b"{}"))
    assert sent(one) == []


def test_a_gap_while_it_awaits_the_restore_is_read_from_the_journal() -> None:
    one = stream("e-3")
    assert one.await_restore((), lost(7))
    assert not one.on_event(*event(9, b"f"))
    assert one.state == "joining"
    assert one.await_restore((), lost(9, b"{}"))
    assert [event for event, _ in sent(one)][-1] == "saga"
    # A journal with another epoch is another journal.
    assert not one.on_event(*event(1, b"g"))


def test_a_new_stream_gets_no_saga_before_its_state() -> None:
    one = stream()
    assert one.await_restore((), lost(7, b"{}"))
    assert one.on_event(*event(8, b"f"))
    assert [name for name, _ in sent(one) if name == "saga"] == []


def test_events_published_while_the_journal_cannot_be_read_are_sent_until_the_first_gap() -> None:
    one = stream("e-3")
    assert one.await_restore((), lost(7))
    sent(one)
    one.rejoin()
    assert one.on_event(*event(8, b"f"))
    assert one.on_event(*event(10, b"f"))
    assert one.await_restore(())
    assert sent(one) == [("saga", "")]
    assert not one.on_event(*event(11, b"f"))


def test_an_event_for_many_streams_is_encoded_once() -> None:
    streams = [stream(names=("stock/a",)) for _ in range(3)]
    published, payload = event(1), b'{"version":2}'
    for one in streams:
        join(one, opened(0))
        SOCKETS[one].chunks.clear()
    for one in streams:
        one.on_event(*published)
    for one in streams:
        one.on_value("stock/a", payload)
    for number in range(2):
        assert len({id(SOCKETS[one].chunks[number]) for one in streams}) == 1
    for one in streams:
        # Another entry at the same position, and the same entry at another position.
        one.on_event(*event(2, entry=b"[1]"))
        one.on_event(*event(3, entry=published[3]))
        assert [id for _, id in sent(one) if id] == ["e-1", "e-2", "e-3"]
