"""Facts that a person on duty wants to read in the log: a breaker that moved, an address left out or taken back, text
that had to be changed."""

from __future__ import annotations

import logging

from ...policies.events import BreakerMoved, Ejected, Observer, PolicyEvent, Replaced, Returned

log = logging.getLogger("bff.upstreams")
_RARE = frozenset({BreakerMoved, Ejected, Returned, Replaced})


def logged(fact: PolicyEvent) -> None:
    """An Observer. Breakers move rarely, growing rarer as an outage lasts; the rest is for metrics."""
    match fact:
        case BreakerMoved(service, group, address, state, open_for):
            fields = {"upstream": service, "group": group, "address": address, "open_for": open_for}
            level = logging.WARNING if state == "open" else logging.INFO
            log.log(level, "breaker is %s", state, extra={"fields": fields})
        case Ejected(service, address, _):
            log.warning("an address is left out", extra={"fields": {"upstream": service, "address": address}})
        case Returned(service, address):
            log.info("an address is taken back", extra={"fields": {"upstream": service, "address": address}})
        case Replaced(service, call, count):
            log.warning(
                "lone surrogates in an answer became U+FFFD",
                extra={"fields": {"upstream": service, "call": call, "count": count}},
            )
        case _:
            pass


def with_event_log(observe: Observer) -> Observer:
    """Tells `observe` everything and the log what belongs there."""

    def tell(fact: PolicyEvent) -> None:
        observe(fact)
        if type(fact) in _RARE:
            logged(fact)

    return tell
