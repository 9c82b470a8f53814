"""A service of the demo as a FastAPI application: `bff-service` put in place, its database migrated and seeded, health,
and faults on demand. The endpoints are each service's own. Refuses to know any business."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import httpx
from bff_service import (
    Database,
    GatewayKeys,
    IdempotencyKeys,
    InternalVerifier,
    KeySet,
    Refusal,
    TokenVerifier,
    add_health,
    http_client,
    running,
    use,
)
from bff_service.parts import Check, Close, Task
from fastapi import Depends, FastAPI
from fastapi.routing import APIRoute

from upstreams.kit.faults import Faults
from upstreams.kit.migrate import migrate
from upstreams.kit.settings import ShopSettings
from upstreams.kit.switches import RequestFaults, fault_routes

_log = logging.getLogger(__name__)
SERVICES = Path(__file__).parents[1]


def verifier_of(settings: ShopSettings, client: httpx.AsyncClient) -> TokenVerifier:
    """Takes identity's access tokens; where a gateway is known people come with its internal tokens alone."""
    internal = None
    if settings.gateway_keys_url is not None:
        keys = GatewayKeys(client, settings.gateway_keys_url)
        internal = InternalVerifier(keys, issuer=settings.gateway_issuer, audience=settings.service)
    return TokenVerifier(
        KeySet(client, settings.issuer),
        issuer=settings.issuer,
        audience=settings.audience,
        internal=internal,
    )


def shop_service(
    settings: ShopSettings,
    database: Database,
    keys: IdempotencyKeys | None = None,
    *,
    summary: str = "",
    migrations: Callable[[], Awaitable[None]] | None = None,
    prepare: Callable[[], Awaitable[None]] | None = None,
    tasks: Sequence[Task] = (),
    closing: Sequence[Close] = (),
    needs: Mapping[str, Check] | None = None,
    informs: Mapping[str, Check] | None = None,
    faults: Faults | None = None,
    planned_refusals: Mapping[str, Refusal] | None = None,
) -> FastAPI:
    """The application, without endpoints of its own yet.

    keys: of a service with idempotent endpoints. migrations: makes the tables; None: the revisions in the service's
    folder. prepare: runs after the migrations and before the first request, in one replica at a time. tasks: run for
    the application's life. closing: called at its end, the last one first. faults: those that `/faults` plans; None:
    the application's own. planned_refusals: by `METHOD /path`, what a planned refusal answers.
    """
    name = settings.service
    client = http_client(timeout=2.0, connections=4)
    requests = RequestFaults(faults or Faults(), planned_refusals or {})

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            for close in (database.close, client.aclose, *closing):
                stack.push_async_callback(close)
            try:
                async with database.alone():
                    if migrations is None:
                        await migrate(database, SERVICES / name / "versions")
                    else:
                        await migrations()
                    if prepare is not None:
                        await prepare()
            except Exception:
                # The server logs it, too, but its line ends before the reason.
                _log.exception("the service does not start")
                raise
            prune = [] if keys is None else [lambda: keys.keep_pruned(database)]
            await stack.enter_async_context(running(*prune, *tasks))
            yield

    app = FastAPI(
        title=name,
        version="1.0.0",
        summary=summary or f"The shop's {name} service.",
        contact={"name": name.title()},
        lifespan=lifespan,
        dependencies=[Depends(requests.strike, scope="function")] if settings.faults else (),
        generate_unique_id_function=_operation_id,
        docs_url=None,
        redoc_url=None,
    )
    use(
        app,
        database=database,
        keys=keys,
        verifier=verifier_of(settings, client),
        before_effect=requests.refuse_if_planned,
    )
    add_health(app, name, database, needs=needs, informs=informs)
    if settings.faults:
        app.router.routes.extend(fault_routes(requests.faults))
    return app


def _operation_id(route: APIRoute) -> str:
    return route.name
