"""A state machine: no invalidated answer is served, in any order of reads, edits, commands, messages and outages.

Two gateways with different clocks share one store in memory, whose messages arrive when the machine delivers them. The
model has only versions: the oldest version that each reader may see, and the time at which each one was replaced.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from pydantic import BaseModel

from bff import Call, Principal, Upstream
from bff.calls import Deadline, Failed, RequestContext, RequestRecord, UpstreamError
from bff.policies.cache import Lru
from bff.stores.cache import CHANNEL, CacheRead
from bff.stores.keys import owner_tag
from bff.stores.redis.client import StoreUnavailable
from bff.transport.coalescing import RequestCoalescer
from bff.transport.invalidations import Invalidations
from bff.transport.request import NO_CONDITIONS
from bff.transport.response import CallResult
from bff.transport.response_cache import ResponseCache
from bff.transport.wire import WireResponse

FRESH, SWR, SIE = 30.0, 20.0, 100.0
AHEAD = (3.0, -2.0)
APART = AHEAD[0] - AHEAD[1]


class Version(BaseModel):
    number: int


class Shelf(Upstream, team="Shelf", contact="#shelf"):
    def thing(self) -> Call[Version]:
        return (
            self.get("/thing", Version)
            .fresh(FRESH, stale_while_revalidate=SWR, stale_if_error=SIE)
            .tagged("t")
        )


shelf = Shelf()
ADA = Principal("https://i", "ada", "t", 0.0)
BOB = Principal("https://i", "bob", "t", 0.0)
CALLS = {"public": shelf.thing().public(), "private": shelf.thing()}


@dataclass
class World:
    """now: seconds; number: the origin's newest version; ended: when each version was replaced."""

    now: float = 1_000_000.0
    number: int = 0
    ended: list[float] = field(default_factory=list)
    failing: bool = False
    etags: bool = False


class Store:
    """A fake of the cache's store, with a clock 7 s behind. posts: messages that have not been delivered yet."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.parts: dict[str, tuple[bytes, float]] = {}
        self.tags: dict[str, int] = {}
        self.mine: dict[tuple[str, str], int] = {}
        self.posts: dict[Any, list[bytes]] = {}
        self.away = False

    def _stamp(self, before: int) -> int:
        return max(before + 1, self._now())

    def _now(self) -> int:
        return int((self.world.now - 7) * 1_000_000)

    def _reach(self) -> None:
        if self.away:
            raise StoreUnavailable("away")

    async def read(self, name: str | None, tags: Sequence[str], owner: str | None) -> CacheRead:
        self._reach()
        packed, until = self.parts.get(name or "", (None, 0.0))
        own = {tag: self.mine.get((owner, tag), 0) for tag in tags} if owner else {}
        return CacheRead(
            packed if until > self.world.now else None,
            self._now(),
            {tag: self.tags.get(tag, 0) for tag in tags},
            own,
        )

    async def owner_stamps(self, owner: str, tags: Sequence[str]) -> dict[str, int]:
        self._reach()
        return {tag: self.mine.get((owner, tag), 0) for tag in tags}

    async def put(self, name: str, packed: bytes, seconds: float) -> None:
        self._reach()
        self.parts[name] = (packed, self.world.now + seconds)

    async def delete(self, name: str) -> None:
        self._reach()
        self.parts.pop(name, None)

    async def invalidate(self, tags: Sequence[str]) -> dict[str, int]:
        self._reach()
        for tag in tags:
            self.tags[tag] = self._stamp(self.tags.get(tag, 0))
            self._post(f'{self.tags[tag]} ["tag", "{tag}"]')
        return {tag: self.tags[tag] for tag in tags}

    async def invalidate_for_owner(self, owner: str, tags: Sequence[str]) -> int:
        self._reach()
        for tag in tags:
            self.mine[owner, tag] = self._stamp(self.mine.get((owner, tag), 0))
        self._post(f'{self._now()} ["owner", "{owner_tag(owner)}"]')
        return self._now()

    def _post(self, message: str) -> None:
        for waiting in self.posts.values():
            waiting.append(message.encode())


class Origin:
    """The upstream. Its answer has the version at the time of the request and is sent when `gate` opens."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.gate = asyncio.Event()
        self.gate.set()

    async def exchange(
        self, call: Call[Any], scope: RequestContext, conditions: Mapping[str, str] = NO_CONDITIONS
    ) -> CallResult:
        number, failing = self.world.number, self.world.failing
        headers = {"content-type": "application/json"}
        await self.gate.wait()
        if failing:
            raise Failed(call.owner, call.name, "answered 500.", status=500)
        if self.world.etags:
            headers["etag"] = f'"{number}"'
            if conditions.get("if-none-match") == headers["etag"]:
                return CallResult(WireResponse(304, headers, b""), None)
        return CallResult(WireResponse(200, headers, b'{"number":%d}' % number), Version(number=number))

    async def run(self, call: Call[Any], scope: RequestContext) -> Any:
        return (await self.exchange(call, scope)).value


