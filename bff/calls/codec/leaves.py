"""Functions that read and print single values where pydantic's own functions would change them.

`schema.py` puts each of them into a pydantic schema in place of the type's own function. A reader gets the value from
JSON; a writer returns the value for JSON.
"""

from __future__ import annotations

import math
import re
import secrets
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any

from pydantic import ValidationError
from pydantic_core import (
    CoreConfig,
    CoreSchema,
    PydanticCustomError,
    PydanticKnownError,
    SchemaSerializer,
    SchemaValidator,
    core_schema,
    to_json,
)

from .json_text import Number, parsed
from .spelling import respelled, spelling

Reader = Callable[[Any], Any]
Wrapped = Callable[[Any, Any], Any]

_SCALAR = re.compile(r"true|false|-?(?:0|[1-9][0-9]{0,999})(?:\.[0-9]{1,999})?(?:[eE][+-]?[0-9]{1,9})?")
EXACT = 2**53
"""From this number on not every integer can be stored exactly in a double."""

# Marks a number in printed JSON whose digits only text can hold. It is random and never leaves this process, so that no
# data can contain it.
_MARK = secrets.token_hex(16)
MARKED = f'"{_MARK}'.encode()

AS_TEXT: CoreSchema = {"type": "float"}
"""Reading 0 with it is a strict match for pydantic, as reading text from JSON is: for `datetime | str` the type that is
declared first is used."""

_JSON_TYPES = (str, int, float, bool, list, dict, type(None))


def wrong_type(what: str) -> PydanticCustomError:
    """The error of a JSON value of another type than the declared one."""
    return PydanticCustomError("json_type", f"Input should be {what}")


def text_reader(
    schema: CoreSchema,
    config: CoreConfig | None,
    what: str,
    printed: Callable[[Any], object] | None = None,
    *,
    exact: bool,
) -> Wrapped:
    """Returns a reader for a value that JSON holds as text: a time, a UUID, an address. The value remembers its text
    when that differs from the printed form; a type that cannot remember it is then refused. A value that already has
    the type (a default, or the result of a validator of the model) is accepted. printed: prints a value; default: by
    the schema. The reader wraps AS_TEXT."""
    validator = SchemaValidator(schema, config)
    from_text, from_value = validator.validate_strings, validator.validate_python
    if printed is None:
        serialize = SchemaSerializer(schema, config).to_python

        def printed(value: Any) -> object:
            return serialize(value, mode="json")

    dated = schema["type"] in ("datetime", "date")
    # Strict mode would refuse a URL that browsers correct. How a URL is written is the service's decision.
    strict = None if schema["type"] == "function-wrap" else True

    def read(value: Any, as_text: Any) -> Any:
        given = type(value)
        try:
            if given is not str:
                if given in _JSON_TYPES or given is Number:
                    raise wrong_type(what)
                return from_value(value)
            if dated and "-" not in value[1:]:
                # A number of seconds in text is not a time of RFC 3339, although pydantic accepts it.
                raise wrong_type(what)
            found = from_text(value, strict=strict)
            if not exact:
                as_text(0)
        except ValidationError as error:
            raise _same(error) from None
        if printed(found) == value:
            return found
        restored = respelled(found, value)
        if restored is None:
            raise PydanticCustomError("spelling", "Input should be spelled as its type is printed")
        return restored

    return read


def text_writer(value: Any, printed: Any) -> Any:
    """The text that the value came in, otherwise the printed form of its type."""
    return spelling(value) or printed(value)


def key_reader(schema: CoreSchema, config: CoreConfig | None) -> Wrapped:
    """Returns a reader for a member's name of another type than text. The name must equal the printed form of its
    value, because it is printed from its value again."""
    validate = SchemaValidator(schema, config).validate_json
    serialize = SchemaSerializer(schema, config).to_python

    def read(value: Any, _: Any) -> Any:
        if type(value) is not str:
            return value
        try:
            # Inside a JSON object pydantic reads a name from text, and still strictly.
            found = validate(to_json({value: None}))
        except ValidationError as error:
            raise _same(error) from None
        if next(iter(serialize(found, mode="json"))) != value:
            raise PydanticCustomError("spelling", "Name should be spelled as its type is printed")
        return next(iter(found))

    return read


def read_float(value: Any) -> Any:
    """A double; an integer only when a double holds it exactly. The schema refuses other types."""
    if type(value) is Number:
        return float(value)
    if type(value) is int and abs(value) >= EXACT:
        try:
            if int(float(value)) == value:
                return value
        except OverflowError:
            pass
        raise PydanticCustomError("float_digits", "Input should be a number that a float holds exactly")
    return value


