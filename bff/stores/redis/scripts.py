"""Lua scripts by name. Each is one atomic step, called by its hash, and loaded again when Redis does not have it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from redis.exceptions import NoScriptError, RedisError

from .connection import Packable, StoreUnavailable

_LUA = Path(__file__).parent.parent / "lua"
_INCLUDE = "--#include"


class Commands(Protocol):
    """The part of `RedisClient` that scripts need."""

    async def call(self, *command: Packable, limit: float | None = None) -> Any: ...

    async def batch(
        self, commands: Sequence[Sequence[Packable]], *, limit: float | None = None
    ) -> list[Any]: ...


class Step(NamedTuple):
    """A script with its keys and arguments."""

    script: Script
    keys: Sequence[str | bytes]
    args: Sequence[Packable]


class Script:
    """One atomic step: `await script(keys, args)`. It is loaded again when Redis has lost it (restart, failover).

    Raises StoreUnavailable.
    """

    def __init__(self, client: Commands, name: str, text: str) -> None:
        self.name = name
        self.text = text
        self._client = client
        # A name, not a secret: Redis identifies scripts by their SHA-1.
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    async def __call__(
        self, keys: Sequence[str | bytes], args: Sequence[Packable] = (), *, limit: float | None = None
    ) -> Any:
        """limit: seconds instead of the client's `timeout`."""
        client = self._client
        try:
            try:
                return await client.call("EVALSHA", self.sha, len(keys), *keys, *args, limit=limit)
            except NoScriptError:
                return await client.call("EVAL", self.text, len(keys), *keys, *args, limit=limit)
        except RedisError as error:
            raise StoreUnavailable(f"script {self.name}: {type(error).__name__}: {error}") from error


async def run_all(client: Commands, steps: Sequence[Step]) -> list[Any]:
    """Run several steps, sent in this order in one write (per node); each is atomic by itself. Returns their results.
    Raises StoreUnavailable; some of them may have run."""
    try:
        answers = await client.batch(
            [("EVALSHA", step.script.sha, len(step.keys), *step.keys, *step.args) for step in steps]
        )
    except RedisError as error:
        raise StoreUnavailable(f"scripts: {type(error).__name__}: {error}") from error
    for number, (step, answer) in enumerate(zip(steps, answers, strict=True)):
        if isinstance(answer, NoScriptError):
            answers[number] = await step.script(step.keys, step.args)
        elif isinstance(answer, Exception):
            raise StoreUnavailable(f"script {step.script.name}: {answer}") from answer
    return answers


def read(name: str) -> str:
    """The text of `lua/<name>.lua`; each `--#include other` among its first lines puts that file before it."""
    lines = (_LUA / f"{name}.lua").read_text(encoding="utf-8").splitlines(keepends=True)
    before = ""
    while lines and lines[0].startswith(_INCLUDE):
        before += read(lines.pop(0).removeprefix(_INCLUDE).strip())
    return before + "".join(lines)
