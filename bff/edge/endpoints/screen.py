"""A screen: guard → arguments → the view's function → answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from ... import calls
from ...calls import Deadline, RequestRecord, Runner, UpstreamError
from ..declared import Route
from ..dependencies import Resources
from ..function_errors import UpstreamFailures, expected_error, self_cancellation, took_too_long
from ..http.request import is_run_by_page
from ..problem import OwnerContacts, Problem
from ..reply import Download, Renderer
from ..respond import NO_STORE, etag_of, is_known, screen_headers, send_answer
from ..state import state_of
from .disconnect import DisconnectGuard
from .guard import Access, Guard
from .streaming import Downloads, watching

GRACE = 0.05
"""Seconds a function may run beyond its deadline: its calls end at the deadline, and their failures still have to be
turned into an answer."""


class ScreenEndpoint:
    """An ASGI endpoint for one view. runner: runs the calls of its function; on_incomplete: called with the route and
    the number of optional parts that are missing; prefix: the path of the public address; resources: of the
    lifespan; downloads: sends those that the view returns."""

    def __init__(
        self,
        view: Route,
        *,
        guard: Guard,
        runner: Runner,
        contacts: OwnerContacts,
        failures: UpstreamFailures,
        on_incomplete: Callable[[str, int], None],
        prefix: str,
        resources: Resources,
        downloads: Downloads,
    ) -> None:
        self._view = view
        self._deadline = view.deadline
        self._guard = guard
        self._runner = runner
        self._contacts = contacts
        self._failures = failures
        self._on_incomplete = on_incomplete
        self._access = Access.of(view)
        self._renderer = Renderer(view.binding.returns, view.options.redirects or (), prefix, view.what)
        self._resources = resources
        self._downloads = downloads
        self._personal = view.binding.takes_principal
        self._vary = view.binding.vary

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        view = self._view
        deadline = Deadline.after(self._deadline)
        principal, limits = await self._guard.admit_limited(scope, self._access)
        arguments = view.binding.arguments(scope, None, principal)
        state = state_of(scope)
        state.record = RequestRecord()
        request = calls.RequestContext(
            deadline,
            self._runner,
            state.correlation,
            principal,
            record=state.record,
            degraded=state.degraded,
            contacts=self._contacts.on(scope),
        )
        disconnect = DisconnectGuard(state)
        limit = request.timer.limit(deadline.left() + GRACE)
        try:
            with calls.use_context(request), limit:
                result = await view.binding.call(view.function, arguments, self._resources)
            if isinstance(result, Download) and view.binding.returns.download:
                if is_run_by_page(scope):
                    raise Problem(403, "forbidden", "A page may not load a download as a script or a style.")
                head = scope["method"] == "HEAD"
                async with watching(receive, disconnect):
                    await self._downloads.send(result, request, send, limits, view.what, head=head)
                return
        except asyncio.CancelledError as error:
            if disconnect.happened:
                raise ClientDisconnect from None
            if (replacement := self_cancellation()) is not None:
                raise replacement from error
            raise
        except TimeoutError:
            if not limit.expired:
                # A timeout inside the function, of something that it waited for.
                raise
            raise took_too_long(
                f"The screen took longer than its {self._deadline:g} s.", request.record
            ) from None
        except Exception as error:
            found = expected_error(error)
            if not isinstance(found, UpstreamError):
                if found is None or found is error:
                    raise
                raise found from error
            problem = self._failures.problem(found)
            problem.headers |= {
                name: value
                for name, value in screen_headers(request.record, public=False, personal=True).items()
                if name == "server-timing"
            }
            raise problem from error
        finally:
            disconnect.disarm()
        if request.record.missing:
            self._on_incomplete(view.path, request.record.missing)
        answer = self._renderer.render(result)
        headers = screen_headers(request.record, public=view.public, personal=self._personal, vary=self._vary)
        status, body = answer.status, answer.body
        if answer.cookies:
            headers |= NO_STORE
        elif status == 200 and headers["bff-complete"] == "true":
            headers["etag"] = etag = etag_of(body)
            if is_known(scope, etag):
                status, body = 304, b""
        await send_answer(
            send,
            status,
            headers | answer.headers | limits,
            body,
            cookies=answer.cookies,
            head=scope["method"] == "HEAD",
        )
