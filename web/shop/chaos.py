"""The demo's chaos scenarios: a fault at the press of one button, and how it is removed again.

A scenario is `active` only while its faults are really in force (a restarted service has none). Whatever a scenario
stopped is released, also when the demo ends in the middle. A store that the demo did not start is never stopped.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from .embedded import Store
from .processes import Fleet, Service

HELD_WITHIN = 60.0
BACK_WITHIN = 30.0
STOPPED_FOR = 10.0


class CannotStart(Exception):
    """The scenario cannot be started now; the message says why."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault plan in force at one service."""

    service: str
    plan: Mapping[str, Any]


FAULTS: Mapping[str, tuple[Fault, ...]] = {
    "slow-payments": (Fault("payments", {"latency_ms": 2500}),),
    "failing-payments": (Fault("payments", {"error_rate": 1.0}),),
    "declined-payments": (Fault("payments", {"refuse": True}),),
    # Booking the parcel is slow, so that there is a charge, and time to cancel.
    "failing-refunds": (
        Fault("payments", {"error_rate": 1.0, "match": "POST /charges/{order_id}/refund"}),
        Fault("shipping", {"latency_ms": 4000, "match": "POST /shipments$"}),
    ),
    "no-stock": (Fault("inventory", {"refuse": True}),),
    "slow-inventory": (Fault("inventory", {"latency_ms": 2500}),),
    "slow-catalog": (Fault("catalog", {"latency_ms": 2000}),),
}
KILL, STOP_REDIS = "kill-orders-mid-charge", "stop-redis"
SCENARIOS = (*FAULTS, KILL, STOP_REDIS)


