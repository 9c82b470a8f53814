"""DBOS under the saga: the only file that knows it.

Promises that a started saga is finished, by this process, by the next one with the same executor id or by one that
adopts it, and that each finished step runs once more at most. Refuses DBOS's cancel and timeouts: they run no
compensation.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import sqlite3
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy
from dbos import DBOS, DBOSConfig, DBOSConfiguredInstance, SetWorkflowID, WorkflowStatus, error

from upstreams.orders.execution import Activities, SagaExecution
from upstreams.orders.saga import Continuation, Order
from upstreams.orders.settings import OrdersSettings

# The default hashes this code, and an edit would strand every saga under way. A change of the saga's steps goes
# behind `DBOS.patch_async` instead.
APPLICATION_VERSION = "orders-1"
_WORKFLOW = "order"
_PAGE = 1000
_SWEEP_SECONDS = 3600.0
_log = logging.getLogger(__name__)

T = TypeVar("T")


class EngineAway(Exception):
    """The engine could not be asked just now."""


def workflow_id(order_id: str, run: int) -> str:
    """The workflow of a run of an order's saga; the first one has the order's own id."""
    return order_id if run == 1 else f"{order_id}~{run}"


class _WalConnection(sqlite3.Connection):
    """Each of the engine's SQLite connections: commits that survive a kill, without a sync for each."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.execute("PRAGMA journal_mode=WAL")
        self.execute("PRAGMA synchronous=NORMAL")