class Gateway:
    def __init__(self, world: World, store: Store, origin: Origin, ahead: float) -> None:
        def clock() -> float:
            return world.now + ahead

        self.invalidations = Invalidations(None, store, clock=clock)  # type: ignore[arg-type]  # no channels: the machine delivers
        self.memory = Lru(100_000, 10_000)
        self.tasks: set[asyncio.Task[Any]] = set()
        self.runner = ResponseCache(
            RequestCoalescer(origin, last_change_by=self.invalidations.last_change_by, clock=clock),
            self.memory,
            self.invalidations,
            store,  # type: ignore[arg-type]  # the same methods
            spawn=self._spawn,
            clock=clock,
        )
        store.posts[self] = []

    def _spawn(self, work: Any, name: str) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task


class Machine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.world = World()
        self.store = Store(self.world)
        self.origin = self._run(self._origin())
        self.gateways = [Gateway(self.world, self.store, self.origin, ahead) for ahead in AHEAD]
        # The oldest version that each gateway may serve to all users, and that each principal may get.
        self.least = [0, 0]
        self.undelivered: list[list[int]] = [[], []]
        self.own = {ADA: 0, BOB: 0, None: 0}
        self.slow: list[tuple[asyncio.Task[Any], int]] = []

    async def _origin(self) -> Origin:
        return Origin(self.world)

    def _run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    def teardown(self) -> None:
        self.origin.gate.set()
        self._run(self._rest())
        for task, least in self.slow:
            if task.exception() is None:
                assert task.result().number >= least
        assert all(len(one.runner._next.flights) == 0 for one in self.gateways)
        self.loop.close()

    async def _rest(self) -> None:
        async with asyncio.timeout(10):
            while True:
                left = {task for task, _ in self.slow if not task.done()}
                left |= {task for one in self.gateways for task in one.tasks}
                if not left:
                    return
                await asyncio.wait(left)

    def _edited(self) -> None:
        self.world.ended.append(self.world.now)
        self.world.number += 1

    def _scope(self, gateway: Gateway, who: Principal | None) -> RequestContext:
        return RequestContext(Deadline.after(5), gateway.runner, "id", who, record=RequestRecord())

    # ---- events ----------------------------------------------------------------------------------------------

    @rule(at=st.integers(0, 1), who=st.sampled_from([ADA, BOB, None]), kind=st.sampled_from(sorted(CALLS)))
    def read(self, at: int, who: Principal | None, kind: str) -> None:
        gateway = self.gateways[at]
        if not self.origin.gate.is_set():
            self._begin(gateway, at, who, kind)
            return
        try:
            number = self._run(gateway.runner.run(CALLS[kind], self._scope(gateway, who))).number
        except UpstreamError:
            assert self.world.failing
            return
        assert self._least(at, who, kind) <= number <= self.world.number
        # No version is served that was replaced longer ago than the declaration allows.
        if number < self.world.number:
            age = self.world.now - self.world.ended[number]
            # An answer stored by one gateway seems younger to another one whose clock is behind.
            assert age <= FRESH + (SIE if self.world.failing else SWR) + APART + 0.01

    def _least(self, at: int, who: Principal | None, kind: str) -> int:
        # While the store is away it is unknown for a public answer what its reader has changed.
        own = 0 if self.store.away and kind == "public" else self.own[who]
        return max(self.least[at], own)

    def _begin(self, gateway: Gateway, at: int, who: Principal | None, kind: str) -> None:
        least = self._least(at, who, kind)

        async def begin() -> asyncio.Task[Any]:
            task = asyncio.ensure_future(gateway.runner.run(CALLS[kind], self._scope(gateway, who)))
            for _ in range(10):
                await asyncio.sleep(0)
            return task

        if len(self.slow) < 20:
            self.slow.append((self._run(begin()), least))

    @rule(data=st.data())
    @precondition(lambda self: self.slow)
    def leave(self, data: st.DataObject) -> None:
        task, _ = data.draw(st.sampled_from(self.slow))
        self.slow = [one for one in self.slow if one[0] is not task]

        async def cancelled() -> None:
            task.cancel()
            await asyncio.wait([task])

        self._run(cancelled())

    @rule()
    def edit(self) -> None:
        """The origin changes without an invalidation."""
        self._edited()

    @rule(at=st.integers(0, 1))
    @precondition(lambda self: not self.store.away)
    def invalidate(self, at: int) -> None:
        self._edited()
        self._run(self.gateways[at].invalidations.invalidate(["t"]))
        for other in (0, 1):
            if other == at:
                self.least[at] = self.world.number
            self.undelivered[other].append(self.world.number)

    @rule(at=st.integers(0, 1), who=st.sampled_from([ADA, BOB]))
    @precondition(lambda self: not self.store.away)
    def command(self, at: int, who: Principal) -> None:
        self._edited()
        self._run(self.gateways[at].invalidations.invalidate_after_command(who.id, ["t"]))
        self.own[who] = self.world.number

    @rule(at=st.integers(0, 1))
    @precondition(lambda self: not self.store.away)
    def deliver(self, at: int) -> None:
        waiting = self.store.posts[self.gateways[at]]
        for message in waiting:
            self.gateways[at].invalidations._on_message("", message)
        waiting.clear()
        self.least[at] = max([self.least[at], *self.undelivered[at]])
        self.undelivered[at].clear()

    @rule(at=st.integers(0, 1))
    @precondition(lambda self: not self.store.away)
    def reconnect(self, at: int) -> None:
        """The connection was lost, with all messages that were not delivered."""
        self.store.posts[self.gateways[at]].clear()
        self.gateways[at].invalidations._on_resubscribed({CHANNEL})
        self.least[at] = max([self.least[at], *self.undelivered[at]])
        self.undelivered[at].clear()

    @rule(seconds=st.sampled_from([0.2, 1.0, 5.0, 25.0, 31.0, 52.0, 131.0]))
    def wait(self, seconds: float) -> None:
        self.world.now += seconds

    @rule()
    def fail_or_recover(self) -> None:
        self.world.failing = not self.world.failing

    @rule()
    def etags(self) -> None:
        self.world.etags = not self.world.etags

    @rule()
    def hold_or_let_go(self) -> None:
        if self.origin.gate.is_set():
            self.origin.gate.clear()
        else:
            self.origin.gate.set()
            self._run(self._rest())
            for task, least in self.slow:
                if task.exception() is None:
                    assert least <= task.result().number <= self.world.number
            self.slow.clear()

    @rule()
    def store_leaves_or_returns(self) -> None:
        self.store.away = not self.store.away
        if not self.store.away:
            for at, gateway in enumerate(self.gateways):
                gateway.runner._storage._paused_until = 0.0
                self.reconnect(at)

    @invariant()
    def time_passes_and_background_tasks_end(self) -> None:
        # No two events are in the same microsecond, or closer than the allowed error of the clocks.
        self.world.now += 0.12
        if self.origin.gate.is_set():
            self._run(self._rest())


