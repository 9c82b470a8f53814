"""For tests of your gateway: run screens and commands with the test's answers, without a server, a socket or Redis.

    async def test_a_product_is_shown_without_its_stock() -> None:
        with request_context({"Catalog.product": MUG, "Inventory.stock": fails("timeout")}) as kit:
            screen = await product_screen("mug-01")
        assert screen.stock.state == "missing"
        assert kit.waves == [["Catalog.product"], ["Inventory.stock", "Shipping.estimate"]]

Decorators return your function unchanged, so a test can call it. Answers are decoded by the call's model, as a
service's answers are. A call without an answer raises NoAnswer, which `optional` does not catch.

`gateway_client` runs the whole gateway instead, on a real port with an embedded Valkey.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import uuid
from collections.abc import Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from pydantic import TypeAdapter

from . import calls
from .calls import (
    Answer,
    BffError,
    Call,
    CircuitOpen,
    Deadline,
    Failed,
    Invalid,
    Overloaded,
    Principal,
    Reason,
    Refused,
    RequestContext,
    Timeout,
    Unreachable,
    Upstream,
    UpstreamError,
)
from .calls.codec import Codec, codec_of
from .transport.response import upstream_error
from .transport.wire import WireResponse

if TYPE_CHECKING:
    import httpx

    from .edge.gateway import Gateway

__all__ = ["Kit", "NoAnswer", "fails", "gateway_client", "request_context"]

Answers: TypeAlias = Mapping[str, Any] | Mapping[Call[Any], Any] | Mapping[str | Call[Any], Any]
"""By a call's name, by the Call, or by both. A Mapping is invariant in its keys, so each kind of keys is a member."""

# Turns of the event loop without another call after which a wave is complete. Nested `together` calls need a few; an
# empty turn takes microseconds.
QUIET = 20


class NoAnswer(BffError):
    """The test gave no answer for this call."""

    code = "no-answer"


@dataclass(frozen=True, slots=True)
class fails:
    """A failed call: `fails("timeout")`, `fails("refused", status=409)`.

    reason       one of the seven reasons of docs/contract.md
    status       of `failed` (default 500) and `refused` (default 404; 400 to 499 without 429)
    problem      the service's problem document, for `refused`; your view gets the part that a real call passes on
    retry_after  seconds, for `circuit-open` and `overloaded`
    """

    reason: Reason
    status: int | None = None
    problem: Mapping[str, Any] | None = None
    retry_after: float | None = None

    def error(self, call: Call[Any], *, asker: Principal | None = None) -> UpstreamError:
        """The error that the call raises. asker: the user that the request identifies to the service, None for none.
        Raises ValueError for a wrong status."""
        owner, name, detail = call.owner, call.name, "failed, as the test requires."
        match self.reason:
            case "failed":
                return Failed(owner, name, detail, status=self.status or 500)
            case "refused":
                body = json.dumps(dict(self.problem or {})).encode()
                answer = WireResponse(self.status or 404, {"content-type": "application/problem+json"}, body)
                error = upstream_error(call, answer, asker=asker)
                if not isinstance(error, Refused):
                    raise ValueError(f"refused takes a status of 400 to 499 without 429, not {self.status}")
                return error
            case "timeout":
                return Timeout(owner, name, detail)
            case "circuit-open":
                return CircuitOpen(owner, name, detail, retry_after=self.retry_after)
            case "overloaded":
                return Overloaded(owner, name, detail, retry_after=self.retry_after)
            case "unreachable":
                return Unreachable(owner, name, detail)
            case "invalid":
                return Invalid(owner, name, detail)


@dataclass(slots=True)
class _Wave:
    names: list[str] = field(default_factory=list)
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    quiet: int = 0