class _Durable:
    """The saga's `Engine`, inside a DBOS workflow."""

    def __init__(self, sagas: _Sagas) -> None:
        self._sagas = sagas
        self._closing = sagas.closing

    async def step(self, name: str, body: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> T:
        async def bounded() -> T:
            answer = await body(*args)
            if self._closing.is_set():
                # What comes of a step now is the shutdown's doing: it happens again at the next start.
                await asyncio.get_running_loop().create_future()
            return answer

        return await DBOS.run_step_async({"name": name}, bounded)

    async def rest(self, seconds: float, waker: str) -> None:
        # A durable sleep that a message ends early.
        await DBOS.recv_async(waker, timeout_seconds=seconds)

    async def continue_as(self, order: Order, continuation: Continuation) -> None:
        with SetWorkflowID(workflow_id(order["id"], continuation["run"])):
            await DBOS.start_workflow_async(self._sagas.run, order, continuation)


@DBOS.dbos_class()
class _Sagas(DBOSConfiguredInstance):
    """The workflow with what it works on; recovery finds the instance by its name."""

    def __init__(self, activities: Activities) -> None:
        super().__init__("orders")
        self._activities = activities
        self.closing = asyncio.Event()

    # Without a bound on recoveries: a saga killed for the hundredth time is still owed its end.
    @DBOS.workflow(name=_WORKFLOW, max_recovery_attempts=None)
    async def run(self, order: Order, continuation: Continuation | None = None) -> str:
        return await SagaExecution(_Durable(self), self._activities, order, continuation).run()


class SagaEngine:
    """Starts, finishes and wakes sagas. One for each process; `launch` and `close` belong to the app's lifespan."""

    def __init__(self, settings: OrdersSettings) -> None:
        self._settings = settings
        self._sagas: _Sagas | None = None

    async def launch(self, activities: Activities) -> None:
        """Open the engine's database and take up every saga this executor left behind."""
        url = sqlalchemy.make_url(self._settings.engine_url)
        kwargs: dict[str, Any] = {}
        if url.get_backend_name() == "sqlite" and url.database:
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
            kwargs = {"connect_args": {"factory": _WalConnection}}
        # With a handler there DBOS adds none of its own, and its records reach our JSON lines.
        logging.getLogger("dbos").addHandler(logging.NullHandler())
        config = DBOSConfig(
            name="orders",
            system_database_url=self._settings.engine_url,
            application_version=APPLICATION_VERSION,
            executor_id=self._settings.executor_id,
            max_executor_threads=self._settings.executor_threads,
            log_level="WARNING",
            db_engine_kwargs=kwargs,
            notification_listener_polling_interval_sec=0.5,
        )
        DBOS(config=config)
        self._sagas = _Sagas(activities)
        # On the loop on purpose: DBOS then runs recovered sagas on this loop, where our clients live.
        DBOS.launch()

    async def start(self, order: Order) -> None:
        """Start the order's saga durably; a second start of the same order does nothing."""
        if self._sagas is None:
            raise RuntimeError("the engine is not launched")
        with SetWorkflowID(order["id"]):
            await DBOS.start_workflow_async(self._sagas.run, order)

    async def wake(self, order_id: str, run: int, waker: str) -> None:
        """End the rest of this run of the saga, now or the next one; no matter if it does not exist yet."""
        try:
            await DBOS.send_async(workflow_id(order_id, run), "", waker)
        except error.DBOSNonExistentWorkflowError:
            return

    async def failed(self, order_id: str, run: int) -> bool:
        """Whether this run of the saga itself failed: it never goes on, and nothing is undone for that."""
        status = await DBOS.get_workflow_status_async(workflow_id(order_id, run))
        return status is not None and status.status == "ERROR"

    async def owed(self) -> dict[str, list[str]]:
        """The sagas under way at other executors than this one, by executor id; `EngineAway` when it does not say."""
        found: dict[str, list[str]] = {}
        for page in itertools.count():
            sagas = await self._listed("PENDING", app_version=APPLICATION_VERSION, offset=page * _PAGE)
            for saga in sagas:
                if saga.executor_id is not None and saga.executor_id != self._settings.executor_id:
                    found.setdefault(saga.executor_id, []).append(saga.workflow_id)
            if len(sagas) < _PAGE:
                break
        return found

    async def keep_pruned(self) -> None:
        """Delete the records of runs that ended longer ago than the settings say, now and then each hour, so that the
        engine's database stays bounded; for a task. Runs that failed are kept: their records say why."""
        kept = self._settings.saga_retention_seconds
        while True:
            try:
                await self._prune(datetime.now(UTC) - timedelta(seconds=kept))
            except (EngineAway, sqlalchemy.exc.SQLAlchemyError, OSError, TimeoutError) as away:
                _log.warning("old sagas could not be deleted", extra={"reason": repr(away)})
            await asyncio.sleep(min(_SWEEP_SECONDS, kept))

    async def _prune(self, before: datetime) -> None:
        while ended := await self._listed("SUCCESS", completed_before=before.isoformat()):
            try:
                await DBOS.delete_workflows_async([run.workflow_id for run in ended])
            except error.DBOSException as failed:
                raise EngineAway("old sagas could not be deleted") from failed

    async def adopt(self, order_ids: list[str]) -> None:
        """Queue the sagas for whichever process takes them first."""
        for first in range(0, len(order_ids), _PAGE):
            try:
                await DBOS.resume_workflows_async(order_ids[first : first + _PAGE])
            except error.DBOSException as failed:
                raise EngineAway("sagas could not be adopted") from failed

    async def _listed(self, status: str, **which: Any) -> list[WorkflowStatus]:  # DBOS' own names and types
        try:
            return await DBOS.list_workflows_async(
                status=status,
                name=_WORKFLOW,
                load_input=False,
                load_output=False,
                limit=_PAGE,
                **which,
            )
        except error.DBOSException as failed:
            raise EngineAway("sagas could not be listed") from failed

    async def ping(self) -> None:
        """Raise unless the engine's database answers."""
        await DBOS.get_workflow_status_async("nobody")

    async def close(self) -> None:
        """Let go of everything; sagas under way are taken up by the next start."""
        if self._sagas is not None:
            self._sagas.closing.set()
        self._sagas = None
        await asyncio.to_thread(DBOS.destroy)
