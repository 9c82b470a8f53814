"""The admin port of `bff serve --workers N`: health, metrics and keys of all workers at one address.

`/readyz` and `/livez` answer as the worst of all workers, and name each. For `/livez` a worker that is being started
does not count: the supervisor is already doing what a new process would. A question waits for `ANSWER` seconds at most;
a worker that has not answered by then is reported as `no answer`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from ...edge.app.routes import Routes
from ...edge.http.envelope import Envelope
from ...edge.observe.request_traces import RequestTraces
from ...edge.observe.worker_metrics import WorkerFigures, WorkerMetrics
from ...edge.problem import Problem
from ...edge.respond import NO_STORE
from .process import WorkerProcess

KEYS = "/.well-known/jwks.json"
# From the best to the worst.
_ORDER = ("alive", "ready", "draining", "starting", "dead", "no answer")


class WorkersAdmin:
    """current: the process of each worker, None where it is being started; retiring: those that have a successor."""

    def __init__(
        self,
        current: Callable[[], Sequence[WorkerProcess | None]],
        retiring: Callable[[], Sequence[WorkerProcess]],
        metrics: WorkerMetrics,
    ) -> None:
        self._current = current
        self._retiring = retiring
        self._metrics = metrics
        # A page that was asked for later must not be answered with older figures.
        self._scraping = asyncio.Lock()

    def application(self, public_url: str) -> ASGIApp:
        """The ASGI application of the port."""
        routes: list[BaseRoute] = [
            Route("/livez", self.livez),
            Route("/readyz", self.readyz),
            Route("/metrics", self.metrics, methods=["GET"]),
            Route(KEYS, self.keys, methods=["GET"]),
        ]
        return Envelope(Routes(routes), RequestTraces(), public_url)

    async def readyz(self, request: Request) -> Response:
        """Whether every worker is ready."""
        return await self._worst("/readyz", ("ready",))

    async def livez(self, request: Request) -> Response:
        """Whether every worker that runs is alive."""
        return await self._worst("/livez", ("alive", "starting"))

    async def _worst(self, path: str, good: tuple[str, ...]) -> Response:
        reports = await asyncio.gather(*(_report(process, path) for process in self._current()))
        worst = max((one["status"] for one in reports), key=_ORDER.index)
        return JSONResponse(
            {
                "status": good[0] if worst in good else worst,
                "workers": {str(index): report for index, report in enumerate(reports)},
            },
            status_code=200 if worst in good else 503,
            headers=NO_STORE,
        )

    async def metrics(self, request: Request) -> Response:
        """The page of all workers, in the format that the Accept header asks for."""
        accept = request.headers.get("accept", "")
        async with self._scraping:
            current = [one for one in self._current() if one is not None]
            asked = [*current, *self._retiring()]
            answered = await asyncio.gather(*(one.ask_figures(accept) for one in asked))
            # What ended meanwhile is kept by `WorkerMetrics`.
            known = [
                WorkerFigures(one.index, one.figures, one in current, was_answered)
                for one, was_answered in zip(asked, answered, strict=True)
                if not one.is_retained
            ]
            # The kept figures and these are of one moment; reading pages takes a while.
            page, media_type = await asyncio.to_thread(self._metrics.copy().page, known, accept)
        return Response(page, headers={**NO_STORE, "vary": "accept", "content-type": media_type})

    async def keys(self, request: Request) -> Response:
        """The public keys of internal tokens, of any worker: all read the same file."""
        for process in self._current():
            if process is not None and (answer := await process.ask(KEYS)) is not None:
                if answer.status == 404:
                    raise Problem(404, "not-found", "This gateway makes no internal tokens.")
                return Response(answer.body, answer.status, answer.headers)
        raise Problem(503, "unavailable", "No worker answers; try again in a second.", retry_after=1)


async def _report(process: WorkerProcess | None, path: str) -> dict[str, Any]:
    """What a worker says of itself: a JSON object with its `status`."""
    if process is None or not process.is_alive or not process.accepting.is_set():
        return {"status": "starting"}
    answer = await process.ask(path)
    if answer is None:
        return {"status": "no answer" if process.is_alive else "starting"}
    try:
        report = json.loads(answer.body)
    except ValueError:
        report = None
    return report if isinstance(report, dict) and report.get("status") in _ORDER else {"status": "no answer"}
