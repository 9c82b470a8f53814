"""A service out of declarations. Promises that routes, access, idempotency, faults, health and OpenAPI come from one
list of operations, and that tables, tasks and connections live exactly as long as the application; refuses to know
any business."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import httpx
from pydantic import BaseModel
from sqlalchemy import MetaData
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from upstreams.kit.client import http_client
from upstreams.kit.database import Database
from upstreams.kit.dispatch import Dispatch
from upstreams.kit.envelope import Envelope
from upstreams.kit.faults import Faults
from upstreams.kit.idempotency import KeyStore
from upstreams.kit.internal import GatewayKeys, InternalVerifier
from upstreams.kit.openapi import document
from upstreams.kit.operations import Handler, Input, Operation
from upstreams.kit.problems import Problem, Refusal
from upstreams.kit.settings import ServiceSettings
from upstreams.kit.switches import fault_routes
from upstreams.kit.tokens import KeySet, TokenVerifier

_log = logging.getLogger(__name__)
_CODES = {404: "not-found", 405: "method-not-allowed"}

Check = Callable[[], Awaitable[None]]
Task = Callable[[], Awaitable[None]]


class Service:
    """One service: declare its operations, then `app()` is the ASGI application.

    `metadata` holds the service's tables; the kit adds its own. `durable` makes SQLite's commits survive a power
    cut. `routes` are further Starlette routes (pages, for one) beside the declared operations.
    """

    def __init__(
        self,
        name: str,
        *,
        team: str,
        contact: str,
        settings: ServiceSettings,
        metadata: MetaData,
        summary: str = "",
        durable: bool = False,
        routes: Sequence[BaseRoute] = (),
    ) -> None:
        self.name = name
        self.team = team
        self.contact = contact
        self.summary = summary or f"The shop's {name} service."
        self.settings = settings
        self.keys = KeyStore(metadata)
        self.database = Database(settings.database_of(name), metadata, durable=durable)
        self.faults = Faults()
        self.operations: list[Operation] = []
        self._routes = list(routes)
        self._starts: list[Task] = []
        self._stops: list[Task] = []
        self._tasks: list[Task] = []
        self._checks: dict[str, tuple[Check, bool]] = {"database": (self.database.ping, True)}
        self._commits: list[Callable[[], None]] = []
        self._dispatch: Dispatch | None = None

    # Declarations

    def get(
        self,
        path: str,
        handler: Handler[Input],
        *,
        takes: type[Input],
        answers: type[BaseModel],
        public: bool = False,
        scope: str | None = None,
        or_person: bool = False,
        refuses: tuple[Refusal, ...] = (),
        transaction: bool = True,
        kept: int | None = None,
        summary: str = "",
    ) -> None:
        """Declare a read. `takes` is the model of its query (`Nothing` for none).

        Without `public` or `scope` it is for any person; `scope` needs that scope in the token, and
        `or_person` lets people in beside it (the handler then looks at whose thing it is). `kept` is the seconds
        a copy may be kept.
        """
        self.operations.append(
            Operation(
                "GET",
                path,
                handler,
                takes,
                answers,
                public=public,
                scope=scope,
                or_person=or_person,
                refuses=refuses,
                transaction=transaction,
                kept=kept,
                summary=summary,
            )
        )

    def post(
        self,
        path: str,
        handler: Handler[Input],
        *,
        takes: type[Input],
        answers: type[BaseModel],
        status: int = 200,
        scope: str | None = None,
        or_person: bool = False,
        refuses: tuple[Refusal, ...] = (),
        transaction: bool = True,
        summary: str = "",
    ) -> None:
        """Declare a mutation. `takes` is the model of its body (`Nothing` for none).

        It needs an `Idempotency-Key`; the effect and the answer are one transaction. With `transaction=False`
        nothing is stored and no connection is open: the handler itself is idempotent by `ask.key` and
        `ask.fingerprint`. A planned `refuse` fault raises the first of `refuses`.
        """
        self.operations.append(
            Operation(
                "POST",
                path,
                handler,
                takes,
                answers,
                status=status,
                scope=scope,
                or_person=or_person,
                refuses=refuses,
                transaction=transaction,
                summary=summary,
            )
        )

    def on_start(self, start: Task) -> None:
        """Run before the first request, after the tables exist."""
        self._starts.append(start)

    def on_stop(self, stop: Task) -> None:
        """Run after the last request, before the database closes; the latest added runs first."""
        self._stops.append(stop)

    def after_commit(self, committed: Callable[[], None]) -> None:
        """Call after each mutation's commit, before its answer; it must not wait or raise."""
        self._commits.append(committed)

    def background(self, task: Task) -> None:
        """Run beside the requests for the application's life; cancelled at its end. Its bug ends the process."""
        self._tasks.append(task)

    def needs(self, name: str, check: Check, *, required: bool = True) -> None:
        """Name a dependency in /readyz; the check raises when it is not there. Unless required it only informs."""
        self._checks[name] = (check, required)

    # The application

    def app(self) -> ASGIApp:
        """The ASGI application of what was declared so far."""
        by_path: dict[str, dict[str, Operation]] = {}
        for operation in self.operations:
            by_path.setdefault(operation.path, {})[operation.method] = operation
        routes: list[BaseRoute] = [
            Route("/livez", self._livez),
            Route("/readyz", self._readyz),
            Route("/openapi.json", self._openapi),
            *(
                Route(path, functools.partial(self._serve, declared), methods=list(declared))
                for path, declared in by_path.items()
            ),
            *self._routes,
        ]
        if self.settings.faults:
            routes += fault_routes(self.faults)
        handlers: dict[Any, Any] = {  # Starlette's own type
            HTTPException: _http_problem,
            Problem: _problem,
            # Starlette answers and raises again: the envelope then logs it.
            Exception: _broken,
        }
        return Envelope(Starlette(routes=routes, lifespan=self._lifespan, exception_handlers=handlers))

    @contextlib.asynccontextmanager
    async def _lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(self.database.close)
            identity = http_client(timeout=2.0, connections=4)
            stack.push_async_callback(identity.aclose)
            verifier = self._verifier(identity)
            faults = self.faults if self.settings.faults else None
            self._dispatch = Dispatch(self.database, self.keys, verifier, faults, self._commits)
            async with self.database.alone():
                await self.database.create_tables()
                async with self.database.write() as db:
                    await self.keys.forget_old(db)
                for stop in self._stops:
                    stack.push_async_callback(stop)
                for start in self._starts:
                    await start()
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(_run(task)) for task in self._tasks]
                yield
                for task in tasks:
                    task.cancel()

    def _verifier(self, client: httpx.AsyncClient) -> TokenVerifier:
        settings, issuer, internal = self.settings, self.settings.issuer, None
        if settings.gateway_keys_url is not None:
            gateway = GatewayKeys(client, settings.gateway_keys_url)
            internal = InternalVerifier(gateway, issuer=settings.gateway_issuer, audience=self.name)
        keys = KeySet(client, issuer)
        return TokenVerifier(keys, issuer=issuer, audience=settings.audience, internal=internal)

    async def _serve(self, declared: dict[str, Operation], request: Request) -> Response:
        if self._dispatch is None:
            raise RuntimeError("the application's lifespan has not begun")
        return await self._dispatch.serve(declared, request)

    # The routes every service has

    async def _livez(self, _request: Request) -> Response:
        return JSONResponse({"status": "alive", "service": self.name})

    async def _readyz(self, _request: Request) -> Response:
        async def one(check: Check) -> bool:
            try:
                async with asyncio.timeout(1.5):
                    await check()
            except Exception as error:  # whatever a dependency raises, it is not there
                _log.warning("a dependency is away", extra={"reason": repr(error)})
                return False
            return True

        found = await asyncio.gather(*(one(check) for check, _ in self._checks.values()))
        parts = {
            name: {"ready": ready, "required": required}
            for (name, (_, required)), ready in zip(self._checks.items(), found, strict=True)
        }
        ready = all(part["ready"] or not part["required"] for part in parts.values())
        body = {"status": "ready" if ready else "not-ready", "service": self.name, "dependencies": parts}
        return JSONResponse(body, 200 if ready else 503)

    async def _openapi(self, _request: Request) -> Response:
        return JSONResponse(document(self.name, self.team, self.contact, self.summary, self.operations))


async def _run(task: Task) -> None:
    try:
        await task()
    except Exception:
        # Half a service is worse than none: end the process, so that its supervisor starts a whole one.
        _log.exception("a background task crashed")
        signal.raise_signal(signal.SIGTERM)
        raise


async def _problem(request: Request, problem: Problem) -> Response:
    return problem.response(f"urn:uuid:{request.state.hop.correlation_id}")


async def _http_problem(request: Request, error: HTTPException) -> Response:
    code = _CODES.get(error.status_code, "http-error")
    problem = Problem(error.status_code, code, error.detail, headers=dict(error.headers or {}))
    return await _problem(request, problem)


async def _broken(request: Request, _error: Exception) -> Response:
    return await _problem(request, Problem(500, "internal-error", "This service failed; its log knows why."))
