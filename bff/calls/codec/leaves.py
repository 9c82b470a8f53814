"""What reads and prints a single value where pydantic's own way would change it.

Each function here stands in a pydantic schema in the place of the type's own, see `schema.py`. One that reads takes
what JSON had in that place; one that prints gives what JSON is to have.
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
"""From here on not every integer is a double."""

# Stands in printed JSON before the digits of a number that only text can hold. Random, and never leaves this process,
# so that no data can have it.
_MARK = secrets.token_hex(16)
MARKED = f'"{_MARK}'.encode()

AS_TEXT: CoreSchema = {"type": "float"}
"""Reading 0 as it is what pydantic calls a strict match, as reading text from JSON is: of `datetime | str` the one
declared first is taken."""

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
    """Reads a value that JSON holds as text: a time, a UUID, an address. It remembers its text where that is not how
    it would be printed; a type that cannot remember is refused then. A value that is of the type already (a default,
    or what a validator of the model made) is taken. printed: how the type is printed; default: as the schema says. It
    wraps AS_TEXT."""
    validator = SchemaValidator(schema, config)
    from_text, from_value = validator.validate_strings, validator.validate_python
    if printed is None:
        serialize = SchemaSerializer(schema, config).to_python

        def printed(value: Any) -> object:
            return serialize(value, mode="json")

    dated = schema["type"] in ("datetime", "date")
    # Held strictly an address may have nothing that a browser would mend; its spelling is its service's own affair.
    strict = None if schema["type"] == "function-wrap" else True

    def read(value: Any, as_text: Any) -> Any:
        given = type(value)
        try:
            if given is not str:
                if given in _JSON_TYPES or given is Number:
                    raise wrong_type(what)
                return from_value(value)
            if dated and "-" not in value[1:]:
                # A count of seconds in text is no time in the sense of RFC 3339, though pydantic takes it.
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
    """As it came, else in the way of its type."""
    return spelling(value) or printed(value)


def key_reader(schema: CoreSchema, config: CoreConfig | None) -> Wrapped:
    """Reads a member's name that is to be no text. It is printed again from its value, so it must be spelled so."""
    validate = SchemaValidator(schema, config).validate_json
    serialize = SchemaSerializer(schema, config).to_python

    def read(value: Any, _: Any) -> Any:
        if type(value) is not str:
            return value
        try:
            # A JSON text of the name in an object is how pydantic reads names, from text and yet strictly.
            found = validate(to_json({value: None}))
        except ValidationError as error:
            raise _same(error) from None
        if next(iter(serialize(found, mode="json"))) != value:
            raise PydanticCustomError("spelling", "Name should be spelled as its type is printed")
        return next(iter(found))

    return read


def read_float(value: Any) -> Any:
    """A double, of an integer only when it is the same number. Other types are the schema's own to refuse."""
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
    """All digits of a number. A Decimal in text is taken as well, and leaves as text."""
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
    """`read_decimal`, and then the constraints of the declared type."""
    validate = SchemaValidator(schema, config).validate_python

    def read(value: Any, _: Any) -> Any:
        found = read_decimal(value)
        try:
            # It makes a plain Decimal of ours, so what it gives is used only where it is another one.
            checked = validate(found)
        except ValidationError as error:
            raise _same(error) from None
        return found if checked == found and spelling(found) is not None else checked

    return read


def write_decimal(value: Any) -> str:
    """A number with all its digits, or the text that it came in. Raises ValueError when it is not finite."""
    if not isinstance(value, Decimal):
        raise TypeError(f"declared as Decimal, but it is {type(value).__name__}")
    text = spelling(value)
    if text is not None:
        return text
    if not value.is_finite():
        raise ValueError(f"{value} is not JSON")
    # The digits as they are, unless an exponent saves many.
    return _MARK + (format(value, "f") if -60 < value.adjusted() < 60 else str(value))


def write_secret(value: Any, info: core_schema.SerializationInfo) -> Any:
    """A secret as asterisks, or as it is where the one who writes says so."""
    if not getattr(info.context, "secrets", False):
        return str(value)
    found = value.get_secret_value()
    return found.decode() if isinstance(found, bytes) else found


def unmarked(written: bytes) -> bytes:
    """Printed JSON with numbers in the place of what `write_decimal` made of them."""
    if MARKED not in written:
        return written
    first, *rest = written.split(MARKED)
    pieces = [first]
    for piece in rest:
        digits, _, after = piece.partition(b'"')
        pieces += (digits, after)
    return b"".join(pieces)


def member_reader(members: list[Any], *, in_text: bool = False) -> Wrapped | None:
    """Reads one of `members` (of an Enum or a Literal) by value and JSON type: True is not 1. None where pydantic's own
    way does: all are text. in_text: what is read is the text of a member."""
    values = [getattr(one, "value", one) for one in members]
    types = {type(one) for one in values}
    if types <= {str} or not types <= set(_JSON_TYPES):
        return None
    exact = [(type(one), one) for one in values]

    def read(value: Any, inner: Any) -> Any:
        if in_text and type(value) is str and value not in values:
            value = read_scalar_text(value)
        given = type(value)
        if given is Number:
            value, given = float(value), float
        if given in _JSON_TYPES and (given not in types or (value in values and (given, value) not in exact)):
            raise wrong_type(" or ".join(repr(one) for one in values[:10]))
        return inner(value)

    return read


def read_scalar_text(value: Any) -> Any:
    """A number, true or false in the text of a path or a query, spelled as in JSON; anything else is let be."""
    if type(value) is str and _SCALAR.fullmatch(value):
        return parsed(value.encode())
    return value


def read_float_text(value: Any) -> Any:
    """As `read_float`, of the text of a path or a query."""
    return read_float(read_scalar_text(value))


def read_any(value: Any) -> Any:
    """Any JSON, with doubles for numbers. Raises when one is beyond a double."""
    given = type(value)
    if given is float:
        return _finite(value)
    if given is list or given is dict:
        printed = to_json(value, inf_nan_mode="constants")
        if b"Infinity" in printed or b"NaN" in printed:
            _all_finite(value)
    return value


def read_exact_any(value: Any) -> Any:
    """As `read_any`, of what `json_text.parsed` gave."""
    given = type(value)
    if given is Number:
        return _finite(float(value))
    if given is list:
        return [read_exact_any(one) for one in value]
    if given is dict:
        return {name: read_exact_any(one) for name, one in value.items()}
    return value


def _all_finite(value: Any) -> None:
    if type(value) is float:
        _finite(value)
    elif type(value) is list:
        for one in value:
            _all_finite(one)
    elif type(value) is dict:
        for one in value.values():
            _all_finite(one)


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise PydanticKnownError("finite_number")
    return value


def _same(error: ValidationError) -> PydanticCustomError:
    """The first mistake that a validator of a single value found, for the validator around it."""
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    # The message is filled in already; braces in it are no placeholders, for there is no context.
    return PydanticCustomError(first["type"], first["msg"])
