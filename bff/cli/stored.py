"""The commands that work on what is in Redis: `bff events`, `bff revoke`, `bff forget`."""

from __future__ import annotations

import argparse

from ..edge import settings as settings_file
from . import events, forget, redis, revoke


def run(given: argparse.Namespace) -> int:
    """Run the command that was given; returns the exit code. Raises DeclarationError."""
    settings, credentials = settings_file.load(), redis.credentials_of(given.gateway)
    if given.command == "revoke":
        return revoke.revoke(
            settings,
            given.issuer,
            subject=given.subject,
            token=given.token,
            keep=given.keep,
            credentials=credentials,
        )
    if given.command == "forget":
        return forget.forget(settings, given.issuer, given.subject, keep=given.keep, credentials=credentials)
    if given.events in ("tail", "publish"):
        from . import event_check, event_streams

        checker = None if given.gateway is None else event_check.checker_of(given.gateway)
        if given.events == "tail":
            return event_streams.tail(
                settings,
                last=given.last,
                count=given.count,
                to=given.to,
                checker=checker,
                credentials=credentials,
            )
        return event_streams.publish(
            settings,
            given.file,
            to=given.to,
            key=given.key,
            checker=checker,
            anyway=given.anyway,
            credentials=credentials,
        )
    if given.events == "dead":
        return events.dead(settings, given.count, credentials)
    return events.replay(settings, given.id, credentials)