def read_decimal(value: Any) -> Any:
    """A Decimal with all digits of a number. A Decimal in text is accepted as well, and is printed as text."""
    given = type(value)
    if given is int:
        return Decimal(value)
    if given is not Number and given is not str:
        if given in _JSON_TYPES:
            raise wrong_type("a number, or a number in text")
        return value
    text: str = value.text if given is Number else value
    try:
        found = Decimal(text)
    except InvalidOperation:
        raise wrong_type("a number, or a number in text") from None
    if not found.is_finite():
        raise PydanticKnownError("finite_number")
    if given is Number:
        return found
    return respelled(found, text)


def decimal_reader(schema: CoreSchema, config: CoreConfig | None) -> Wrapped:
    """Returns a reader: `read_decimal`, then the constraints of the declared type."""
    validate = SchemaValidator(schema, config).validate_python

    def read(value: Any, _: Any) -> Any:
        found = read_decimal(value)
        try:
            # It returns a Decimal without the text, so its result is used only when it is another number.
            checked = validate(found)
        except ValidationError as error:
            raise _same(error) from None
        return found if checked == found and spelling(found) is not None else checked

    return read


def write_decimal(value: Any) -> str:
    """A number with all its digits, or the text that it came in. Raises ValueError when it is not finite, TypeError
    when it is not a Decimal."""
    if not isinstance(value, Decimal):
        raise TypeError(f"declared as Decimal, but it is {type(value).__name__}")
    text = spelling(value)
    if text is not None:
        return text
    if not value.is_finite():
        raise ValueError(f"{value} is not JSON")
    # All digits, or with an exponent where that saves many zeros.
    return _MARK + (format(value, "f") if -60 < value.adjusted() < 60 else str(value))


def write_secret(value: Any, info: core_schema.SerializationInfo) -> Any:
    """A secret as asterisks, or in plain text when the caller of `encode` asked for that."""
    if not getattr(info.context, "secrets", False):
        return str(value)
    found = value.get_secret_value()
    return found.decode() if isinstance(found, bytes) else found


def unmarked(written: bytes) -> bytes:
    """Printed JSON in which the marked texts of `write_decimal` have become numbers."""
    if MARKED not in written:
        return written
    first, *rest = written.split(MARKED)
    pieces = [first]
    for piece in rest:
        digits, _, after = piece.partition(b'"')
        pieces += (digits, after)
    return b"".join(pieces)


def member_reader(members: list[Any], *, in_text: bool = False) -> Wrapped | None:
    """Returns a reader for one of `members` (of an Enum or a Literal) by value and JSON type: True is not 1. Returns
    None when all members are text, which pydantic reads correctly. in_text: the reader gets the text of a member."""
    values = [getattr(member, "value", member) for member in members]
    types = {type(member) for member in values}
    if types <= {str} or not types <= set(_JSON_TYPES):
        return None
    exact = [(type(member), member) for member in values]

    def read(value: Any, inner: Any) -> Any:
        if in_text and type(value) is str and value not in values:
            value = read_scalar_text(value)
        given = type(value)
        if given is Number:
            value, given = float(value), float
        if given in _JSON_TYPES and (given not in types or (value in values and (given, value) not in exact)):
            raise wrong_type(" or ".join(repr(member) for member in values[:10]))
        return inner(value)

    return read


def read_scalar_text(value: Any) -> Any:
    """The value of a number, true or false in the text of a path or a query, written as in JSON; any other text is
    returned unchanged."""
    if type(value) is str and _SCALAR.fullmatch(value):
        return parsed(value.encode())
    return value


def read_float_text(value: Any) -> Any:
    """As `read_float`, for the text of a path or a query."""
    return read_float(read_scalar_text(value))


def read_any(value: Any) -> Any:
    """Any JSON, with doubles for numbers. Raises PydanticKnownError for a number that a double cannot hold."""
    given = type(value)
    if given is float:
        return _finite(value)
    if given is list or given is dict:
        printed = to_json(value, inf_nan_mode="constants")
        if b"Infinity" in printed or b"NaN" in printed:
            _all_finite(value)
    return value


def read_exact_any(value: Any) -> Any:
    """As `read_any`, for a value from `json_text.parsed`."""
    given = type(value)
    if given is Number:
        return _finite(float(value))
    if given is list:
        return [read_exact_any(item) for item in value]
    if given is dict:
        return {name: read_exact_any(item) for name, item in value.items()}
    return value


def _all_finite(value: Any) -> None:
    if type(value) is float:
        _finite(value)
    elif type(value) is list:
        for item in value:
            _all_finite(item)
    elif type(value) is dict:
        for item in value.values():
            _all_finite(item)


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise PydanticKnownError("finite_number")
    return value


def _same(error: ValidationError) -> PydanticCustomError:
    """The first error of a validator of a single value, as an error for the validator around it."""
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    # The message is already complete: without a context braces in it are not placeholders.
    return PydanticCustomError(first["type"], first["msg"])
