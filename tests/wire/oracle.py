"""The expected answer of a screen when its services misbehave, written separately from the gateway's code.

It knows only the contract's table: given the parts of a screen and what each service does, it says which answers are
right. It imports nothing of the package under test.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from typing import Any

TIMEOUT, UNREACHABLE, INVALID = "timeout", "unreachable", "invalid"
FAILED, OVERLOADED, REFUSED, READY = "failed", "overloaded", "refused", "ready"

SLOW = "slow-0.6"
"""Answers after 0.6 s: in time, unless the call has a shorter limit of its own."""

# What the gateway may report for each fault; more than one where the wire allows several.
OUTCOMES: dict[str, frozenset[str]] = {
    **{
        how: frozenset({READY})
        for how in ("ok", "chunks", "until-close", "1xx", "second-answer", "slow-0.01", "no-type", SLOW)
    },
    **{how: frozenset({TIMEOUT}) for how in ("silent", "drip", "stall")},
    **{
        how: frozenset({UNREACHABLE})
        for how in (
            ["down", "reset", "close", "half", "half-head"]
        )
    },
    **{
        how: frozenset({INVALID})
        for how in (
            ["huge-body", "html", "not-json", "not-utf8", "deep", "deep-balanced", "wrong-model"]
            + ["empty", "no-content", "two-lengths", "bad-chunks", "101", "huge-head", "garbage"]
        )
    },
    **{how: frozenset({FAILED}) for how in ("500", "502", "504", "302")},
    **{how: frozenset({REFUSED}) for how in ("400", "401", "403", "404", "409", "410", "422")},
    **{how: frozenset({OVERLOADED}) for how in ("429", "503")},
    # The length cuts the body short; what follows cannot be the head of an answer.
    "short-length": frozenset({INVALID, UNREACHABLE}),
    # It resets only the first time: a read may be sent again, but need not be.
    "flaps": frozenset({READY, UNREACHABLE}),
}  # fmt: skip

STATUS = {TIMEOUT: 504, UNREACHABLE: 502, INVALID: 502, FAILED: 502, OVERLOADED: 503}
PASSED_ON = {"404", "409", "410", "422"}
# `Raw` does not look inside a body, so a body that fits no model is fine here.
WHOLE = {"wrong-model": frozenset({READY})}


# Seconds that a call may take: much less than the slow answer takes, and much more.
SHORT, LONG = 0.15, 45.0


@dataclass(frozen=True)
class Plan:
    """One part of a screen: what its service does, and how the screen asks for it. within: seconds of the call's own
    limit, None for none."""

    name: str
    fault: str
    required: bool
    public: bool
    fresh: float | None
    whole: bool = False
    within: float | None = None

    @property
    def outcomes(self) -> frozenset[str]:
        if self.fault == SLOW and self.within == SHORT:
            return frozenset({TIMEOUT})
        return WHOLE.get(self.fault, OUTCOMES[self.fault]) if self.whole else OUTCOMES[self.fault]


@dataclass(frozen=True)
class Case:
    """A screen: groups of parts. Those of a group run side by side, and a group begins when the one before has ended.

    again  the client asks once more, with the ETag of the answer
    """

    groups: tuple[tuple[Plan, ...], ...]
    again: bool = False

    @property
    def plans(self) -> tuple[Plan, ...]:
        return tuple(plan for group in self.groups for plan in group)

    @property
    def steady(self) -> bool:
        """Whether it is answered with the same bytes each time."""
        return all(plan.outcomes == {READY} for plan in self.plans)


def draw(dice: random.Random, number: int) -> Case:
    """A random screen of 1 to 6 parts; about one in three has no fault."""
    clean = dice.random() < 0.3
    plans = []
    for place in range(dice.randint(1, 6)):
        fault = dice.choice(["ok", "chunks"]) if clean else dice.choice(sorted(OUTCOMES))
        plans.append(
            Plan(
                f"c{number}p{place}",
                fault,
                required=dice.random() < 0.25,
                public=dice.random() < 0.7,
                fresh=dice.choice([None, 5.0, 30.0, 300.0]),
                whole=dice.random() < 0.3,
                within=dice.choice([None, *_limits(fault)]),
            )
        )
    return Case(_grouped(plans, dice), again=dice.random() < 0.5)


def _limits(fault: str) -> list[float]:
    """Limits of a call whose outcome is known: one that nothing reaches on a busy machine, one that is always too
    short."""
    if OUTCOMES[fault] == {TIMEOUT}:
        return []
    return [SHORT] if fault == SLOW else [LONG]


def _grouped(plans: list[Plan], dice: random.Random) -> tuple[tuple[Plan, ...], ...]:
    """All at once, one after another, or in two groups."""
    shape = dice.choice(["together", "together", "sequence", "halves"])
    if shape == "sequence":
        return tuple((plan,) for plan in plans)
    cut = dice.randint(1, len(plans)) if shape == "halves" else len(plans)
    return tuple(tuple(group) for group in (plans[:cut], plans[cut:]) if group)


@dataclass
class Seen:
    """One answer as the client received it. size: bytes of the body; again: the answer to the same request with its
    ETag."""

    status: int
    headers: dict[str, str]
    body: Any
    seconds: float
    size: int = 0
    again: Seen | None = None


def judge(case: Case, seen: Seen, *, owner: dict[str, str], longest: float) -> list[str]:
    """Every error in the answer; empty when it is right."""
    wrong: list[str] = []
    if seen.seconds > longest:
        wrong.append(f"took {seen.seconds:.2f} s of {longest:.2f}")
    wrong += _every(seen)
    required = [plan for plan in case.plans if plan.required]
    must_fail = [plan for plan in required if READY not in plan.outcomes]
    may_fail = [plan for plan in required if plan.outcomes != {READY}]
    if seen.status == 200:
        if must_fail:
            wrong.append(f"is 200 although {must_fail[0].name} ({must_fail[0].fault}) is required")
        else:
            wrong += _screen(case, seen, owner)
    elif not may_fail:
        wrong.append(f"is {seen.status} although every required part was there: {seen.body}")
    else:
        if must_fail:
            # No group begins after the first one that must fail, so none of its parts can be the reason.
            last = next(index for index, group in enumerate(case.groups) if must_fail[0] in group)
            begun = [plan for group in case.groups[: last + 1] for plan in group]
            may_fail = [plan for plan in may_fail if plan in begun]
        wrong += _problem(may_fail, seen, owner)
    return wrong


def _screen(case: Case, seen: Seen, owner: dict[str, str]) -> list[str]:
    wrong = []
    complete = True
    parts = seen.body["parts"] | seen.body["parts_whole"]
    required = seen.body["required"] | seen.body["required_whole"]
    if sorted([*parts, *required]) != sorted(plan.name for plan in case.plans):
        wrong.append(f"its parts are {sorted([*parts, *required])}")
    for plan in case.plans:
        if plan.required:
            wrong += _data(plan, required[plan.name])
            continue
        part = parts[plan.name]
        if part["state"] == "ready":
            if READY not in plan.outcomes:
                wrong.append(f"{plan.name} ({plan.fault}) is ready")
            else:
                wrong += _data(plan, part["data"])
            continue
        complete = False
        if part["state"] != "missing" or part["reason"] not in plan.outcomes:
            wrong.append(f"{plan.name} ({plan.fault}) is {part}")
        if part["owner"] != owner | {"service": service(plan)}:
            wrong.append(f"{plan.name}: owner {part['owner']}")
        if part["retry_after"] != (90.0 if plan.fault in ("429", "503") else None):
            wrong.append(f"{plan.name} ({plan.fault}): retry_after {part['retry_after']}")
    if seen.headers.get("bff-complete") != str(complete).lower():
        wrong.append(f"BFF-Complete {seen.headers.get('bff-complete')}, but complete is {complete}")
    allowed = _cache_control(case, complete, seen.seconds)
    if seen.headers.get("cache-control") not in allowed:
        wrong.append(f"Cache-Control {seen.headers.get('cache-control')!r} is none of {allowed}")
    wrong += _etag(case, complete, seen)
    private = (seen.headers.get("cache-control") or "").startswith("private")
    vary = {name.strip().lower() for name in seen.headers.get("vary", "").split(",")}
    if ({"cookie", "authorization"} <= vary) != private:
        wrong.append(f"Vary {seen.headers.get('vary')!r} with {seen.headers.get('cache-control')!r}")
    if seen.headers.get("server-timing", "").count("dur=") < len(case.plans):
        wrong.append(f"Server-Timing does not name every call: {seen.headers.get('server-timing')}")
    return wrong


def _every(seen: Seen) -> list[str]:
    """What holds for every answer."""
    wrong, headers = [], seen.headers
    if not re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", headers.get("x-correlation-id", "")):
        wrong.append(f"X-Correlation-ID {headers.get('x-correlation-id')!r}")
    if headers.get("content-length") != str(seen.size):
        wrong.append(f"Content-Length {headers.get('content-length')!r}, but {seen.size} bytes came")
    if headers.get("x-content-type-options") != "nosniff":
        wrong.append("X-Content-Type-Options is missing")
    if seen.status == 200 and headers.get("content-type") != "application/json":
        wrong.append(f"Content-Type {headers.get('content-type')!r}")
    return wrong


def _etag(case: Case, complete: bool, seen: Seen) -> list[str]:
    """A strong one where the screen is complete, and 304 without a body where nothing has changed."""
    etag = seen.headers.get("etag")
    if not complete:
        return [] if etag is None else [f"ETag {etag} although it is not complete"]
    if etag is None or not re.fullmatch(r'"[!#-~]+"', etag):
        return [f"ETag {etag!r}"]
    if not case.again or not case.steady:
        return []
    again = seen.again
    if again is None or (again.status, again.size, again.headers.get("etag")) != (304, 0, etag):
        return [f"asked again with {etag}: {again}"]
    return []


def service(plan: Plan) -> str:
    return "down" if plan.fault == "down" else "rig"


def _data(plan: Plan, data: Any) -> list[str]:
    if not plan.whole:
        right = data == {"name": plan.name}
    elif plan.fault == "wrong-model":
        right = data == {"title": "x"}
    else:
        right = data == {"name": plan.name, "hidden": "inside"}
    return [] if right else [f"{plan.name} ({plan.fault}) holds {str(data)[:100]}"]


def _cache_control(case: Case, complete: bool, seconds: float) -> list[str]:
    """A part ages while the screen waits for another one: its age may be subtracted, and a part of a second counts as a
    whole one."""
    if not complete:
        return ["no-store"]
    if not all(plan.public for plan in case.plans):
        return ["private, no-cache"]
    least = int(min(plan.fresh or 0.0 for plan in case.plans))
    return [f"public, max-age={max(0, least - older)}" for older in range(int(seconds) + 2)]


def _problem(suspects: list[Plan], seen: Seen, owner: dict[str, str]) -> list[str]:
    """The problem must be exactly that of a part that may have failed."""
    why: list[str] = []
    for plan in suspects:
        for outcome in sorted(plan.outcomes - {READY}):
            off = _problem_of(plan, outcome, seen, owner)
            if not off:
                return []
            why.append(f"not {plan.name} ({plan.fault}): {', '.join(off)}")
    return [f"{seen.status} {seen.body} is no part's failure", *why]


def _problem_of(plan: Plan, outcome: str, seen: Seen, owner: dict[str, str]) -> list[str]:
    body = seen.body if isinstance(seen.body, dict) else {}
    status, code = STATUS.get(outcome, 502), outcome
    if outcome == REFUSED and plan.fault in PASSED_ON:
        status, code = int(plan.fault), f"no-{plan.fault}"
    off = [] if seen.status == status else [f"status {status}"]
    expected = {"status": status, "code": code, "owner": owner | {"service": service(plan)}}
    off += [f"{key} {value}" for key, value in expected.items() if body.get(key) != value]
    if seen.headers.get("content-type") != "application/problem+json":
        off.append("content type")
    if outcome == OVERLOADED and seen.headers.get("retry-after") != "90":
        off.append(f"Retry-After 90, not {seen.headers.get('retry-after')}")
    if "secret" in str(body):
        off.append("internals of the service are shown")
    if not body.get("correlation_id") or not body.get("type") or not body.get("title"):
        off.append("a member is missing")
    return off
