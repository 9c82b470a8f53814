"""The door: a request that could not be answered in time is refused before anything is done for it.

It stands before every other layer, counts what is in flight, and knows how late the event loop is from one timer that
runs only while requests do. Who is refused gets a 503 problem with Retry-After, made ready beforehand, that pages of
allowed sites may read. Health pages always pass: a busy gateway is not a dead one; so do preflights, which cost no work
and without which no such page would hear of the refusal. Streams are not counted, since each stays for minutes, but a
new one waits as well while the loop is late.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from ...policies import admission as policies
from ...policies.admission import AdmissionRule
from ...policies.events import Observer, Shed, guarded, ignore
from ..observe import telemetry
from ..problem import Problem
from ..settings import AdmissionSettings
from ..state import state_of
from .public_path import PublicPath
from .request import VARY, is_navigation
from .security_headers import HeaderPairs, with_security_headers

log = logging.getLogger("bff.edge")

EXEMPT = ("/livez", "/readyz")
STREAM = "/bff/live"
# Seconds between two looks at the loop.
TICK = 0.01
# Seconds between two log lines that say so.
QUIET = 5.0

_CORRELATION, _TRACE = b"00000000-0000-4000-8000-000000000000", b"0" * 31 + b"1"


class Lag:
    """How late the event loop is: what the timer that was due last found, or how long the next one is overdue."""

    __slots__ = ("_due", "_looked", "_seen", "_timer", "_wanted")

    def __init__(self, looked: Callable[[float], None]) -> None:
        self._looked = looked
        self._due = 0.0
        self._seen = 0.0
        self._wanted = False
        self._timer: asyncio.TimerHandle | None = None

    def now(self) -> float:
        """Seconds. Begins to look when it did not."""
        self._wanted = True
        if self._timer is None:
            self._seen = 0.0
            self._wait()
            return 0.0
        overdue = time.monotonic() - self._due
        return overdue if overdue > self._seen else self._seen

    def rest(self) -> None:
        """Nothing is in flight: look no further than the timer that is set."""
        self._wanted = False

    def _wait(self) -> None:
        self._due = time.monotonic() + TICK
        self._timer = asyncio.get_running_loop().call_later(TICK, self._tick)

    def _tick(self) -> None:
        # A loop's own clock may stand still for a whole turn (libuv's does): this one does not.
        self._seen = max(0.0, time.monotonic() - self._due)
        self._timer = None
        self._looked(self._seen)
        if self._wanted:
            self._wait()


class _Prepared:
    """A refusal that is made ready beforehand: `headers` for an application, `head` as it goes on the wire, and the
    `body`, in which the ids are put in, each as long as what it takes the place of."""

    def __init__(self, headers: dict[str, str], body: bytes, public_url: str) -> None:
        self.body = body
        whole = headers | {"content-length": str(len(body))}
        own = [(name.encode(), value.encode("latin-1")) for name, value in whole.items()]
        self.headers = with_security_headers(own, public_url)
        lines = b"".join(name + b": " + value + b"\r\n" for name, value in self.headers)
        self.head = b"HTTP/1.1 503 Service Unavailable\r\n" + lines


class Admission:
    """app: everything else; public_url and marks: see `Envelope`; files: what the addresses of the page's files begin
    with; observe: told what was shed; preflight: whether a request is one that `app` answers; page: what a person is
    shown in place of the problem document, headers and body (pages.py). Requests enter below the public path here."""

    def __init__(
        self,
        app: ASGIApp,
        settings: AdmissionSettings,
        public_url: str,
        files: tuple[str, ...] = (),
        observe: Observer = ignore,
        marks: Callable[[Scope], HeaderPairs] = lambda scope: (),
        preflight: Callable[[Scope], bool] = lambda scope: False,
        page: Callable[[Problem, str], tuple[dict[str, str], bytes]] | None = None,
    ) -> None:
        self.in_flight = 0
        self.lag = Lag(lambda lag: self._policy.looked(self.in_flight, lag, time.monotonic()))
        self._app = app
        self._public_path = PublicPath.of(public_url)
        self._files = files
        self._marks = marks
        self._preflight = preflight
        rule = AdmissionRule(settings.in_flight, settings.lag, settings.standing, settings.lean)
        self._policy = policies.Admission(rule)
        self._observe = guarded(observe)
        self._said = -QUIET
        self._refused = 0
        problem = Problem(
            503,
            "unavailable",
            "The gateway has more requests than it can answer in time; nothing was done. Try again.",
            retry_after=settings.retry_after,
        )
        body = problem.body(correlation_id=_CORRELATION.decode(), trace_id=_TRACE.decode(), base=public_url)
        headers = problem.response_headers() | ({} if page is None else {"vary": VARY})
        self._problem = _Prepared(headers, body, public_url)
        self._page = self._problem
        if page is not None:
            own, shown = page(problem, _CORRELATION.decode())
            self._page = _Prepared(headers | own, shown, public_url)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._public_path.enter(scope)
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if path in EXEMPT or self._preflight(scope):
            await self._app(scope, receive, send)
            return
        entry, lag = self._decide(path)
        if entry == "refused":
            self._noted(lag)
            await self._refuse(scope, send)
            return
        if path == STREAM:
            await self._app(scope, receive, send)
            return
        if entry == "lean" and scope["method"] != "POST":
            self._observe(Shed("optional", lag, self.in_flight))
            state_of(scope).degraded = True
        self.in_flight += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self.in_flight -= 1
            if not self.in_flight:
                self.lag.rest()

    def refusal(self, scope: dict[str, Any]) -> bytes | None:
        """For a server that asks before it makes a task of the request: the whole answer as it goes on the wire when it
        is refused, else None. Takes 4 µs; through the application it would also take a task and two writes."""
        self._public_path.enter(scope)
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if path in EXEMPT or self._preflight(scope):
            return None
        entry, lag = self._decide(path)
        if entry != "refused":
            return None
        self._noted(lag)
        prepared, correlation, body = self._answer(scope)
        marks = b"".join(name + b": " + value + b"\r\n" for name, value in self._marks(scope))
        end = b"x-correlation-id: " + correlation + b"\r\n\r\n"
        return prepared.head + marks + end + (b"" if scope["method"] == "HEAD" else body)

    def _decide(self, path: str) -> tuple[policies.Entry, float]:
        lag = self.lag.now()
        if path == STREAM:
            return self._policy.decide(0, lag, time.monotonic()), lag
        # A loop that is late with so little to do is held up by others on the machine: to refuse would not help it.
        if self.in_flight < policies.LEAST or (self._files and path.startswith(self._files)):
            return self._policy.decide_any(self.in_flight), lag
        return self._policy.decide(self.in_flight, lag, time.monotonic()), lag

    async def _refuse(self, scope: Scope, send: Send) -> None:
        prepared, correlation, body = self._answer(scope)
        headers = [*prepared.headers, *self._marks(scope), (b"x-correlation-id", correlation)]
        await send({"type": "http.response.start", "status": 503, "headers": headers})
        await send(
            {
                "type": "http.response.body",
                "body": b"" if scope["method"] == "HEAD" else body,
                "more_body": False,
            }
        )

    def _answer(self, scope: Any) -> tuple[_Prepared, bytes, bytes]:
        """What is sent, the correlation id, and the body with it."""
        inbound = next(
            (value.decode("latin-1") for name, value in scope["headers"] if name == b"x-correlation-id"), None
        )
        correlation = telemetry.correlation_id(inbound)[0].encode()
        prepared = self._page if is_navigation(scope) else self._problem
        body = prepared.body.replace(_CORRELATION, correlation).replace(
            _TRACE, secrets.token_hex(16).encode()
        )
        return prepared, correlation, body

    def _noted(self, lag: float) -> None:
        self._observe(Shed("request", lag, self.in_flight))
        self._say(lag)

    def _say(self, lag: float) -> None:
        """One line every few seconds: a line for each refusal would be work for nobody."""
        self._refused += 1
        now = time.monotonic()
        if now - self._said >= QUIET:
            log.warning(
                "requests are refused: too much to do",
                extra={
                    "fields": {
                        "refused": self._refused,
                        "in_flight": self.in_flight,
                        "lag_ms": round(lag * 1000),
                    }
                },
            )
            self._said = now
            self._refused = 0
