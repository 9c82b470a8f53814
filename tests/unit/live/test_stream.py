import asyncio
import json

from bff.calls import Principal
from bff.live import ValueTopic, frames
from bff.live.stream import Stream
from bff.live.topics import topic_of
from bff.stores.journal import Opened, Position
from bff.stores.values import Value

ADA = Principal("https://id.example", "ada", token="t", expires_at=0)


def stream(after: str | None = None, *, queue: int = 8, names: tuple[str, ...] = ()) -> Stream:
    return Stream(ADA, after, names, queue=queue, ends_at=0, why="age")


def opened(offset: int, kind: str = "snapshot", *entries: bytes) -> Opened:
    return Opened(Position("e", offset), True, kind, entries)  # type: ignore[arg-type]


def event(offset: int, epoch: str = "e") -> tuple[Position, bytes]:
    position = Position(epoch, offset)
    return position, frames.saga(position, b"{}")


def join(one: Stream, found: Opened, values: dict[str, Value] | None = None) -> bool:
    assert found.position is not None
    return one.join(found, found.position, values or {})


async def sent(one: Stream) -> list[tuple[str, str]]:
    """(event, id) of all that waits."""
    one.beat(b"event: mark\n\n")
    told = []
    for block in ((await one.next()) or b"").decode().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines())
        if lines and lines["event"] != "mark":
            told.append((lines["event"], lines.get("id", "")))
    return told


async def test_what_was_published_while_joining_follows_the_snapshot_without_repeats() -> None:
    one = stream()
    for offset in (4, 5, 6):
        assert one.offer(*event(offset))
    assert join(one, opened(5))
    assert await sent(one) == [("snapshot", "e-5"), ("saga", "e-6")]
    assert not one.joining


async def test_a_history_is_numbered_from_the_cursor() -> None:
    one = stream("e-3")
    assert join(one, opened(5, "history", b"{}", b"{}"))
    assert one.offer(*event(5))
    assert one.offer(*event(6))
    assert await sent(one) == [("saga", "e-4"), ("saga", "e-5"), ("saga", "e-6")]


async def test_a_gap_sends_nothing_until_the_journal_has_filled_it() -> None:
    one = stream()
    join(one, opened(5))
    await sent(one)
    assert not one.offer(*event(8))
    assert one.joining
    assert one.offer(*event(9))
    assert await sent(one) == []
    assert join(one, opened(8, "history", b"{}", b"{}", b"{}"))
    assert await sent(one) == [("saga", f"e-{offset}") for offset in (6, 7, 8, 9)]


async def test_another_epoch_is_a_gap_that_ends_in_a_reset() -> None:
    one = stream()
    join(one, opened(5))
    await sent(one)
    assert not one.offer(*event(1, "f"))
    assert one.join(Opened(Position("f", 1), True, "reset", ()), Position("f", 1), {})
    assert await sent(one) == [("reset", "f-1")]


async def test_a_cursor_that_cannot_be_read_gets_a_reset() -> None:
    one = stream("not ours")
    join(one, opened(5))
    assert await sent(one) == [("reset", "e-5")]


async def test_too_much_held_while_joining_is_read_from_the_journal_instead() -> None:
    one = stream(queue=8)
    for offset in range(1, 30):
        one.offer(*event(offset))
    assert not join(one, opened(2))
    assert join(one, opened(29, "history", *[b"{}"] * 27))
    assert [id for _, id in await sent(one)] == [f"e-{offset}" for offset in range(2, 30)]


async def test_a_stream_nobody_reads_is_ended_and_keeps_nothing() -> None:
    one = stream(queue=8)
    join(one, opened(0))
    for offset in range(1, 20):
        one.offer(*event(offset))
    assert one.ended
    assert one.position is not None and one.position.offset < 12
    assert await sent(one) == [("bye", "")]
    assert await one.next() is None


async def test_large_events_count_by_their_bytes() -> None:
    one = stream(queue=1000)
    join(one, opened(0))
    for offset in range(1, 40):
        position = Position("e", offset)
        one.offer(position, frames.saga(position, b"x" * 60_000))
    assert one.ended


async def test_values_keep_only_the_newest_and_wait_for_the_snapshot() -> None:
    one = stream(names=("stock/a",))
    one.offer_value("stock/a", Value(3, b'{"version":3}'))
    one.offer_value("stock/b", Value(9, b"{}"))
    join(one, opened(0), {"stock/a": Value(2, b'{"version":2}')})
    chunk = await one.next()
    assert chunk is not None and chunk.endswith(b'"values":[{"version":3}]}\n\n')
    for version in (4, 3, 6, 5):
        one.offer_value("stock/a", Value(version, b"%d" % version))
    assert await one.next() == b"event: value\ndata: 6\n\n"


async def test_a_closed_stream_wakes_its_reader() -> None:
    one = stream()
    reading = asyncio.ensure_future(one.next())
    await asyncio.sleep(0)
    one.close()
    assert await asyncio.wait_for(reading, 1) is None


def test_bye_says_when_to_return_in_both_languages() -> None:
    frame = frames.bye("drain", 1.5)
    assert frame.endswith(b"\n\n")
    assert sorted(frame.split(b"\n")[:-2]) == [
        b'data: {"reason":"drain","retry_after":1.5}',
        b"event: bye",
        b"retry: 1500",
    ]
    assert json.loads(frames.bye("expired", None).split(b"data: ")[1]) == {
        "reason": "expired",
        "retry_after": None,
    }


def test_a_name_belongs_to_the_topic_whose_template_it_fits() -> None:
    topics = [ValueTopic("stock/{sku}", public=True), ValueTopic("fx/{from}/{to}")]
    assert topic_of(topics, "stock/mug-01") is topics[0]
    assert topic_of(topics, "fx/eur/usd") is topics[1]
    for name in ("stock", "stock/", "stock/a/b", "other/a", "stock/a b"):
        assert topic_of(topics, name) is None
