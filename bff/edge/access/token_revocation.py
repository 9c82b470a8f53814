"""Revokes the tokens of sessions that have ended, at the provider (RFC 7009), after the logout was answered.

No logout waits for it, and a provider that is slow or away costs a warning: the tokens then end by themselves. Each
revocation is a task of this object. At most `PENDING` of them wait or run at once; the tokens of a further session are
not revoked, and the log says so.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from ...calls.shutdown import cancel_tasks
from .fetch import FetchFailed
from .session_record import TokenSet

log = logging.getLogger("bff.session")

PENDING = 256
"""Sessions whose tokens are being revoked at once."""
CLOSE_WAIT = 3.0
"""Seconds that a gateway which stops waits for revocations under way."""

Revoke = Callable[[TokenSet], Awaitable[None]]
"""Revokes the tokens of one session. Raises FetchFailed."""


class TokenRevocations:
    """`start(revoke, tokens)` returns at once."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, revoke: Revoke, tokens: TokenSet) -> None:
        if len(self._tasks) >= PENDING:
            log.warning("the tokens of a session are not revoked: %d revocations wait already", PENDING)
            return
        task = asyncio.get_running_loop().create_task(_run(revoke, tokens), name="bff-revocation")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Wait for those under way, at most `CLOSE_WAIT` seconds."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSE_WAIT)
        await cancel_tasks(list(self._tasks))


async def _run(revoke: Revoke, tokens: TokenSet) -> None:
    try:
        await revoke(tokens)
    except FetchFailed as error:
        log.warning("the tokens of a session that has ended are not revoked: %s", error)
    except Exception:
        log.exception("revoking the tokens of a session failed")
