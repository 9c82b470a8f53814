"""When what a tag stands for last changed, as far as this process knows. Pure.

A stamp is a moment in microseconds on the store's clock that only grows for a tag. An answer asked for at `seen` may be
used when every stamp of its tags is before `seen`: an answer under way while the change was made is not used either.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping


class Stamps:
    """The newest stamp known of each name, 0 for one known not to have changed. Full (`most` names): the least
    recently used name becomes unknown, which costs one look into the store, never a wrong answer."""

    def __init__(self, most: int = 10_000) -> None:
        self._most = most
        self._known: OrderedDict[str, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def newest(self, names: Iterable[str]) -> int | None:
        """The newest stamp of these names; None when one of them is not known."""
        newest = 0
        for name in names:
            stamp = self._known.get(name)
            if stamp is None:
                return None
            self._known.move_to_end(name)
            newest = max(newest, stamp)
        return newest

    def learn(self, stamps: Mapping[str, int]) -> None:
        """Take over what the store or another process said; an older word never wins over a newer one."""
        for name, stamp in stamps.items():
            self._known[name] = max(stamp, self._known.get(name, 0))
            self._known.move_to_end(name)
        while len(self._known) > self._most:
            self._known.popitem(last=False)

    def of(self, name: str) -> int:
        """The stamp of one name, 0 when nothing is known of it."""
        return self._known.get(name, 0)

    def forget(self) -> None:
        """Words may have been missed: nothing is known any more."""
        self._known.clear()