class Kit:
    """What happened in a block of `request_context()`.

    waves    the names of the calls: one list for calls that ran concurrently, in the order in which they were started.
             A needless sequence of calls is visible as several waves.
    calls    every Call in order, with its path, query, body and key
    context  the context of the request; `context.record.missing` counts the missing optional parts
    """

    def __init__(
        self,
        answers: Answers,
        principal: Principal | None,
        mutation: str | None,
        deadline: float,
    ) -> None:
        self.waves: list[list[str]] = []
        self.calls: list[Call[Any]] = []
        self._answers: dict[str | Call[Any], Any] = dict(answers.items())
        self._open: _Wave | None = None
        self.context = RequestContext(Deadline.after(deadline), self, str(uuid.uuid4()), principal, mutation)

    async def run(self, call: Call[Any], context: RequestContext) -> Any:
        """Answer a call, after its wave is complete. Called by `await call`."""
        answer = self._answer(call)
        self.calls.append(call)
        wave = self._open
        if wave is None:
            wave = self._open = _Wave()
            self.waves.append(wave.names)
            asyncio.get_running_loop().call_soon(self._turn, wave)
        wave.names.append(call.name)
        wave.quiet = 0
        await wave.answered.wait()
        if callable(answer):
            answer = answer(call)
            if inspect.isawaitable(answer):
                answer = await answer
        if isinstance(answer, fails):
            raise answer.error(call, asker=None if call.shared else context.principal)
        if isinstance(answer, BaseException):
            raise answer
        context.record.add_answer(fresh=call.freshness, public=call.shared)
        if call.takes and isinstance(answer, Answer):
            return Answer(
                _value_of(call, answer.value), {name.lower(): text for name, text in answer.headers.items()}
            )
        value = _value_of(call, answer)
        return Answer(value, {}) if call.takes else value

    def _answer(self, call: Call[Any]) -> Any:
        for key in (call, call.name):
            if key in self._answers:
                return self._answers[key]
        known = ", ".join(sorted({key if isinstance(key, str) else key.name for key in self._answers}))
        raise NoAnswer(f"no answer for {call.name} ({call.method} {call.path}); there are: {known or 'none'}")

    def _turn(self, wave: _Wave) -> None:
        wave.quiet += 1
        if wave.quiet < QUIET:
            asyncio.get_running_loop().call_soon(self._turn, wave)
        else:
            self._open = None
            wave.answered.set()


def _value_of(call: Call[Any], answer: Any) -> Any:
    return None if call.model is None else _as_answered(call.model, answer)


def _as_answered(model: Any, answer: Any) -> Any:
    """The answer as a value of the model: JSON is decoded as a service's answer is, a Python object is validated."""
    codec: Codec[Any] = codec_of(model)
    if isinstance(answer, bytes):
        return codec.decode(answer)
    try:
        body = json.dumps(answer, separators=(",", ":")).encode()
    except (TypeError, ValueError):
        return TypeAdapter(model).validate_python(answer)
    return codec.decode(body)


@contextmanager
def request_context(
    answers: Answers | None = None,
    *,
    principal: Principal | None = None,
    mutation: str | None = None,
    deadline: float = 30.0,
) -> Iterator[Kit]:
    """Open a request context in which the test answers the calls.

    answers    by a call's name (`"Catalog.product"`) or by the Call itself, which takes precedence. An answer is a
               value (a model, the service's JSON as Python objects, or its bytes), an exception, `fails(…)`, or a
               function that gets the Call and returns one of these, async or not.
    principal  the user of the request; default None: anonymous
    mutation   the client's Idempotency-Key, for commands
    deadline   seconds for everything in the block, default 30
    """
    kit = Kit(answers or {}, principal, mutation, deadline)
    with calls.use_context(kit.context):
        yield kit


def gateway_client(
    gateway: Gateway,
    answers: Mapping[Call[Any] | Upstream, Any] | None = None,
    *,
    principal: Principal | None = None,
    settings: Mapping[str, Any] | None = None,
) -> AbstractAsyncContextManager[httpx.AsyncClient]:
    """The whole gateway on a free port of this machine, with an embedded Valkey (the extra `dev`, or a server on PATH)
    and a stand-in for each service; the block gets an httpx client for it.

        async with gateway_client(app, {desk.ticket("7"): TICKET, people: fails("timeout")}) as client:
            screen = await client.get("/api/tickets/7")
        assert screen.headers["bff-complete"] == "false"

    Retries, breakers, deadlines, limits, idempotency and the stream are real; only the services are not. The client
    sends a new Idempotency-Key with each POST and PATCH that has none.

    answers    by the Call, which is compared by service, method, path and query: a model, JSON as Python objects, the
               bytes of the body, or `fails(…)`. By the Upstream: `fails(…)` for all its other calls. Everything else is
               answered 404 by the stand-in.
    principal  the user whose token the client sends, with these scopes and roles; default None: anonymous
    settings   in place of the defaults, in sections as in the settings file: `{"limits": {"default": "5/minute"}}`

    Raises ValueError for answers that cannot be given (`circuit-open`: a breaker opens by itself), and DeclarationError
    for mistakes in declarations or settings, and where there is no Valkey.
    """
    from .testing_gateway import client_of  # the gateway is imported only where it is run

    return client_of(gateway, answers or {}, principal, settings or {})
