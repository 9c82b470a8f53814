"""The time of the last change of each tag, as far as this process knows. Pure.

A stamp is a time of Redis' clock in microseconds; the stamp of a tag only grows. A cached answer that was requested at
`seen` may be used when the stamps of all its tags are before `seen`. So an answer that was requested before the change
and arrived after it is not used either.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping


class Stamps:
    """The newest known stamp of each name, 0 for a name that is known not to have changed. most: names, default 10,000;
    beyond it the least recently used name becomes unknown, which costs one request to Redis but never gives a wrong
    answer."""

    def __init__(self, most: int = 10_000) -> None:
        self._max_names = most
        self._known: OrderedDict[str, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def newest(self, names: Iterable[str]) -> int | None:
        """The newest stamp of these names, 0 for no names; None when one of them is unknown."""
        newest = 0
        for name in names:
            stamp = self._known.get(name)
            if stamp is None:
                return None
            self._known.move_to_end(name)
            newest = max(newest, stamp)
        return newest

    def learn(self, stamps: Mapping[str, int]) -> None:
        """Add stamps from Redis or from another process. An older stamp never replaces a newer one."""
        for name, stamp in stamps.items():
            self._known[name] = max(stamp, self._known.get(name, 0))
            self._known.move_to_end(name)
        while len(self._known) > self._max_names:
            self._known.popitem(last=False)

    def of(self, name: str) -> int:
        """The stamp of one name, 0 when it is unknown."""
        return self._known.get(name, 0)

    def forget(self) -> None:
        """Messages may have been missed: every name becomes unknown."""
        self._known.clear()
