"""The signal handlers of a gateway under another ASGI server."""

from __future__ import annotations

import signal
from types import FrameType

from bff.edge.shutdown import ShutdownWatch


async def test_the_servers_handler_is_called_through_a_later_handler_after_the_watch_is_closed() -> None:
    called: list[str] = []
    original = signal.getsignal(signal.SIGTERM)
    try:
        signal.signal(signal.SIGTERM, lambda number, frame: called.append("server"))
        watch = ShutdownWatch(lambda: None)
        watch.start()
        ours = signal.getsignal(signal.SIGTERM)
        assert callable(ours)

        def later(number: int, frame: FrameType | None) -> None:
            called.append("later")
            ours(number, frame)

        signal.signal(signal.SIGTERM, later)
        await watch.close()
        assert signal.getsignal(signal.SIGTERM) is later
        signal.raise_signal(signal.SIGTERM)
        assert called == ["later", "server"]
    finally:
        signal.signal(signal.SIGTERM, original)
