"""Lua scripts by name: one atomic step each, known to Redis by their hash, handed over again where it forgot."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from redis.exceptions import NoScriptError, RedisError

from .wire import Packable, StoreUnavailable

if TYPE_CHECKING:
    from .link import RedisLink

_LUA = Path(__file__).with_name("lua")
_INCLUDE = "--#include"


class Script:
    """One atomic step: `await script(keys, args)`. Loads itself again after Redis lost it (restart, failover).

    Raises StoreUnavailable.
    """

    def __init__(self, link: RedisLink, name: str, text: str) -> None:
        self.name = name
        self.text = text
        self._link = link
        # A name, not a secret: Redis itself knows scripts by their SHA-1.
        self._sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    async def __call__(
        self, keys: Sequence[str | bytes], args: Sequence[Packable] = (), *, limit: float | None = None
    ) -> Any:
        """limit: seconds instead of the link's `timeout`."""
        link = self._link
        try:
            try:
                return await link.call("EVALSHA", self._sha, len(keys), *keys, *args, limit=limit)
            except NoScriptError:
                return await link.call("EVAL", self.text, len(keys), *keys, *args, limit=limit)
        except RedisError as error:
            raise StoreUnavailable(f"script {self.name}: {type(error).__name__}: {error}") from error


def read(name: str) -> str:
    """The text of `lua/<name>.lua`; each `--#include other` among its first lines puts that file before it."""
    lines = (_LUA / f"{name}.lua").read_text(encoding="utf-8").splitlines(keepends=True)
    before = ""
    while lines and lines[0].startswith(_INCLUDE):
        before += read(lines.pop(0).removeprefix(_INCLUDE).strip())
    return before + "".join(lines)