class ChaosScenarios:
    """Starts and stops scenarios. `client` sends requests to the services; `store` is the demo's own, when it
    started one.

    Scenarios that take time run as tasks of this object; `close()` ends them and releases everything.
    """

    def __init__(self, fleet: Fleet, store: Store, client: httpx.AsyncClient) -> None:
        self._fleet = fleet
        self._store = store
        self._client = client
        self._running: dict[str, asyncio.Task[None]] = {}
        self._notes: dict[str, str] = {}
        self._resumes_at = 0.0

    # ---- switches -------------------------------------------------------------------------------------------

    async def start(self, name: str) -> None:
        """Start a scenario. Raises KeyError for an unknown one, CannotStart, httpx.HTTPError for a service that is
        down."""
        if name in self._running:
            return
        self._notes.pop(name, None)
        if name == KILL:
            self._run(name, self._kill_orders())
        elif name == STOP_REDIS:
            if self._store.process is None or self._store.process.poll() is not None:
                raise CannotStart("This demo did not start the store, so it does not stop it.")
            self._run(name, self._stop_store())
        else:
            for fault in FAULTS[name]:
                answer = await self._client.put(self._faults_of(fault.service), json=dict(fault.plan))
                answer.raise_for_status()

    async def stop(self, name: str) -> None:
        """Remove one scenario's faults. Raises KeyError for an unknown one."""
        self._notes.pop(name, None)
        task = self._running.get(name)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        elif name not in (KILL, STOP_REDIS):
            for fault in FAULTS[name]:
                await self._clear_faults(fault.service)

    async def stop_all(self) -> None:
        """Remove all faults, also those of single switches."""
        for name in list(self._running):
            await self.stop(name)
        self._notes.clear()
        await asyncio.gather(*(self._clear_faults(service.name) for service in self._fleet.services))

    async def close(self) -> None:
        for task in self._running.values():
            task.cancel()
        if self._running:
            await asyncio.wait(list(self._running.values()), timeout=5)
        self._resume_store()

    # ---- state ----------------------------------------------------------------------------------------------

    def state(self, faults: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """Each scenario with `active` and a `note` on its progress, given the faults in force by service."""
        return {
            name: {
                "active": name in self._running
                or (name in FAULTS and all(_holds(one, faults.get(one.service, {})) for one in FAULTS[name])),
                "note": self._notes.get(name),
            }
            for name in SCENARIOS
        }

    def store_state(self) -> dict[str, Any]:
        """`{state: "up" | "stopped", seconds_left}` of the store."""
        left = self._resumes_at - asyncio.get_running_loop().time()
        stopped = left > 0
        return {"state": "stopped" if stopped else "up", "seconds_left": round(left, 1) if stopped else None}

    # ---- scenarios that take time -----------------------------------------------------------------------------

    def _run(self, name: str, scenario: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(scenario, name=f"scenario {name}")
        self._running[name] = task
        task.add_done_callback(lambda done: self._over(name, done))

    def _over(self, name: str, task: asyncio.Task[None]) -> None:
        self._running.pop(name, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._notes[name] = f"Failed: {error}"

    async def _kill_orders(self) -> None:
        """Hold the next charge after its commit, kill orders while it waits for the answer, release the charge."""
        note = self._teller(KILL)
        try:
            plan = {"hold": "after", "match": "POST /charges$", "times": 1}
            (await self._client.put(self._faults_of("payments"), json=plan)).raise_for_status()
            note("Place an order now: orders will be killed while it waits for the charge.")
            await _until(self._charge_held, HELD_WITHIN)
            killed = self._fleet.kill("orders")
            note(f"Orders (process {killed}) was killed after the charge, before it got the answer.")
        except TimeoutError:
            note(f"No order came within {HELD_WITHIN:.0f} s: nothing was killed.")
            return
        finally:
            await asyncio.shield(self._clear_faults("payments"))
        orders = self._fleet.named("orders")

        async def back() -> bool:
            return orders.up and _pid(orders) != killed and await self._ready(orders)

        await _until(back, BACK_WITHIN)
        note(
            f"Orders was killed (process {killed}) and is back (process {_pid(orders)}). One order, one charge."
        )

    async def _stop_store(self) -> None:
        """Freeze the store's process; its data stays, and it does not answer."""
        process = self._store.process
        if process is None:
            return
        try:
            process.send_signal(signal.SIGSTOP)
            self._resumes_at = asyncio.get_running_loop().time() + STOPPED_FOR
            await asyncio.sleep(STOPPED_FOR)
        finally:
            self._resume_store()
        self._notes[STOP_REDIS] = f"It was stopped for {STOPPED_FOR:.0f} s and continues where it was."

    def _resume_store(self) -> None:
        self._resumes_at = 0.0
        if self._store.process is not None and self._store.process.poll() is None:
            self._store.process.send_signal(signal.SIGCONT)

    # ---- services --------------------------------------------------------------------------------------------

    def _teller(self, name: str) -> Callable[[str], None]:
        def note(text: str) -> None:
            self._notes[name] = text

        return note

    def _faults_of(self, service: str) -> str:
        return f"{self._fleet.named(service).url}/faults"

    async def _clear_faults(self, service: str) -> None:
        # A service that is down has no faults to remove.
        with contextlib.suppress(httpx.HTTPError):
            await self._client.delete(self._faults_of(service))

    async def _charge_held(self) -> bool:
        return bool((await self._client.get(self._faults_of("payments"))).json()["held"])

    async def _ready(self, service: Service) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return (await self._client.get(f"{service.url}/readyz")).status_code == 200
        return False


async def _until(check: Callable[[], Awaitable[bool]], seconds: float) -> None:
    """Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while True:
            if await check():
                return
            await asyncio.sleep(0.1)


def _pid(service: Service) -> int | None:
    return service.process.pid if service.process else None


def _holds(fault: Fault, faults: Mapping[str, Any]) -> bool:
    """Whether exactly this plan is in force."""
    idle = {"latency_ms": 0, "error_rate": 0.0, "refuse": False, "hold": None, "match": None}
    return all(faults.get(name, off) == fault.plan.get(name, off) for name, off in idle.items())
