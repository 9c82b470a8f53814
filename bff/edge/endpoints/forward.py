"""A forward: guard → one exchange with the service, both bodies streamed → the answer as the service gave it.

The exchange is under the same guard, limits, breaker, bulkhead and ids as every call, and is never repeated. A
service's 2xx and 4xx are passed on whole; its 5xx, 429, 401 and 407, and redirects to elsewhere, are answered with a
problem that names its owner. Bodies are bounded in bytes and in the time for each piece; an answer that breaks off ends
the connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from ...calls import Call, Deadline, Failed, Owner, RequestContext, RequestRecord, Runner, UpstreamError
from ...calls.outcomes import NEVER_PASSED
from ...calls.template import UnusablePathValue, template_of
from ...transport.exchange import ExchangeRequest, ExchangeResponse
from ...transport.forwarding import Forwarding, HeadTimer
from ...transport.response import upstream_error
from ...transport.wire import WireResponse
from ..declared import Forward
from ..function_errors import UpstreamFailures
from ..http.compression import may_be_compressed
from ..http.forwarded_headers import Addresses, answer_pairs, may_be_run, request_pairs
from ..http.request import SAFE_METHODS, body_too_large, header_values, is_run_by_page
from ..problem import OwnerContacts, Problem
from ..settings.http import ForwardSettings
from ..state import state_of
from .disconnect import DisconnectGuard
from .guard import Access, Guard, kind_of
from .streaming import ClientPace, pass_on, watching


@dataclass(frozen=True, slots=True)
class ForwardServices:
    """What the forwards of a gateway use. prefix: the path of the public address; bases: by service, where it is
    reached; forwards: all of them, because an answer of one may name an address of another one."""

    guard: Guard
    forwarding: Forwarding
    runner: Runner
    contacts: OwnerContacts
    failures: UpstreamFailures
    settings: ForwardSettings
    prefix: str
    bases: Mapping[str, Sequence[str]]
    forwards: Sequence[Forward] = ()


class ForwardEndpoint:
    """An ASGI endpoint for one forward."""

    def __init__(self, forward: Forward, services: ForwardServices) -> None:
        self._forward = forward
        self._services = services
        self._owner: Owner = forward.upstream.owner
        several = [part[1:-6] for part in forward.path.split("/") if part.endswith(":path}")]
        target = forward.target
        for name in several:
            target = target.replace(f"{{{name}}}", f"{{{name}:path}}")
        self._template = template_of(target)
        bases = services.bases.get(self._owner.service, ())
        others = [
            one
            for one in services.forwards
            if one is not forward and one.upstream.owner.service == self._owner.service
        ]
        self._addresses = [
            Addresses(one.path, one.target.replace(":path}", "}"), bases, services.prefix)
            for one in (forward, *others)
        ]
        self._access = Access(
            forward.path,
            forward.requirements,
            forward.public,
            # The service is not told who asks, for shared caches may store its answer.
            anonymous=forward.public,
            limit=forward.options.limit,
            counted_as=f"forward {forward.path}",
            kind=kind_of(forward),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        services, forward = self._services, self._forward
        principal, limits = await services.guard.admit_limited(scope, self._access)
        try:
            path = self._template.filled(dict(scope["path_params"]))
        except UnusablePathValue as error:
            raise Problem(404, "not-found", f"There is no such {error.parameter}.") from None
        method: Any = "GET" if scope["method"] == "HEAD" else scope["method"]
        call: Call[Any] = Call(self._owner, forward.name, method, forward.target, path, None)
        state = state_of(scope)
        state.record = RequestRecord()
        request = RequestContext(
            Deadline.after(forward.deadline),
            services.runner,
            state.correlation,
            principal,
            record=state.record,
            contacts=services.contacts.on(scope),
        )
        timer = HeadTimer(forward.deadline)
        upload = Upload(scope, receive, forward.upload, services.settings, timer)
        query = scope["query_string"].decode("latin-1")

        def make(own: Mapping[str, str]) -> ExchangeRequest:
            if not may_be_compressed(scope):
                own = {**own, "accept-encoding": "identity"}
            headers = request_pairs(scope["headers"], forward.headers, own)
            target = f"{path}?{query}" if query else path
            return ExchangeRequest(scope["method"], target, headers, upload.body, upload.length)

        disconnect = DisconnectGuard(state)
        try:
            async with services.forwarding.exchange(call, request, make, timer) as response:
                headers = self._answer(call, response, path, scope)
                start = [(name.encode(), value.encode("latin-1")) for name, value in headers]
                start += [(name.encode(), value.encode()) for name, value in limits.items()]
                await send({"type": "http.response.start", "status": response.status, "headers": start})
                # While the request still arrives, `upload` notices that the client leaves.
                async with watching(receive, disconnect) if upload.is_complete else nullcontext():
                    chunks = aiter(response.chunks())
                    head = scope["method"] == "HEAD"
                    await pass_on(chunks, send, services.settings, forward.what, head=head)
        except asyncio.CancelledError:
            if disconnect.happened:
                raise ClientDisconnect from None
            raise
        except UpstreamError as error:
            raise services.failures.problem(error, command=method != "GET") from error
        finally:
            disconnect.disarm()

    def _answer(
        self, call: Call[Any], response: ExchangeResponse, path: str, scope: Scope
    ) -> list[tuple[str, str]]:
        """The headers of the answer. Raises an UpstreamError for one that is not passed on, and Problem 403 where a
        page would run it."""
        status = response.status
        if status >= 500 or status in (429, *NEVER_PASSED):
            raise upstream_error(call, WireResponse(status, dict(response.headers), b""))
        if is_run_by_page(scope) and not may_be_run(status, dict(response.headers), self._forward.inline):
            detail = "A page may not load it as a script or a style: the forward does not declare this type."
            raise Problem(403, "forbidden", detail)
        headers = answer_pairs(
            response.headers,
            status=status,
            more=self._forward.answer_headers,
            inline=self._forward.inline,
            public=self._forward.public,
            address=lambda address: self._here(address, path),
        )
        if 300 <= status < 400 and status != 304 and not any(name == "location" for name, _ in headers):
            detail = "redirects to an address that is not forwarded."
            raise Failed(call.owner, call.name, detail, status=status)
        return headers

    def _here(self, address: str, path: str) -> str | None:
        """The address here of one at the service, by this forward or another one; None where there is none."""
        found = (addresses.here(address, path) for addresses in self._addresses)
        return next(filter(None, found), None)


class Upload:
    """The body of a request that is forwarded. length: of it, None where it is not known; body: None where there is
    none.

    most: bytes; settings: the time for each piece, and the least speed; timer: told of each piece.
    """

    def __init__(
        self, scope: Scope, receive: Receive, most: int, settings: ForwardSettings, timer: HeadTimer
    ) -> None:
        lengths = header_values(scope, b"content-length")
        self.length = int(lengths[0]) if lengths and lengths[0].isdigit() else None
        if self.length is not None and self.length > most:
            raise body_too_large(most)
        self._receive = receive
        self._most = most
        self._idle = settings.idle
        self._pace = ClientPace(settings)
        self._timer = timer
        has_body = bool(self.length) or bool(header_values(scope, b"transfer-encoding"))
        if self.length is None and scope.get("http_version", "1.1") not in ("1.0", "1.1"):
            # A body needs no header there (RFC 9113 section 8.1); other servers than `bff serve` speak HTTP/2.
            has_body = scope["method"] not in SAFE_METHODS
        self.body: AsyncIterator[bytes] | None = self._pieces() if has_body else None
        self.is_complete = self.body is None

    async def _pieces(self) -> AsyncIterator[bytes]:
        size = 0
        now = asyncio.get_running_loop().time
        while True:
            began = now()
            self._timer.sending(2 * self._idle)
            try:
                async with asyncio.timeout(self._idle):
                    message = await self._receive()
            except TimeoutError:
                raise _too_slow(f"A piece of the body did not arrive within {self._idle:g} s.") from None
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > self._most:
                raise body_too_large(self._most)
            seconds, allowed = now() - began, self._pace.allowed(len(chunk))
            if allowed is not None and seconds > allowed:
                raise _too_slow("The body arrives more slowly than this server accepts.")
            self._pace.count(seconds, len(chunk))
            if chunk:
                yield chunk
            if not message.get("more_body", False):
                self.is_complete = True
                self._timer.sent()
                return


def _too_slow(detail: str) -> Problem:
    return Problem(408, "too-slow", detail, headers={"connection": "close"})
