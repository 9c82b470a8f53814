from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bff.policies.bulkhead import Bulkhead, BulkheadRule


def test_calls_get_permits_then_queue_places_then_nothing() -> None:
    bulkhead = Bulkhead(BulkheadRule(permits=2, queue=1))
    assert [bulkhead.acquire() for _ in range(4)] == ["acquired", "acquired", "queued", "full"]
    assert bulkhead.release() is True, "it goes to the waiting caller"
    assert (bulkhead.used, bulkhead.waiting) == (2, 0)
    assert bulkhead.release() is False
    assert (bulkhead.used, bulkhead.waiting) == (1, 0)


def test_a_caller_that_gives_up_leaves_only_the_queue() -> None:
    bulkhead = Bulkhead(BulkheadRule(permits=1, queue=1))
    bulkhead.acquire()
    assert bulkhead.acquire() == "queued"
    bulkhead.leave_queue()
    assert (bulkhead.used, bulkhead.waiting) == (1, 0)
    assert bulkhead.release() is False
    assert bulkhead.acquire() == "acquired"


class BulkheadMachine(RuleBasedStateMachine):
    @initialize(permits=st.integers(1, 4), queue=st.integers(0, 3))
    def begin(self, permits: int, queue: int) -> None:
        self.bulkhead = Bulkhead(BulkheadRule(permits, queue))
        self.holders = self.waiters = 0

    @rule()
    def come(self) -> None:
        entry = self.bulkhead.acquire()
        policy = self.bulkhead.rule
        if self.holders < policy.permits:
            assert entry == "acquired"
            self.holders += 1
        elif self.waiters < policy.queue:
            assert entry == "queued"
            self.waiters += 1
        else:
            assert entry == "full"

    @precondition(lambda self: self.holders)
    @rule()
    def done(self) -> None:
        handed_on = self.bulkhead.release()
        assert handed_on is (self.waiters > 0)
        if handed_on:
            self.waiters -= 1
        else:
            self.holders -= 1

    @precondition(lambda self: self.waiters)
    @rule()
    def impatient(self) -> None:
        self.bulkhead.leave_queue()
        self.waiters -= 1

    @invariant()
    def no_permit_is_lost_and_no_caller_waits_while_one_is_free(self) -> None:
        if hasattr(self, "bulkhead"):
            assert (self.bulkhead.used, self.bulkhead.waiting) == (self.holders, self.waiters)
            assert not (self.waiters and self.holders < self.bulkhead.rule.permits)


TestBulkheadMachine = BulkheadMachine.TestCase
TestBulkheadMachine.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)
