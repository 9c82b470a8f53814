"""A screen: guard → arguments → your function → answer. One class, one walk, read top to bottom."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from ... import calls
from ...calls import Deadline, Ledger, Runner, UpstreamError
from ..declared import View
from ..function_errors import UpstreamFailures, expected_error, is_self_cancelled, self_cancellation
from ..problem import OwnerContacts, Problem
from ..respond import screen_headers, send_json, to_json
from ..state import ConnectionLost, state_of
from .guard import Access, Guard

# What a function may take beyond its deadline before it is cut: every call inside it is cut at the deadline itself
# and then still has to be turned into an answer.
GRACE = 0.05


@dataclass(frozen=True, slots=True)
class ScreenServices:
    """What a screen uses. runner: what its calls go through; incomplete: told a route and how many optional parts did
    not come."""

    guard: Guard
    runner: Runner
    contacts: OwnerContacts
    failures: UpstreamFailures
    incomplete: Callable[[str, int], None]


class ScreenEndpoint:
    """An ASGI endpoint for one view."""

    def __init__(self, view: View, services: ScreenServices) -> None:
        self._view = view
        self._services = services
        # A public view that takes no principal is the same for everybody: whoever asks stays out of it.
        anonymous = view.public and view.binding.who is None
        self._access = Access(view.path, view.requirements, view.public, anonymous, limit=view.limit)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        view, services = self._view, self._services
        deadline = Deadline.after(view.deadline)
        principal = await services.guard.admit(scope, self._access)
        limits = await services.guard.spend(scope, principal, self._access)
        arguments = view.binding.arguments(scope["path_params"], scope["query_string"], None, principal)
        state = state_of(scope)
        request = calls.Scope(
            deadline,
            services.runner,
            state.correlation,
            principal,
            ledger=Ledger(),
            lean=state.degraded,
            contacts=services.contacts.on(scope),
        )
        leaving = DisconnectGuard(state.lost)
        limit = request.alarm.limit(deadline.left() + GRACE)
        try:
            with calls.opened(request), limit:
                result = await view.function(**arguments)
        except asyncio.CancelledError as error:
            if leaving.left:
                raise ClientDisconnect from None
            if is_self_cancelled():
                raise self_cancellation() from error
            raise
        except TimeoutError:
            if not limit.was_cut:
                # The view's own, of something that it waited for.
                raise
            raise Problem(504, "timeout", f"The screen took longer than its {view.deadline:g} s.") from None
        except Exception as error:
            found = expected_error(error)
            if not isinstance(found, UpstreamError):
                if found is None or found is error:
                    raise
                raise found from error
            problem = services.failures.problem(found)
            problem.headers |= {
                name: value
                for name, value in screen_headers(request.ledger, public=False, personal=True).items()
                if name == "server-timing"
            }
            raise problem from error
        finally:
            leaving.over()
        if request.ledger.missing:
            services.incomplete(view.path, request.ledger.missing)
        body = to_json(view.binding.returns, result)
        headers = screen_headers(request.ledger, public=view.public, personal=view.binding.who is not None)
        await send_json(send, 200, body, headers | limits, head=scope["method"] == "HEAD")


class DisconnectGuard:
    """Cancels the current task when its client's connection is lost: what is read for nobody need not be read.

    The connection tells it, no task watches: `bff serve` calls what is in the request's `lost`. Under another server
    nothing tells, and the request runs on to its deadline at most.
    """

    __slots__ = ("_lost", "_task", "left")

    def __init__(self, lost: ConnectionLost | None) -> None:
        self.left = False
        self._lost = lost
        if self._lost is not None:
            self._task = asyncio.current_task()
            self._lost.append(self._leave)
            if self._lost.is_lost:
                # While it was found out who asks.
                self._leave()

    def _leave(self) -> None:
        self.left = True
        if self._task is not None:
            self._task.cancel()

    def over(self) -> None:
        """From here on the answer is being sent."""
        if self._lost is not None:
            self._lost.clear()
