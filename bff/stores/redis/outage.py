"""Outages of Redis, detected by the results of commands: for `/readyz`, and for the log.

The log gets one line when commands begin to fail (no connection, no answer, a refusal), one for each kind of refusal
with what to do, and one at the end with the number of failed commands. So code that catches `StoreUnavailable` need not
log it. An outage ends only when a probe succeeds, which reads the replication id and writes a key as all scripts do.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

log = logging.getLogger("bff.stores")

CURES = {
    "OOM": "it has used up its maxmemory: give it more memory",
    "READONLY": "it is a replica and accepts no writes: set BFF_REDIS__URL to the master, or to the Sentinels",
    "NOREPLICAS": "it has fewer replicas than its min-replicas-to-write: start them again, or lower that setting",
    "NOPERM": "its ACL does not allow this user what the gateway needs: docs/redis.md lists it",
    "NOAUTH": "it requires a password: add it to BFF_REDIS__URL",
    "WRONGPASS": "the user or password in BFF_REDIS__URL is wrong, or the user is disabled",
    "MISCONF": "it cannot save its data to the disk, and accepts no writes: free disk space, or read its log",
    "LOADING": "it is still loading its data: wait",
    "MASTERDOWN": "it is a replica that has lost its master",
    "CLUSTERDOWN": "the cluster has slots that no node serves: start the missing node again",
    "BUSY": "a script of another program runs and does not end: run SCRIPT KILL",
}
"""The codes with which Redis refuses commands (the first word of its error), and what to do."""
_PHRASES = {"ACL failure": "NOPERM", "no permissions": "NOPERM", "invalid username-password": "WRONGPASS"}


@dataclass(slots=True)
class Outage:
    """since: monotonic seconds; cause: the first failure; failed: number of commands; refusals: code → number."""

    since: float
    cause: str
    failed: int
    refusals: dict[str, int]


class OutageTracker:
    """name: of this Redis in the log, never with a password; clock: monotonic seconds.

    current    the outage, None while commands succeed
    on_outage  called when commands begin to fail, to start probing
    """

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = name
        self.current: Outage | None = None
        self.on_outage: Callable[[], None] = lambda: None
        self._clock = clock

    def record_failure(self, why: object) -> None:
        """Record that a command failed. why: the reason, or the error that Redis replied."""
        text = str(why)
        outage = self.current
        if outage is None:
            outage = self.current = Outage(self._clock(), text, 0, {})
            code = refusal_code(text)
            if code is None:
                log.warning(
                    "Redis at %s fails (%s); requests that need it are answered 503 and not logged one by one",
                    self.name,
                    text,
                )
            self.on_outage()
        outage.failed += 1
        code = refusal_code(text)
        if code is not None:
            if code not in outage.refusals:
                log.warning("Redis at %s refuses commands with %s: %s", self.name, code, CURES[code])
            outage.refusals[code] = outage.refusals.get(code, 0) + 1

    def record_recovery(self, probes: int = 0) -> None:
        """Record that a probe succeeded, after `probes` that failed."""
        outage, self.current = self.current, None
        if outage is not None:
            log.warning(
                "Redis at %s works again after %.1f s; %d commands failed (%s)",
                self.name,
                self._clock() - outage.since,
                max(0, outage.failed - probes),
                ", ".join(f"{code} {count} times" for code, count in outage.refusals.items()) or outage.cause,
            )


def refusal_code(text: str) -> str | None:
    """The code in CURES with which Redis refused a command; None for any other failure."""
    if "'config" in text:
        return None  # the gateway works without CONFIG
    code = text.partition(" ")[0].lstrip("-")
    if code in CURES:
        return code
    for phrase, code_of_phrase in _PHRASES.items():
        if phrase in text:
            return code_of_phrase
    # Older servers put the error of a script's command inside another: `ERR Error running script …: @user_script: 1:
    # -OOM …`.
    wrapped = text.partition(" -")[2].partition(" ")[0]
    return wrapped if wrapped in CURES else None