Machine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestCached = Machine.TestCase


@pytest.fixture
def machine() -> Iterator[Machine]:
    one = Machine()
    yield one
    one.teardown()


def test_a_background_revalidation_is_not_used_after_a_change_although_clocks_differ(
    machine: Machine,
) -> None:
    machine.read(0, None, "public")
    machine.wait(31.0)
    machine.read(0, None, "public")
    machine.time_passes_and_background_tasks_end()
    machine.invalidate(1)
    machine.time_passes_and_background_tasks_end()
    machine.deliver(0)
    machine.read(0, None, "public")


def test_a_forgotten_change_still_counts_while_the_store_is_away(machine: Machine) -> None:
    machine.read(0, None, "public")
    machine.time_passes_and_background_tasks_end()
    machine.invalidate(1)
    machine.deliver(0)
    # As after ten thousand other tags.
    machine.gateways[0].invalidations.tags.forget()
    machine.store.away = True
    machine.read(0, None, "public")
    machine.time_passes_and_background_tasks_end()
    machine.edit()
    # A newer answer is cached as usual.
    machine.read(0, None, "public")
    assert len(machine.gateways[0].memory) == 1


def test_a_read_from_before_the_users_command_is_not_joined_while_the_store_is_away(machine: Machine) -> None:
    machine.hold_or_let_go()
    machine.read(1, ADA, "private")
    machine.command(0, ADA)
    machine.store_leaves_or_returns()
    machine.read(1, ADA, "private")
    machine.hold_or_let_go()
    machine.time_passes_and_background_tasks_end()
