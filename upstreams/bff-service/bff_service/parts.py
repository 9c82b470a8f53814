"""What a FastAPI application needs to be a service behind a gateway, put in place by `use`; and the tasks and
connections of its life (`running`). Guarantees that a background task's bug ends the process rather than half of it,
and that everything opened is closed, also when closing one thing fails."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, FastAPI
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from bff_service.database import Database
from bff_service.idempotency import IdempotencyKeys
from bff_service.middleware import RequestContext
from bff_service.problems import answer_with_problems
from bff_service.tokens import TokenVerifier

_log = logging.getLogger(__name__)
CHECK_SECONDS = 1.5

Check = Callable[[], Awaitable[None]]
Close = Callable[[], Awaitable[None]]
Task = Callable[[], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class Parts:
    """What the dependencies of this package find at `app.state.service`."""

    database: Database
    verifier: TokenVerifier
    keys: IdempotencyKeys | None = None
    before_effect: Callable[[Request], None] | None = None


def use(
    app: FastAPI,
    *,
    database: Database,
    verifier: TokenVerifier,
    keys: IdempotencyKeys | None = None,
    before_effect: Callable[[Request], None] | None = None,
) -> None:
    """Give the application this package's dependencies, problems, request context, and the table of keys.

    keys: of a service with idempotent endpoints.
    before_effect: called in each effect's transaction before the effect; it may raise a Problem.
    """
    app.state.service = Parts(database, verifier, keys, before_effect)
    answer_with_problems(app)
    app.add_middleware(RequestContext)


async def _reading(request: Request) -> AsyncIterator[AsyncConnection]:
    async with request.app.state.service.database.read() as db:
        yield db


Reading = Annotated[AsyncConnection, Depends(_reading, scope="function")]
"""A transaction that only reads, over before the answer is sent."""


def add_health(
    app: FastAPI,
    name: str,
    database: Database,
    *,
    needs: Mapping[str, Check] | None = None,
    informs: Mapping[str, Check] | None = None,
) -> None:
    """`/livez`, and `/readyz`, which names each dependency: the database and `needs` are required, `informs` are not.

    A check raises when its dependency is not there; it has 1.5 s.
    """
    required = {"database": database.ping, **(needs or {})}
    checks = {**required, **(informs or {})}

    async def livez() -> Response:
        return JSONResponse({"status": "alive", "service": name})

    async def readyz() -> Response:
        found = await asyncio.gather(*(_passes(check) for check in checks.values()))
        parts = {
            part: {"ready": ready, "required": part in required}
            for part, ready in zip(checks, found, strict=True)
        }
        ready = all(parts[part]["ready"] for part in required)
        body = {"status": "ready" if ready else "not-ready", "service": name, "dependencies": parts}
        return JSONResponse(body, 200 if ready else 503)

    app.add_api_route("/livez", livez, include_in_schema=False)
    app.add_api_route("/readyz", readyz, include_in_schema=False)


async def _passes(check: Check) -> bool:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await check()
    except Exception as error:  # whatever a dependency raises, it is not there
        _log.warning("a dependency is away", extra={"reason": repr(error)})
        return False
    return True


@contextlib.asynccontextmanager
async def running(*tasks: Task, closing: Sequence[Close] = ()) -> AsyncIterator[None]:
    """Call and run the tasks while inside; then cancel them and close what was opened, the last one first.

    A task that fails ends the process (SIGTERM), so that its supervisor starts a whole one.
    """
    async with contextlib.AsyncExitStack() as stack:
        for close in closing:
            stack.push_async_callback(_closed, close)
        async with asyncio.TaskGroup() as group:
            started = [group.create_task(_run(task)) for task in tasks]
            try:
                yield
            finally:
                for task in started:
                    task.cancel()


async def _run(task: Task) -> None:
    try:
        await task()
    except Exception:
        _log.exception("a background task crashed")
        signal.raise_signal(signal.SIGTERM)
        raise


async def _closed(close: Close) -> None:
    try:
        await close()
    except Exception:
        _log.exception("closing failed")
