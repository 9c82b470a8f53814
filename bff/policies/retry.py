"""When to try again, after how long, and whether there is budget left for it. Pure: chance and time are handed in.

Exponential backoff with full jitter (AWS Architecture Blog 2015; Envoy's `retry_back_off` is the same): a uniformly
random moment up to a bound that doubles. An upstream's Retry-After is honoured: never earlier, and not at all where the
deadline would pass first. The budget (Envoy's `retry_budget`) keeps retries from making an outage worse: at most a
share of the calls active now may be retries.
"""

from __future__ import annotations

from dataclasses import dataclass

# Statuses after which the same request may well succeed. 501 and 505 say what will not change; below 500 only 429
# asks for later, and only when it says when.
_RETRYABLE = frozenset({500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class RetryRule:
    """How often and after how long.

    attempts  of one call in all, the first included; 1 for no retry; default 3
    base      seconds the first retry waits at most; default 0.025
    cap       seconds any retry waits at most of its own accord; default 0.25
    least     seconds an attempt needs: none begins with less left; default 0.002
    """

    attempts: int = 3
    base: float = 0.025
    cap: float = 0.25
    least: float = 0.002

    def delay(
        self,
        made: int,
        left: float,
        chance: float,
        retry_after: float | None = None,
        attempts: int | None = None,
    ) -> float | None:
        """Seconds to wait before the next attempt, None for no further one.

        made         attempts made so far, from 1
        left         seconds until the request's deadline
        chance       uniform in [0, 1)
        retry_after  the upstream's own word, seconds
        attempts     in place of the rule's
        """
        if made >= (attempts or self.attempts):
            return None
        # Spread after the upstream's moment, too: everybody was told the same one.
        seconds = (retry_after or 0.0) + chance * min(self.cap, self.base * 2 ** (made - 1))
        return seconds if seconds + self.least <= left else None


def retryable(status: int, retry_after: float | None) -> bool:
    """Whether an answer with this status is worth asking again."""
    return status in _RETRYABLE or (status == 429 and retry_after is not None)


class RetryBudget:
    """What retries and hedges of one upstream share: at most `share` of the calls active now, but always `least`.

    share   0 to 1, default 0.2
    least   retries at once that are always allowed, default 3
    active  calls going on now, counted by whoever runs them
    spent   retries and hedges going on now
    """

    __slots__ = ("active", "least", "share", "spent")

    def __init__(self, share: float = 0.2, least: int = 3) -> None:
        self.share = share
        self.least = least
        self.active = 0
        self.spent = 0

    def acquire(self) -> bool:
        """A place for one retry; give it back when its call is over. False: there is none, do not retry."""
        if self.spent >= max(self.least, self.share * self.active):
            return False
        self.spent += 1
        return True

    def release(self) -> None:
        """Give a place back."""
        self.spent -= 1
