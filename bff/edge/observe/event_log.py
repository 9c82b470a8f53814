"""The observer that logs the policy events which an operator needs to see: a breaker that changed its state, a backend
that was ejected or readmitted, text in an answer that was replaced."""

from __future__ import annotations

import logging

from ...policies.events import BreakerChanged, Ejected, Readmitted, SurrogatesReplaced
from .observers import Event

log = logging.getLogger("bff.upstreams")
_RARE = frozenset({BreakerChanged, Ejected, Readmitted, SurrogatesReplaced})


def log_event(event: Event) -> None:
    """An Observer. It logs events that are rare even during an outage; the others are only counted."""
    if type(event) not in _RARE:
        return
    match event:
        case BreakerChanged(service, group, address, state, open_for):
            fields = {"upstream": service, "group": group, "address": address, "open_for": open_for}
            level = logging.WARNING if state == "open" else logging.INFO
            log.log(level, "breaker is %s", state, extra={"fields": fields})
        case Ejected(service, address, _):
            log.warning("an address is left out", extra={"fields": {"upstream": service, "address": address}})
        case Readmitted(service, address):
            log.info("an address is taken back", extra={"fields": {"upstream": service, "address": address}})
        case SurrogatesReplaced(service, call, count):
            log.warning(
                "lone surrogates in an answer became U+FFFD",
                extra={"fields": {"upstream": service, "call": call, "count": count}},
            )
