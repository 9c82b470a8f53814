r"""Text from outside is escaped and shortened before any log handler gets it.

`Escaping` is a filter on every logger of this package (`LOGGERS`), so it also works in an application that mounts the
gateway and has its own log format. `JsonLines` (log_lines.py) does the same for the records of other packages. A
character that cannot be printed becomes an escape such as `\n`, `\x9b` or `\u202e`: control characters (C0 and C1),
bidirectional and other invisible formats, line separators, surrogates. So no text from outside can begin a line, colour
a terminal or reorder other text (CWE-117, CWE-150), and the size of a record is bounded.
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
    "bff.network",
    "bff.server",
    "bff.session",
    "bff.sign_in",
    "bff.stores",
    "bff.tokens",
    "bff.transport",
    "bff.upstreams",
)
"""Every logger of this package. Add a new one here."""

TEXT = 300
"""Characters of one value in a record, at most."""
MESSAGE = 2_000
"""Characters of a message, at most."""
EXCEPTION = 10_000
"""Characters of an exception with its traceback, at most; a longer one is logged without its middle."""
INNER = 100
"""Characters of a text inside a list or mapping of a record's fields, at most."""
ITEMS = 30
"""Members of a record's fields, at most; a list or mapping among them has at most a third of that."""


class Prepared(list[dict[str, object]]):
    """Members of a record's field whose texts are printable and whose number is bounded already."""


_NESTED = (Mapping, list, tuple, set, frozenset)
_SHORT = Repr()
_SHORT.maxlevel = 2
ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


def printable(text: str, limit: int = TEXT) -> str:
    """The text with escapes for what cannot be printed, at most `limit` characters long. A shortened text ends with its
    original length. A second call changes nothing."""
    if len(text) <= limit and text.isprintable():
        return text
    shown = _escaped(text[:limit])
    if len(text) <= limit and len(shown) <= limit:
        return shown
    note = f"… ({len(text)} characters)"
    return shown[: limit - len(note)] + note


def loggable(value: object, limit: int = TEXT) -> object:
    """The value in JSON's types, with printable texts and a bounded total size. A mapping keeps its members, and those
    that are lists or mappings keep theirs; deeper values become text."""
    if isinstance(value, str):
        return printable(value, limit)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if value.bit_length() <= 256 else f"a number of {value.bit_length()} bits"
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Prepared):
        return value
    if isinstance(value, _NESTED):
        # Each level is shorter than the level above. The third level is one line of text.
        if limit < INNER:
            return printable(_SHORT.repr(value), limit)
        most, inner = (ITEMS, INNER) if limit > INNER else (ITEMS // 3, INNER // 2)
        if isinstance(value, Mapping):
            return {
                printable(str(name), INNER): loggable(one, inner if isinstance(one, _NESTED) else limit)
                for name, one in islice(value.items(), most)
            }
        return [loggable(one, inner) for one in islice(value, most)]
    return printable(_text(value), limit)


def exception_text(error: ExcInfo) -> str:
    """The traceback, with its line breaks; each line is printable."""
    whole = logging.Formatter().formatException(error)
    text = "\n".join(_escaped(line, "\t") for line in whole.split("\n"))
    if len(text) <= EXCEPTION:
        return text
    return f"{text[: EXCEPTION // 4]}\n… ({len(text)} characters)\n{text[-EXCEPTION // 2 :]}"


class Escaping(logging.Filter):
    """Escapes a record's message, arguments, `fields` and exception text. It drops no record."""

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
    # Numbers stay numbers, because the message may format them (%d).
    return value if isinstance(value, int | float) else printable(_text(value))


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception:  # __str__ of any class may fail, but a log line must not
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


for _name in LOGGERS:
    logging.getLogger(_name).addFilter(Escaping())
