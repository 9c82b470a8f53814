"""Where a stream's bytes go, as the stream sees it: what is given is taken whole or not at all, and nothing is kept."""

from __future__ import annotations

from typing import Protocol


class Outlet(Protocol):
    """One connection's answer. After `last` nothing follows, and nothing else ends it: a chunk of no bytes, which on
    the wire would be the end, is taken and not written.

    paused  the connection has more than it likes to hold;  unsent  bytes it holds that the network has not taken
    """

    @property
    def paused(self) -> bool: ...

    @property
    def unsent(self) -> int: ...

    def write(self, chunk: bytes, *, last: bool = False) -> bool:
        """Write it whole, now; False: not a byte was written, and `send` is the way. Never raises."""

    async def send(self, chunk: bytes, *, last: bool = False) -> None:
        """Write it as soon as the connection takes it. Raises OSError or RuntimeError when it never will."""

    async def drain(self) -> None:
        """Return once it is not `paused`, or will take nothing more. Writes nothing."""

    def abort(self) -> None:
        """Cut the connection off; what was not sent is lost."""
