"""`bff routes`: lists every route with its permissions and deadline, and each upstream call with its time limit and
policies."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

from ..calls import DeclarationError
from ..edge import settings as settings_file
from ..edge.access.authorization import Requirements
from ..edge.declared import Forward, Route
from ..edge.gateway import Gateway
from ..edge.settings.upstream import UpstreamSettings
from .static_analysis import Step, passes_whole, steps
from .target import load

# The defaults, for an upstream without settings. The address is never called.
_DEFAULTS = UpstreamSettings(url="http://localhost")


def table(gateway: Gateway, upstreams: Mapping[str, UpstreamSettings] | None = None) -> str:
    """Aligned text with a block for each route. upstreams: settings by service; the defaults for a missing one."""
    known = upstreams or {}
    lines: list[str] = []
    for view in gateway.views:
        lines.append(_head(view, "public" if view.public else "login"))
        lines += _requirements(view.requirements)
        lines += _calls(view.function, view.deadline, known, derived=False)
    for command in gateway.commands:
        lines.append(_head(command, "login"))
        lines += _requirements(command.requirements)
        if command.starts is not None:
            lines.append(f"        saga      {command.starts.name}")
        if command.invalidates:
            lines.append(f"        invalidates  {', '.join(command.invalidates)}")
        lines += _calls(command.function, command.deadline, known, derived=command.safe)
    for forward in gateway.forwards:
        owner = forward.upstream.owner
        lines.append(_head(forward, "public" if forward.public else "login"))
        lines += _requirements(forward.requirements)
        lines.append(f"        forward   {', '.join(forward.methods)} → {owner.service} {forward.target}")
        lines.append(f"        owner     {owner.team} {owner.contact}  at most {forward.upload:,} bytes")
    for value in gateway.values.values():
        lines.append(f"VALUE {value.template:<42} {'public' if value.public else 'login'}")
    for upstream in gateway.upstreams():
        owner = upstream.owner
        lines.append(f"FROM  {owner.service:<42} {owner.team} {owner.contact}")
        lines += [f"        {line}" for line in _policies(known.get(owner.service, _DEFAULTS))]
    return "\n".join(lines)


def _head(route: Route | Forward, who: str) -> str:
    options = route.options
    only = f"  only from {options.network}" if options.network else ""
    limits = f"deadline {route.deadline:g} s  limit {options.limit or 'default'}{only}  {route.origin}"
    method = "PASS" if isinstance(route, Forward) else route.method
    return f"{method:<5} {route.path:<42} {who:<7} {limits}"


def _requirements(requirements: Requirements) -> list[str]:
    return [f"        needs     {requirements}"] if requirements else []


def _calls(
    function: Callable[..., Any], deadline: float, known: Mapping[str, UpstreamSettings], *, derived: bool
) -> list[str]:
    """derived: writes are sent with a key derived from the client's key."""
    lines = []
    for step in steps(function):
        owner = step.upstream.owner
        settings = known.get(owner.service, _DEFAULTS)
        kind = "optional" if step.optional else "required"
        words = [
            f"        {kind}  {owner.service}.{step.name}",
            f"({owner.team} {owner.contact})",
            *([step.verb] if step.verb else []),
            f"at most {min([deadline, *step.within]):g} s",
            _attempts(step, settings, derived=derived),
        ]
        words += _cache_of(step)
        if "public" in step.options:
            words.append("public")
        if passes_whole(step.upstream, step.name):
            words.append("RAW: passed on whole")
        lines.append("  ".join(words))
    return lines


def _cache_of(step: Step) -> list[str]:
    """How long an answer is cached, and what invalidates it: `fresh 30 s, then 60 s while a new one is fetched`."""
    seconds = step.number("fresh")
    if seconds is None:
        return []
    words = [f"fresh {seconds:g} s"]
    if (while_fetched := step.number("fresh", "stale_while_revalidate")) is not None:
        words.append(f"then {while_fetched:g} s while a new one is fetched")
    if (if_error := step.number("fresh", "stale_if_error")) is not None:
        words.append(f"{if_error:g} s instead of a failure")
    tags = step.words("tagged")
    return [", ".join(words), *([f"until {' or '.join(tags)} changes"] if tags else [])]


def _attempts(step: Step, settings: UpstreamSettings, *, derived: bool) -> str:
    """The number of attempts and their time limit: `3 tries of 1 s`."""
    seconds = step.number("within") or settings.timeout
    if step.writes and not derived and "keyed" not in step.options:
        return f"1 try of {seconds:g} s, no key"
    times = int(step.number("tries") or settings.retry.attempts)
    return f"{times} {'try' if times == 1 else 'tries'} of {seconds:g} s"


def _policies(settings: UpstreamSettings) -> list[str]:
    breaker, retry, bulkhead = settings.breaker, settings.retry, settings.bulkhead
    slow = settings.timeout * 0.9 if breaker.slow is None else breaker.slow
    return [
        f"breaker   {breaker.failures} failures in a row; of {breaker.minimum} in {breaker.window:g} s "
        f"{breaker.error_rate:.0%} failed or {breaker.slow_rate:.0%} slower than {slow:g} s; "
        f"open {breaker.open_for:g} to {max(breaker.open_for, breaker.open_at_most):g} s",
        f"bulkhead  {bulkhead.permits} at once, {bulkhead.queue} waiting at most {bulkhead.wait:g} s",
        f"retries   {retry.share:.0%} of the active calls, at least {retry.least}; "
        f"after up to {retry.base:g} s, doubling to {retry.cap:g} s",
        *_addresses(settings),
    ]


def _addresses(settings: UpstreamSettings) -> list[str]:
    """How an address is chosen, and when a second copy of a read is sent; nothing by default."""
    balance, hedge = settings.balance, settings.hedge
    lines = []
    if balance.urls or balance.file is not None or balance.resolve:
        lines.append(
            f"balance   {balance.how} of {_where(settings)}; ejected after {balance.failures} failures in a row, "
            f"{balance.eject_for:g} to {balance.at_most:g} s, never more than half"
        )
    if hedge.on:
        lines.append(
            f"hedge     a second copy after the time in which {hedge.quantile:.0%} have answered, "
            f"at least {hedge.least:g} s; within the retry budget"
        )
    return lines


def _where(settings: UpstreamSettings) -> str:
    balance = settings.balance
    if balance.file is not None:
        return f"the addresses in {balance.file}"
    resolved = f" (resolved every {balance.resolve:g} s)" if balance.resolve else ""
    return ", ".join([settings.url + resolved, *balance.urls])


def run(target: str) -> int:
    """Print the routes; returns the exit code. Raises DeclarationError."""
    gateway = load(target)
    print(table(gateway, _upstreams()))
    return 0


def _upstreams() -> dict[str, UpstreamSettings]:
    """The settings of each upstream; none when the settings cannot be read. The routes are then listed with the
    defaults, and `bff check` reports the mistakes."""
    try:
        return settings_file.load().upstreams
    except DeclarationError as error:
        print(f"{error}\nThe defaults are shown.", file=sys.stderr)
        return {}
