"""Screens and commands called as functions, with the test's answers to their calls: `request_context` and its Kit."""

from __future__ import annotations

import asyncio
import inspect
import json
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from pydantic import TypeAdapter

from .. import calls
from ..calls import Answer, BffError, Call, Deadline, Principal, RequestContext
from ..calls.codec import Codec, codec_of
from .failures import fails

Answers: TypeAlias = Mapping[str, Any] | Mapping[Call[Any], Any] | Mapping[str | Call[Any], Any]
"""By a call's name, by the Call, or by both. A Mapping is invariant in its keys, so each kind of keys is a member."""

# Turns of the event loop without another call after which a wave is complete. Nested `together` calls need a few; an
# empty turn takes microseconds.
QUIET = 20


class NoAnswer(BffError):
    """The test gave no answer for this call."""

    code = "no-answer"


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
