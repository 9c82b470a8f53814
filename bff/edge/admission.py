"""The door: a request that could not be answered in time is refused before anything is done for it.

It stands before every other layer, counts what is in flight, and knows how late the event loop is from one timer that
runs only while requests do. Who is refused gets a 503 problem with Retry-After, made ready beforehand. Health pages
always pass: a busy gateway is not a dead one. Streams are not counted, since each stays for minutes, but a new one
waits as well while the loop is late.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
import uuid

from starlette.types import ASGIApp, Receive, Scope, Send

from ..policies.admission import AdmissionRule
from ..policies.facts import Observer, Shed, ignore
from . import telemetry
from .envelope import SECURITY
from .problem import Problem
from .settings import AdmissionSettings

log = logging.getLogger("bff.edge")

EXEMPT = ("/livez", "/readyz")
STREAM = "/bff/live"
# Seconds between two looks at the loop.
TICK = 0.01
# Seconds between two log lines that say so.
QUIET = 5.0

_CORRELATION, _TRACE = "00000000-0000-4000-8000-000000000000", "0" * 31 + "1"


class Lag:
    """How late the event loop is: what the timer that was due last found, or how long the next one is overdue."""

    __slots__ = ("_due", "_seen", "_timer", "_wanted")

    def __init__(self) -> None:
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
        if self._wanted:
            self._wait()


class Admission:
    """app: everything else; public_url: see `Envelope`; observe: told what was shed."""

    def __init__(
        self, app: ASGIApp, settings: AdmissionSettings, public_url: str, observe: Observer = ignore
    ) -> None:
        self.in_flight = 0
        self.lag = Lag()
        self._app = app
        self._rule = AdmissionRule(settings.in_flight, settings.lag, settings.lean)
        self._observe = observe
        self._said = -QUIET
        self._refused = 0
        problem = Problem(
            503,
            "unavailable",
            "The gateway has more requests than it can answer in time; nothing was done. Try again.",
            retry_after=settings.retry_after,
        )
        body = problem.body(correlation_id=_CORRELATION, trace_id=_TRACE, base=public_url)
        self._body = body.decode()
        headers = problem.response_headers() | {"content-length": str(len(body))}
        self._headers = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        self._headers += SECURITY

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if path in EXEMPT:
            await self._app(scope, receive, send)
            return
        lag = self.lag.now()
        entry = self._rule.decide(0 if path == STREAM else self.in_flight, lag)
        if entry == "refused":
            self._observe(Shed("request", lag, self.in_flight))
            self._say(lag)
            await self._refuse(scope, send)
            return
        if path == STREAM:
            await self._app(scope, receive, send)
            return
        if entry == "lean":
            self._observe(Shed("optional", lag, self.in_flight))
            scope["bff.lean"] = True
        self.in_flight += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self.in_flight -= 1
            if not self.in_flight:
                self.lag.rest()

    async def _refuse(self, scope: Scope, send: Send) -> None:
        inbound = next(
            (value.decode("latin-1") for name, value in scope["headers"] if name == b"x-correlation-id"), None
        )
        correlation = telemetry.correlation_id(inbound)[0] if inbound else str(uuid.uuid4())
        body = self._body.replace(_CORRELATION, correlation).replace(_TRACE, secrets.token_hex(16)).encode()
        headers = [*self._headers, (b"x-correlation-id", correlation.encode())]
        await send({"type": "http.response.start", "status": 503, "headers": headers})
        await send(
            {
                "type": "http.response.body",
                "body": b"" if scope["method"] == "HEAD" else body,
                "more_body": False,
            }
        )

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
