r"""What comes from outside is escaped and cut before any log handler sees it.

`Escaping` is a filter on every logger of this package (`LOGGERS`), so that it also holds where the gateway is mounted
in an application with a log format of its own. `JsonLines` (telemetry.py) does the same for the records of other
packages. A character that cannot be printed becomes an escape such as `\n`, `\x9b` or `\u202e`: control characters
(C0 and C1), bidirectional and other invisible formats, line separators, surrogates. Nobody can begin a line, colour a
terminal or reorder a text by what they send (CWE-117, CWE-150), and one record has a bounded size.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from itertools import islice
from reprlib import Repr
from types import TracebackType

LOGGERS = (
    "bff",
    "bff.access",
    "bff.edge",
    "bff.jwks",
    "bff.limits",
    "bff.live",
    "bff.server",
    "bff.session",
    "bff.stores",
    "bff.transport",
    "bff.upstreams",
)
"""Every logger of this package. A new one is added here."""

TEXT = 300
"""Characters of one value in a record."""
MESSAGE = 2_000
"""Characters of a message."""
EXCEPTION = 10_000
"""Characters of an exception with its traceback; of a longer one the beginning and the end are kept."""
INNER = 100
"""Characters of a text inside a list or a mapping of a record's fields."""
ITEMS = 30
"""Members of a record's fields; a list or mapping among them has a third of that."""

_SHORT = Repr()
_SHORT.maxlevel = 2
ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


def printable(text: str, limit: int = TEXT) -> str:
    """The text with escapes for what cannot be printed, at most `limit` characters long. A text that was cut says how
    long it was. What this returns is returned unchanged by it."""
    if len(text) <= limit and text.isprintable():
        return text
    shown = _escaped(text[:limit])
    if len(text) <= limit and len(shown) <= limit:
        return shown
    note = f"… ({len(text)} characters)"
    return shown[: limit - len(note)] + note


def loggable(value: object, limit: int = TEXT) -> object:
    """The value as a record may hold it: JSON's types, texts printable, bounded in sum. A mapping and its members that
    are lists or mappings stay what they are; what lies deeper becomes text."""
    if isinstance(value, str):
        return printable(value, limit)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if value.bit_length() <= 256 else f"a number of {value.bit_length()} bits"
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        # Each level is shorter than the one around it, and the third is a line of text.
        if limit < INNER:
            return printable(_SHORT.repr(value), limit)
        most, inner = (ITEMS, INNER) if limit > INNER else (ITEMS // 3, INNER // 2)
        if isinstance(value, Mapping):
            return {
                printable(str(name), INNER): loggable(one, limit if _plain(one) else inner)
                for name, one in islice(value.items(), most)
            }
        return [loggable(one, inner) for one in islice(value, most)]
    return printable(_text(value), limit)


def _plain(value: object) -> bool:
    return not isinstance(value, Mapping | list | tuple | set | frozenset)


def exception_text(error: ExcInfo) -> str:
    """The traceback, its lines apart and each of them printable."""
    whole = logging.Formatter().formatException(error)
    text = "\n".join(_escaped(line, "\t") for line in whole.split("\n"))
    if len(text) <= EXCEPTION:
        return text
    return f"{text[: EXCEPTION // 4]}\n… ({len(text)} characters)\n{text[-EXCEPTION // 2 :]}"


class Escaping(logging.Filter):
    """Rewrites a record's message, arguments, `fields` and exception text; never drops a record."""

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.args:
            record.msg = printable(_text(record.msg), MESSAGE)
        elif isinstance(record.args, tuple):
            record.args = tuple(_argument(one) for one in record.args)
        else:
            record.args = {name: _argument(one) for name, one in record.args.items()}
        fields = getattr(record, "fields", None)
        if fields is not None:
            record.fields = loggable(fields)
        if record.exc_info and not record.exc_text:
            record.exc_text = exception_text(record.exc_info)
        return True


def _argument(value: object) -> object:
    # Numbers stay numbers: the message may ask for their digits.
    return value if isinstance(value, int | float) else printable(_text(value))


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception:  # somebody's own __str__: a log line must not fail by what it tells of
        return f"a {type(value).__name__} that cannot be shown"


def _escaped(text: str, unescaped: str = "") -> str:
    if text.isprintable():
        return text
    return "".join(
        letter
        if letter.isprintable() or letter in unescaped
        else letter.encode("unicode_escape", "surrogatepass").decode("ascii")
        for letter in text
    )


_ESCAPING = Escaping()
for _name in LOGGERS:
    logging.getLogger(_name).addFilter(_ESCAPING)
