"""Values that remember how a service wrote them: a date, an address or a number in text is printed as it came.

`respelled` returns an equal value of a subclass that holds the text. A value that a view computes from it (a sum,
`replace`, a copy) is a plain value again and is printed in the normal form of its type. A value whose normal form is
the text that it came in stays a plain value.
"""

from __future__ import annotations

import datetime
import ipaddress
import pathlib
import uuid
from decimal import Decimal
from functools import lru_cache
from typing import Any, TypeVar

from pydantic.networks import _BaseMultiHostUrl, _BaseUrl

T = TypeVar("T")

_ATTRIBUTE = "bff_spelling"
_KINDS = (
    datetime.datetime,
    datetime.date,
    datetime.time,
    datetime.timedelta,
    uuid.UUID,
    Decimal,
    ipaddress.IPv4Address,
    ipaddress.IPv6Address,
    ipaddress.IPv4Interface,
    ipaddress.IPv6Interface,
    ipaddress.IPv4Network,
    ipaddress.IPv6Network,
    pathlib.PurePath,
)


def spelling(value: object) -> str | None:
    """The text that `value` came in, None when it is printed in the normal form of its type."""
    found: str | None = getattr(value, _ATTRIBUTE, None)
    return found


def respelled(value: T, text: str) -> T | None:
    """An equal value that remembers `text`; None for a type that cannot remember."""
    if isinstance(value, _BaseUrl | _BaseMultiHostUrl):
        # Its validator has just made it, so no other code uses it yet.
        setattr(value, _ATTRIBUTE, text)
        return value
    if not isinstance(value, _KINDS):
        return None
    kind: Any = type(value)
    made: Any = _subclass(kind)(*_arguments(value))
    object.__setattr__(made, _ATTRIBUTE, text)
    found: T = made
    return found


def _arguments(value: Any) -> tuple[Any, ...]:
    if isinstance(value, uuid.UUID):
        return (str(value),)
    arguments: tuple[Any, ...] = value.__reduce__()[1]
    return arguments


@lru_cache(maxsize=64)
def _subclass(kind: Any) -> type[Any]:
    def reduced(self: Any, protocol: object = None) -> tuple[type[Any], tuple[Any, ...]]:
        # A copy and a pickled value are plain values.
        if isinstance(self, uuid.UUID):
            return kind, (str(self),)
        plain: Any = kind.__reduce__
        return kind, plain(self)[1]

    names = {
        "__slots__": (_ATTRIBUTE,),
        "__module__": kind.__module__,
        "__qualname__": kind.__qualname__,
        "__reduce_ex__": reduced,
        "__reduce__": reduced,
    }
    return type(kind.__name__, (kind,), names)


class _Ordered:
    """Holds the items of a set in the order in which they came."""

    __slots__ = ()

    order: tuple[Any, ...]


class OrderedSet(set[Any], _Ordered):
    """A set that remembers the order in which its items came."""

    __slots__ = ("order",)


class OrderedFrozenSet(frozenset[Any], _Ordered):
    """A frozenset that remembers the order in which its items came."""

    __slots__ = ("order",)


def ordered(items: list[Any]) -> OrderedSet:
    """A set of the items that remembers their order. Raises ValueError for a repeated item, or one that cannot be in a
    set."""
    made = OrderedSet(_once(items))
    made.order = tuple(items)
    return made


def ordered_frozen(items: list[Any]) -> OrderedFrozenSet:
    """As `ordered`, for a frozenset."""
    made = OrderedFrozenSet(_once(items))
    made.order = tuple(items)
    return made


def _once(items: list[Any]) -> list[Any]:
    try:
        different = len(set(items)) == len(items)
    except TypeError:
        raise ValueError("Input should have items that a set can hold") from None
    if not different:
        raise ValueError("Input should have every item once")
    return items


def in_order(given: Any) -> list[Any]:
    """The items in the order in which they came; for a set that was made or changed here, sorted."""
    order = getattr(given, "order", None)
    if order is not None and len(order) == len(given) and given.issuperset(order):
        return list(order)
    try:
        return sorted(given)
    except TypeError:
        return sorted(given, key=repr)
