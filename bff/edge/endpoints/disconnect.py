"""Ends the work for a client that has left."""

from __future__ import annotations

import asyncio

from ..state import RequestState


class DisconnectGuard:
    """Cancels the current task when the client's connection is lost: no client would get the answer.

    The connection of `bff serve` calls it through the request's `on_lost`, so no task has to watch. Under another
    server nothing calls it, and the request runs until its deadline at most.
    """

    __slots__ = ("_on_lost", "_task", "happened")

    def __init__(self, state: RequestState) -> None:
        self.happened = False
        self._on_lost = state.on_lost
        self._task = asyncio.current_task()
        self._on_lost.append(self.on_disconnect)
        if state.is_lost:
            # It was lost while the request was being authenticated.
            self.on_disconnect()

    def on_disconnect(self) -> None:
        """The connection is lost."""
        self.happened = True
        if self._task is not None:
            self._task.cancel()

    def disarm(self) -> None:
        """From here on the answer is being sent."""
        self._on_lost.clear()
