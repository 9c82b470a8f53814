"""Whether and when to retry a call, and the retry budget. Pure: time and randomness are given by the caller.

Exponential backoff with full jitter (AWS Architecture Blog 2015; Envoy's `retry_back_off` is the same): a uniformly
random delay up to a bound that doubles with each retry. A retry is never sent before the upstream's Retry-After, and
not at all when the deadline passes first. The retry budget (Envoy's `retry_budget`; Google's SRE book, "Handling
Overload") keeps retries from making an outage worse: retries are at most a share of the calls in progress.
"""

from __future__ import annotations

from dataclasses import dataclass

# Statuses after which the same request may succeed. 501 and 505 do not change; below 500 only a 429 with a Retry-After
# is retried.
_RETRYABLE = frozenset({500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class RetryRule:
    """How often a call is tried, and how long a retry waits.

    attempts  attempts of one call in all, including the first; 1 for no retry; default 3
    base      longest delay of the first retry in seconds; default 0.025
    cap       longest delay of any retry in seconds, without Retry-After; default 0.25
    least     seconds that an attempt needs: none begins with less time left; default 0.002
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
        """Seconds until the next attempt, None for no further one.

        made         attempts made so far, from 1
        left         seconds until the request's deadline
        chance       uniform in [0, 1)
        retry_after  seconds from the upstream's Retry-After, None without one
        attempts     replaces the rule's number, None: the rule's
        """
        if made >= (attempts or self.attempts):
            return None
        # Random also after a Retry-After, because all clients got the same one.
        seconds = (retry_after or 0.0) + chance * min(self.cap, self.base * 2 ** (made - 1))
        return seconds if seconds + self.least <= left else None


def retryable(status: int, retry_after: float | None) -> bool:
    """Whether to retry after an answer with this status. retry_after: seconds from its Retry-After, None without
    one."""
    return status in _RETRYABLE or (status == 429 and retry_after is not None)


class RetryBudget:
    """Bounds the retries and hedges of one upstream to `share` of its calls in progress, but never below `least`.

    share   0 to 1, default 0.2
    least   retries at once that are always allowed, default 3
    active  calls in progress; the pipeline counts them
    spent   retries and hedges in progress
    """

    __slots__ = ("active", "least", "share", "spent")

    def __init__(self, share: float = 0.2, least: int = 3) -> None:
        self.share = share
        self.least = least
        self.active = 0
        self.spent = 0

    def acquire(self) -> bool:
        """Take a place for one retry, which `release` returns when the call has ended. False: there is none, so do not
        retry."""
        if self.spent >= max(self.least, self.share * self.active):
            return False
        self.spent += 1
        return True

    def release(self) -> None:
        """Return a place."""
        self.spent -= 1
