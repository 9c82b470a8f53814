"""How Redis does, by what came of the commands that were sent: what `/readyz` says of it, and the log once.

Promises one line when commands begin to fail, whatever fails then (no connection, no answer, a refusal), one more for
each kind of refusal with what to do about it, and one at the end with how many commands failed. Whoever meets a
`StoreUnavailable` therefore need not log it. Refuses to believe that it is over because nobody asks: a probe has to be
carried out, which reads what scripts read and writes a key.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

log = logging.getLogger("bff.stores")

CURES = {
    "OOM": "it has used up its maxmemory: give it more memory",
    "READONLY": "it is a replica and takes no writes: name the master in BFF_REDIS__URL, or the Sentinels",
    "NOREPLICAS": "fewer replicas are there than its min-replicas-to-write wants: bring them back, or want fewer",
    "NOPERM": "its ACL does not let this user do what the gateway does: docs/redis.md lists it",
    "NOAUTH": "it wants a password: put it into BFF_REDIS__URL",
    "WRONGPASS": "the user or password in BFF_REDIS__URL is wrong, or the user is disabled",
    "MISCONF": "it cannot save its data to the disk, and takes no writes: free the disk, or look into its log",
    "LOADING": "it is still loading its data: wait",
    "MASTERDOWN": "it is a replica that has lost its master",
    "CLUSTERDOWN": "the cluster has slots that no node serves: bring the node back",
    "BUSY": "a script of somebody else's runs and does not end: SCRIPT KILL",
}
"""What Redis says when it refuses work (the first word of its error) and what to do about it."""
_SPELT = {"ACL failure": "NOPERM", "no permissions": "NOPERM", "invalid username-password": "WRONGPASS"}


@dataclass(slots=True)
class Outage:
    """since: monotonic seconds; failed: commands; refusals: word → how often it was said."""

    since: float
    cause: str
    failed: int
    refusals: dict[str, int]


class OutageTracker:
    """name: what the log calls this Redis, never with a password; clock: monotonic seconds.

    begins  called when commands begin to fail: whoever probes is to begin
    """

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = name
        self.current: Outage | None = None
        self.on_outage: Callable[[], None] = lambda: None
        self._clock = clock

    def record_failure(self, why: object) -> None:
        """A command was not carried out: what happened, or the error that Redis answered."""
        text = str(why)
        trouble = self.current
        if trouble is None:
            trouble = self.current = Outage(self._clock(), text, 0, {})
            word = refusal_code(text)
            if word is None:
                log.warning(
                    "Redis at %s does not do its work (%s); what needs it is answered 503 and not logged one by one",
                    self.name,
                    text,
                )
            self.on_outage()
        trouble.failed += 1
        word = refusal_code(text)
        if word is not None:
            if word not in trouble.refusals:
                log.warning("Redis at %s refuses commands with %s: %s", self.name, word, CURES[word])
            trouble.refusals[word] = trouble.refusals.get(word, 0) + 1

    def record_recovery(self, probes: int = 0) -> None:
        """A probe was carried out, after so many others that were not."""
        trouble, self.current = self.current, None
        if trouble is not None:
            log.warning(
                "Redis at %s does its work again after %.1f s; %d commands were not carried out (%s)",
                self.name,
                self._clock() - trouble.since,
                max(0, trouble.failed - probes),
                ", ".join(f"{word} {count} times" for word, count in trouble.refusals.items())
                or trouble.cause,
            )


def refusal_code(text: str) -> str | None:
    """The word of CURES by which Redis refused a command, None where it did not refuse work."""
    if "'config" in text:
        return None  # what the gateway can do without
    word = text.partition(" ")[0].lstrip("-")
    if word in CURES:
        return word
    for spelt, meant in _SPELT.items():
        if spelt in text:
            return meant
    # Older servers wrap what a script's command answered: `ERR Error running script …: @user_script: 1: -OOM …`.
    wrapped = text.partition(" -")[2].partition(" ")[0]
    return wrapped if wrapped in CURES else None
