"""Admission: a request that could not be answered in time is refused before anything is done for it.

The decision is made once for each request: by `on_connection`, which `bff serve` calls before it makes a task of the
request, or by this ASGI layer, the outermost one, under another server. An admitted request carries a `Reservation` in
its `RequestState`: it counts as in flight until it has ended, however it ends.

A refusal is a 503 problem with Retry-After, prepared beforehand; pages of allowed sites may read it. Health pages are
always admitted, because a busy gateway is not a dead one. Preflights are, too: they cost no work, and without them
those pages could not read the refusal. The page's files are refused only for the number of requests. Streams are not
counted, because each lasts for minutes; a new one is refused while the event loop is late.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from ...policies import admission as policies
from ...policies.admission import AdmissionRule
from ...policies.events import Observer, Shed, guarded, ignore
from ..problem import Problem
from ..settings import AdmissionSettings
from ..state import state_of
from .cors import Cors
from .public_path import PublicPath
from .refusal import PreparedRefusal
from .request import SAFE_METHODS, VARY, is_navigation

log = logging.getLogger("bff.edge")

EXEMPT = ("/livez", "/readyz")
STREAM = "/bff/live"
# Seconds between two measurements of the loop.
TICK = 0.01
# Seconds between two log lines about refusals.
LOG_INTERVAL = 5.0


class LoopLag:
    """How late the event loop is: what the last timer found, or how long the next one is overdue. The timer runs only
    while requests do. on_measured: called with the seconds that each timer found."""

    __slots__ = ("_due", "_last", "_on_measured", "_timer", "_wanted")

    def __init__(self, on_measured: Callable[[float], None]) -> None:
        self._on_measured = on_measured
        self._due = 0.0
        self._last = 0.0
        self._wanted = False
        self._timer: asyncio.TimerHandle | None = None

    def now(self) -> float:
        """Seconds. Starts measuring if nothing was measured."""
        self._wanted = True
        if self._timer is None:
            self._last = 0.0
            self._schedule()
            return 0.0
        overdue = time.monotonic() - self._due
        return overdue if overdue > self._last else self._last

    def stop(self) -> None:
        """Nothing is in flight: set no further timer."""
        self._wanted = False

    def _schedule(self) -> None:
        self._due = time.monotonic() + TICK
        self._timer = asyncio.get_running_loop().call_later(TICK, self._measure)

    def _measure(self) -> None:
        # The loop's own clock may not advance for a whole turn (libuv's does); `time.monotonic` does not.
        self._last = max(0.0, time.monotonic() - self._due)
        self._timer = None
        self._on_measured(self._last)
        if self._wanted:
            self._schedule()


class Reservation:
    """An admitted request. degraded: it is answered without optional parts. admission: where it is counted until it is
    released; None for a request that is not counted."""

    __slots__ = ("_admission", "degraded")

    def __init__(self, admission: Admission | None, degraded: bool = False) -> None:
        self._admission = admission
        self.degraded = degraded

    def release(self) -> None:
        """The request has ended. A second call does nothing."""
        admission, self._admission = self._admission, None
        if admission is not None:
            admission.in_flight -= 1
            if not admission.in_flight:
                admission.lag.stop()


UNCOUNTED = Reservation(None)


class Admission:
    """app: everything else; public_url: see `Envelope`; cors: makes refusals readable for other sites, and knows
    preflights; files: prefixes of the addresses of the page's files; observe: gets `Shed` events; page: makes what a
    person gets in place of the problem document, headers and body (pages.py). Puts requests below the public path."""

    def __init__(
        self,
        app: ASGIApp,
        settings: AdmissionSettings,
        public_url: str,
        cors: Cors,
        files: tuple[str, ...] = (),
        observe: Observer = ignore,
        page: Callable[[Problem, str], tuple[dict[str, str], bytes]] | None = None,
    ) -> None:
        self.in_flight = 0
        self.lag = LoopLag(lambda lag: self._policy.record_lag(self.in_flight, lag, time.monotonic()))
        self._app = app
        self._public_path = PublicPath.of(public_url)
        self._files = files
        self.cors = cors
        self._policy = policies.Admission(
            AdmissionRule(settings.in_flight, settings.lag, settings.standing, settings.lean)
        )
        self._observe = guarded(observe)
        self._last_logged = -LOG_INTERVAL
        self._refused = 0
        problem = Problem(
            503,
            "unavailable",
            "The gateway has more requests than it can answer in time; nothing was done. Try again.",
            retry_after=settings.retry_after,
        )
        self._problem = PreparedRefusal(problem, public_url, {} if page is None else {"vary": VARY})
        self._page = PreparedRefusal(problem, public_url, {}, page)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        state = state_of(scope)
        reservation = state.reservation
        if reservation is None:
            reservation = state.reservation = self._decide(scope)
            if reservation is None:
                await self._prepared(scope).send(scope, send, self.cors.headers_for(scope["headers"]))
                return
        try:
            await self._app(scope, receive, send)
        finally:
            reservation.release()

    def on_connection(self, scope: dict[str, Any]) -> Reservation | bytes | None:
        """Decide before the server makes a task of the request. Bytes are the whole refusal, as sent on the connection.
        The caller must release a reservation when the task has ended, because the task may end before it reaches this
        layer. None: admitted and not counted. A refusal takes 4 µs; through the application it would also take a task
        and two writes."""
        reservation = state_of(scope).reservation = self._decide(scope)
        if reservation is not None:
            return None if reservation is UNCOUNTED else reservation
        headers = scope["headers"]
        return self._prepared(scope).on_wire(scope["method"], headers, self.cors.headers_for(headers))

    def _decide(self, scope: Any) -> Reservation | None:
        """None: refused."""
        self._public_path.enter(scope)
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if path in EXEMPT or self.cors.is_preflight(scope):
            return UNCOUNTED
        lag = self.lag.now()
        if path == STREAM:
            entry = self._policy.decide(0, lag, time.monotonic())
        elif self._files and path.startswith(self._files):
            # A page without one of its scripts stays blank: the configured limit counts, not the lowered one.
            entry = "rejected" if self.in_flight >= self._policy.rule.in_flight else "admitted"
        # If the loop is late with so little to do, other programs on the machine delay it: refusing would not help.
        elif self.in_flight < policies.MIN_LIMIT:
            entry = self._policy.decide_by_count(self.in_flight)
        else:
            entry = self._policy.decide(self.in_flight, lag, time.monotonic())
        if entry == "rejected":
            self._observe(Shed("request", lag, self.in_flight))
            self._log_refusal(lag)
            return None
        if path == STREAM:
            return UNCOUNTED
        degraded = entry == "degraded" and scope["method"] in SAFE_METHODS
        if degraded:
            self._observe(Shed("optional", lag, self.in_flight))
        self.in_flight += 1
        return Reservation(self, degraded)

    def _prepared(self, scope: Any) -> PreparedRefusal:
        return self._page if is_navigation(scope) else self._problem

    def _log_refusal(self, lag: float) -> None:
        """At most one line every few seconds: under load a line for each refusal would cost too much."""
        self._refused += 1
        now = time.monotonic()
        if now - self._last_logged >= LOG_INTERVAL:
            fields = {"refused": self._refused, "in_flight": self.in_flight, "lag_ms": round(lag * 1000)}
            log.warning("requests are refused: too much to do", extra={"fields": fields})
            self._last_logged = now
            self._refused = 0
