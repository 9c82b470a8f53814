"""A service's answer passed on whole: checked to be JSON, never taken apart, spliced into the screen byte for byte.

`Raw` in the place of a model is a choice to be reviewed, and `bff routes` lists it: whatever the service adds tomorrow,
every browser sees. What is checked is that the bytes are JSON in UTF-8 (RFC 8259), not nested deeper than 200, and hold
no NaN or Infinity, so that a screen around them is always valid. Half a surrogate pair, as an escape, is let be.
"""

from __future__ import annotations

import secrets
from typing import Any, NoReturn

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError
from pydantic_core import CoreSchema, SchemaValidator, core_schema, from_json, to_json

from .json_text import refuse_constants, without_lone_surrogates

# None of these builds a Python object for what it finds: 8 µs for 2 KB against 13 for `json.loads`. All of the input is
# parsed first, in Rust; a dict's keys are then ignored, and a generator's items never asked for.
_OBJECT = SchemaValidator(core_schema.typed_dict_schema({}, extra_behavior="ignore"))
_ARRAY = SchemaValidator(core_schema.generator_schema())
_OTHER = SchemaValidator(core_schema.any_schema())

# Stands in a screen for a body until it is spliced in. It is random and leaves this process never, so that no data can
# hold it.
_MARK = secrets.token_hex(16)
_QUOTED_MARK = f'"{_MARK}'.encode()


class Raw:
    """A body that is JSON. Two are equal when their bytes are.

    class Reviews(Upstream, team="Reviews", contact="#reviews"):
        def of(self, sku: str) -> Call[Raw]:
            return self.get("/reviews/{sku}", Raw, sku=sku)

    `Raw(body)` raises ValueError that says what is wrong with it.
    """

    __slots__ = ("body",)

    def __init__(self, body: bytes) -> None:
        _check(body)
        self.body = body

    def value(self) -> Any:
        """The JSON as Python objects, for a view that must look inside after all. Lone surrogates are U+FFFD in it."""
        return from_json(without_lone_surrogates(self.body)[0])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Raw) and self.body == other.body

    def __hash__(self) -> int:
        return hash(self.body)

    def __repr__(self) -> str:
        return f"Raw({len(self.body)} bytes)"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.json_or_python_schema(
            json_schema=core_schema.no_info_plain_validator_function(_inside),
            python_schema=core_schema.no_info_plain_validator_function(_given),
            serialization=core_schema.plain_serializer_function_ser_schema(_written, info_arg=True),
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"description": "The service's own JSON, passed on whole."}


class Splices(list[bytes]):
    """The bodies of a screen being written: hand one as `context` to pydantic, then `fill` what it wrote. secrets:
    whether secrets are written as they are, default as pydantic's asterisks."""

    secrets = False

    def put(self, body: bytes) -> str:
        """What stands for `body` until `fill`."""
        self.append(body)
        return f"{_MARK}{len(self) - 1}"

    def fill(self, written: bytes) -> bytes:
        """`written` with each body in its place."""
        if not self:
            return written
        first, *rest = written.split(_QUOTED_MARK)
        pieces = [first]
        for piece in rest:
            number, _, after = piece.partition(b'"')
            pieces += (self[int(number)], after)
        return b"".join(pieces)


def _check(body: bytes) -> None:
    start = body.lstrip(b" \t\r\n")[:1]
    checker = _OBJECT if start == b"{" else _ARRAY if start == b"[" else _OTHER
    try:
        checker.validate_json(body)
        # The words may stand in a text; the parser above takes them for numbers, RFC 8259 does not.
        refuse_constants(body)
    except ValidationError as error:
        whole, lone = without_lone_surrogates(body)
        if lone:
            _check(whole)
            return
        raise ValueError(error.errors(include_input=False, include_url=False)[0]["msg"]) from None
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _inside(value: Any) -> NoReturn:
    # By the time this is asked, the parser has turned the bytes into objects, and 1.0 or 1e400 cannot be told as sent.
    raise ValueError("Raw is the model of a whole answer, not of a part inside one")


def _given(value: Any) -> Raw:
    """A test's or a view's own value: bytes are the body, anything else becomes JSON."""
    if isinstance(value, Raw):
        return value
    return Raw(value if isinstance(value, bytes) else to_json(value))


def _written(value: Any, info: core_schema.SerializationInfo) -> Any:
    if not isinstance(value, Raw):
        raise TypeError(f"declared as Raw, but it is {type(value).__name__}")
    splices = info.context
    if info.mode == "json" and isinstance(splices, Splices):
        return splices.put(value.body)
    return value.value()
