"""What a recorded stream says of itself: its joins, resets and its end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bff.live.outlet import BUFFER_BYTES
from bff.live.stream import Stream

from .test_stream import ADA, LISTENER, Socket, event, join, opened


class Trace:
    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def add_event(self, name: str, attributes: Mapping[str, Any] = {}) -> None:
        self.events.append((name, dict(attributes)))

    def end(self) -> None:
        self.events.append(("ended", {}))


def traced(after: str | None = None, queue: int = 8) -> tuple[Stream, Socket, Trace]:
    socket, trace = Socket(queue), Trace()
    one = Stream(ADA, after, (), socket, LISTENER, queue=queue, ends_at=0, end_reason="age", trace=trace)
    return one, socket, trace


def test_a_new_stream_joins_with_the_state_and_a_resumed_one_with_its_history() -> None:
    one, _, trace = traced()
    join(one, opened(3, "snapshot", b"{}"))
    assert trace.events == [("bff.stream.join", {"bff.join": "state", "bff.entries": 1})]
    one, _, trace = traced("e-2")
    join(one, opened(3, "history", b"{}"))
    assert trace.events == [("bff.stream.join", {"bff.join": "history", "bff.entries": 1})]


def test_a_reset_says_why() -> None:
    for after in ("other-2", "no position"):
        one, _, trace = traced(after)
        join(one, opened(3, "reset"))
        assert trace.events[-1] == ("bff.stream.reset", {"bff.reason": "position-unknown"})
    one, socket, trace = traced()
    join(one, opened(0))
    socket.open = False
    for offset in range(1, 12):
        one.on_event(*event(offset, entry=b"x" * (BUFFER_BYTES // 4)))
    assert trace.events[-1][0] == "bff.stream.lagging"
    socket.open = True
    one.state = "joining"
    join(one, opened(11))
    assert trace.events[-1] == ("bff.stream.reset", {"bff.reason": "buffer-full"})
    one.rejoin()
    join(one, opened(11, "history"))
    assert trace.events[-1][0] == "bff.stream.join"


def test_the_end_says_its_reason_once() -> None:
    one, _, trace = traced()
    one.end("logout", None)
    one.end("age", None)
    assert trace.events == [("bff.stream.end", {"bff.reason": "logout"})]
    one, _, trace = traced()
    one.await_restore(())
    one.abort()
    assert trace.events == [("bff.stream.await_restore", {}), ("bff.stream.end", {"bff.reason": "abort"})]
